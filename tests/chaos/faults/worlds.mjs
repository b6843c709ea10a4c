// SPDX-License-Identifier: Apache-2.0
// Faults of the world around: a full disk under PostgreSQL, a clock that jumps, events that come twice, late and in another order, messages that
// nobody can take.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { poison as sendPoison, repeat } from '../events.mjs';
import { oneAtATime } from '../servers.mjs';

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';

// Down to the last blocks, where the next WAL segment or the next page of a table finds no place.
export const disk = {
  draw: (random) => ({ target: 'postgres', ms: random.int(800, 3000), leftKib: random.pick([0, 64, 1024]) }),
  canRun: ({ stack }) => stack.postgres.hasSmallDisk,
  run: ({ part, ms, leftKib, strike }) =>
    oneAtATime(async () => {
      try {
        await strike(() => part.fillDisk(leftKib));
        await pause(ms);
      } finally {
        part.emptyDisk();
      }
      await part.heal();
    }),
};

// The service is started under a clock of its own, which then jumps while it works; afterwards it is killed and has the true time again.
export const clock = {
  draw: (random, { services }) => ({ target: random.pick(services), ms: random.int(1500, 4000), stepS: random.pick([-600, -90, -5, 5, 90, 600]) }),
  canRun: () => existsSync(FAKETIME),
  run: async ({ stack, part, ms, stepS, strike }) => {
    const file = join(stack.folder, `clock.${part.name}`);
    writeFileSync(file, '+0\n');
    await part.kill();
    await part.heal({ LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' });
    await pause(700);
    await strike(() => writeFileSync(file, `${stepS > 0 ? '+' : ''}${stepS}\n`));
    await pause(ms);
    await part.kill();
    rmSync(file, { force: true });
    await part.heal();
  },
};

export const copies = {
  draw: (random) => ({ target: 'events', count: random.int(10, 60) }),
  run: async ({ stack, ear, random, count, strike }) => {
    await strike(() => repeat(stack.status.rabbitmq.amqp, ear.copies(random, count)));
  },
};

export const poison = {
  draw: () => ({ target: 'events' }),
  run: async ({ stack, journal, random, strike }) => {
    await strike(() => sendPoison(stack.status.rabbitmq.amqp, journal, random));
  },
};
