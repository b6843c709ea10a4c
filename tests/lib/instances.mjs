// SPDX-License-Identifier: Apache-2.0
// Several instances of each service for tests that need them, and back to what was. Only for tests that run alone: services restart.
// Must never leave the stack larger than it was found.

import { dev, stack } from './stack.mjs';

const statusNow = async () => JSON.parse((await dev(['status', '--json'])).stdout);
const numberOf = (status) => Object.keys(status.services).filter((name) => name.startsWith('order-manager')).length;

// scaleTo(2): the new status, and `back` to scale to what was.
export async function scaleTo(count) {
  const before = numberOf(await statusNow());
  const to = (n) => dev(['up', '--kind', stack.kind, '--no-seed', '--instances', String(n)]);
  await to(count);
  return { services: (await statusNow()).services, back: () => to(before) };
}
