// SPDX-License-Identifier: Apache-2.0
// Faults of the network between a service and what it needs: cut, held, delayed, throttled; and a dependency that is slow or away for all.

import { setTimeout as pause } from 'node:timers/promises';

const KINDS = ['postgres', 'rabbitmq', 'fruit-catalog', 'order-manager', 'delivery-mock'];

// One link, drawn as (service, number of its links).
const drawLink = (random, { services }) => ({ target: `link ${random.pick(services)}`, index: random.int(0, 11), ms: random.int(200, 3000) });

function linkOf(stack, target, index) {
  const own = stack.links.filter(({ name }) => name.startsWith(`${target.slice('link '.length)}>`));
  return own[index % own.length];
}

const onOne = (mode) => ({
  draw: drawLink,
  run: async ({ stack, target, index, ms, strike }) => {
    const link = linkOf(stack, target, index);
    await strike(() => link.set(mode), link.name);
    await pause(ms);
    link.set('pass');
  },
});

export const cut = onOne('cut');
export const hold = onOne('hold');
export const delay = onOne('delay');
export const throttle = onOne('throttle');

// Some of the connections break; new ones are let through.
export const snap = {
  draw: drawLink,
  run: async ({ stack, target, index, strike }) => {
    const link = linkOf(stack, target, index);
    await strike(() => link.snap(0.6), link.name);
  },
};

// Everybody's way to one dependency.
const onAll = (mode, more) => ({
  draw: (random) => ({ target: `all>${random.pick(KINDS)}`, ms: random.int(1000, 4000) }),
  run: async ({ stack, target, ms, strike }) => {
    const links = stack.links.filter(({ name }) => name.replace(/-\d+$/, '').endsWith(target.slice('all'.length)));
    await strike(() => links.forEach((link) => link.set(mode, more)));
    await pause(ms);
    for (const link of links) link.set('pass');
  },
});

export const slow = onAll('delay', { delayMax: 1500 });
export const away = onAll('cut');
