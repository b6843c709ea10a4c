// SPDX-License-Identifier: Apache-2.0
// Node's test reporter of this project: one line a failure, one line for what is skipped, with its reason, and a last line "passed failed" for tests/run.sh.
// Suites and files are not counted, only tests.

import { relative } from 'node:path';
import { ROOT } from './stack-root.mjs';

export default async function* reporter(source) {
  let passed = 0;
  let failed = 0;
  for await (const { type, data } of source) {
    if (type === 'test:stderr') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const file = data.file ? relative(ROOT, data.file) : '';
    if (data.skip !== undefined) yield `  skip  ${file}: ${data.name}: ${data.skip}\n`;
    if (data.details?.type === 'suite' || data.skip !== undefined || data.todo !== undefined) continue;
    if (type === 'test:pass') {
      passed += 1;
      const ms = Math.round(data.details.duration_ms);
      if (process.env.TESTS_VERBOSE || ms > 5000) yield `  ok    ${file}: ${data.name} (${ms} ms)\n`;
    } else {
      failed += 1;
      const error = data.details.error;
      yield `  FAIL  ${file}: ${data.name}\n${String(error?.cause?.stack ?? error?.stack ?? error).replaceAll(/^/gm, '        ')}\n`;
    }
  }
  yield `@ ${passed} ${failed}\n`;
}
