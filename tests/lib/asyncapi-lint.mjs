// SPDX-License-Identifier: Apache-2.0
// Reads AsyncAPI files with the official parser; any error or warning but advice on style is a failure.

import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const LEVELS = ['error', 'warning', 'info', 'hint'];
let isGood = true;
for (const file of process.argv.slice(2)) {
  const found = await new Parser().validate(readFileSync(file, 'utf8'), { source: file });
  for (const { severity, path, message, code } of found) {
    console.log(`${file}: ${LEVELS[severity]} ${code} at /${path.join('/')}: ${message}`);
    if (severity < 2) isGood = false;
  }
}
process.exit(isGood ? 0 : 1);
