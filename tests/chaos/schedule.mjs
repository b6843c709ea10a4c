// SPDX-License-Identifier: Apache-2.0
// Which fault hits what, when: made whole before the run from its seed, so that the same seed gives the same schedule. Must never ask the
// running stack anything.

import * as links from './faults/links.mjs';
import * as processes from './faults/processes.mjs';
import * as worlds from './faults/worlds.mjs';
import { Random } from './random.mjs';

// name, how often among a thousand
export const FAULTS = [
  { name: 'kill', weight: 640, ...processes.kill },
  { name: 'stop', weight: 50, ...processes.stop },
  { name: 'stop-kill', weight: 60, ...processes.stopAndKill },
  { name: 'roll', weight: 15, ...processes.roll },
  { name: 'backend', weight: 35, ...processes.backend },
  { name: 'postmaster', weight: 10, ...processes.postmaster },
  { name: 'postgres', weight: 15, ...processes.postgres },
  { name: 'rabbitmq', weight: 12, ...processes.rabbitmq },
  { name: 'broker', weight: 6, ...processes.broker },
  { name: 'cut', weight: 35, ...links.cut },
  { name: 'snap', weight: 25, ...links.snap },
  { name: 'hold', weight: 15, ...links.hold },
  { name: 'delay', weight: 15, ...links.delay },
  { name: 'throttle', weight: 10, ...links.throttle },
  { name: 'slow', weight: 8, ...links.slow },
  { name: 'away', weight: 8, ...links.away },
  { name: 'disk', weight: 6, ...worlds.disk },
  { name: 'clock', weight: 8, ...worlds.clock },
  { name: 'copies', weight: 25, ...worlds.copies },
  { name: 'poison', weight: 15, ...worlds.poison },
];

const GAP_MS = 850; // between two faults of a storm, on average
const STORM_MS = [14_000, 22_000];
const CALM_MS = [2000, 3500]; // nothing new happens: what is broken heals, and is seen to work
const BASES = ['fruit-catalog', 'order-manager', 'delivery-mock'];

export function makeSchedule({ seed, minutes, instances, only }) {
  const random = new Random(seed, 'schedule');
  const faults = FAULTS.filter(({ name }) => only.length === 0 || only.includes(name));
  const services = BASES.flatMap((base) => Array.from({ length: instances }, (_, i) => (i === 0 ? base : `${base}-${i + 1}`)));
  const end = minutes * 60_000;
  const steps = [];
  let at = 1500;
  while (at < end) {
    const stormEnd = Math.min(end, at + random.int(...STORM_MS));
    for (; at < stormEnd; at += Math.round(random.wait(GAP_MS))) {
      const fault = random.pickBy(faults);
      steps.push({ at, name: fault.name, ...fault.draw(random, { services, bases: BASES }), luck: random.int(0, 2 ** 31) });
    }
    at = stormEnd + random.int(...CALM_MS);
  }
  return steps;
}
