// SPDX-License-Identifier: Apache-2.0
// One JSON object a line on stdout. Must never be given a login, an address, a token, a cookie or a password: callers pass ids and counts.

const LEVELS = ['debug', 'info', 'warn', 'error'];
let least = 1;

function write(level, event, fields) {
  if (LEVELS.indexOf(level) < least) return;
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, service: 'identity', event, ...fields })}\n`);
}

export const log = {
  setLevel: (level) => { least = LEVELS.indexOf(level); },
  ...Object.fromEntries(LEVELS.map((level) => [level, (event, fields) => write(level, event, fields)])),
};
