// SPDX-License-Identifier: Apache-2.0
// What libraries say to the console becomes log lines. Imported before them.

import { log } from './log.mjs';

for (const [method, level] of Object.entries({ log: 'info', info: 'info', warn: 'warn', error: 'error' })) {
  console[method] = (text) => log[level]('library.said', { text: String(text).slice(0, 500) });
}
