// SPDX-License-Identifier: Apache-2.0
// Faults of processes: services, PostgreSQL and RabbitMQ killed, stopped, drained. Each heals what it broke before it returns.

import { setTimeout as pause } from 'node:timers/promises';
import { oneAtATime } from '../servers.mjs';

export const kill = {
  isKill: true,
  draw: (random, { services }) => ({ target: random.pick(services), ms: random.int(0, 500) }),
  run: async ({ part, ms, strike }) => {
    await strike(() => part.kill());
    await pause(ms);
    await part.heal();
  },
};

export const stop = {
  draw: (random, { services }) => ({ target: random.pick(services), ms: random.int(300, 4000) }),
  run: async ({ part, ms, strike }) => {
    const pid = await strike(() => part.pause());
    await pause(ms);
    part.go(pid);
  },
};

// Stopped long enough that others give up on it, then killed: what it had begun is never finished.
export const stopAndKill = {
  isKill: true,
  draw: (random, { services }) => ({ target: random.pick(services), ms: random.int(50, 2500) }),
  run: async ({ part, ms, strike }) => {
    part.pause();
    await pause(ms);
    await strike(() => part.kill());
    await part.heal();
  },
};

// Every instance of a service after the other, politely.
export const roll = {
  draw: (random, { bases }) => ({ target: random.pick(bases) }),
  run: async ({ stack, target, strike }) => {
    await strike(() => {});
    for (const service of stack.of(target)) {
      await service.drain();
      await service.heal();
    }
  },
};

export const backend = {
  isKill: true,
  draw: () => ({ target: 'postgres' }),
  run: async ({ part, random, strike }) => {
    await strike(() => part.killBackend(random));
    await part.heal();
  },
};

export const postmaster = {
  isKill: true,
  draw: () => ({ target: 'postgres' }),
  run: ({ part, strike }) =>
    oneAtATime(async () => {
      await strike(() => part.killPostmaster());
      await part.heal();
    }),
};

export const postgres = {
  isKill: true,
  draw: () => ({ target: 'postgres' }),
  run: ({ part, strike }) =>
    oneAtATime(async () => {
      await strike(() => part.kill());
      await part.heal();
    }),
};

export const rabbitmq = {
  isKill: true,
  draw: () => ({ target: 'rabbitmq' }),
  run: ({ part, strike }) =>
    oneAtATime(async () => {
      await strike(() => part.kill());
      await part.heal();
    }),
};

// Ends as it was asked to, with confirms outstanding.
export const broker = {
  draw: () => ({ target: 'rabbitmq' }),
  run: ({ part, strike }) =>
    oneAtATime(async () => {
      await strike(() => part.restart());
      await part.heal();
    }),
};
