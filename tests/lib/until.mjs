// SPDX-License-Identifier: Apache-2.0
// Waiting for what happens elsewhere: a condition is asked again and again until it holds or its deadline passes. Exists so that no
// test waits a fixed time. Must never swallow the reason: the last failure is in the message.

import { setTimeout as pause } from 'node:timers/promises';

const BETWEEN_MS = 20;

// until(ask, { within, what }): the first truthy answer of `ask`. An exception counts as "not yet".
export async function until(ask, { within = 5000, what = 'the condition' } = {}) {
  const began = performance.now();
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() - began > within) {
      const seen = last instanceof Error ? last.stack : JSON.stringify(last);
      throw new Error(`${what} did not hold within ${within} ms; last seen: ${seen}`);
    }
    await pause(BETWEEN_MS);
  }
}

// within(ms, promise, what): the promise's value, or a failure when it is late.
export async function within(ms, promise, what = 'the answer') {
  const alarm = new AbortController();
  const late = pause(ms, null, { signal: alarm.signal }).then(() => {
    throw new Error(`${what} did not come within ${ms} ms`);
  });
  late.catch(() => {}); // the loser of the race
  try {
    return await Promise.race([promise, late]);
  } finally {
    alarm.abort();
  }
}

// timed(work): what it answered and how long it took.
export async function timed(work) {
  const began = performance.now();
  const value = await work();
  return { value, ms: performance.now() - began };
}
