// SPDX-License-Identifier: Apache-2.0
// Runs the Postman collection against the local stack with newman: the environment's blanks (gateway, tokens, a new farm) are filled in
// here, so that the collection can be opened in Postman as it is. Writes JUnit XML; its last line is "@ passed failed" for tests/run.sh.
// Must never write a token to a file.
//
//   node tests/postman/run.mjs [REPORT.xml]

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import newman from 'newman';

import { uuid7 } from '../lib/ids.mjs';
import { stack } from '../lib/stack.mjs';
import { buyerToken, farmerToken, operatorToken } from '../lib/tokens.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const read = (name) => JSON.parse(readFileSync(join(here, name), 'utf8'));

const newFarmId = uuid7();
const blanks = {
  gateway: stack.gateway,
  newFarmId,
  operatorToken: await operatorToken(),
  farmerToken: await farmerToken(newFarmId),
  buyerToken: await buyerToken(),
  otherBuyerToken: await buyerToken(),
};
const environment = read('local.postman_environment.json');
for (const row of environment.values) row.value = blanks[row.key] ?? row.value;

const report = process.argv[2];
newman.run(
  {
    collection: read('gwasuwon.postman_collection.json'),
    environment,
    reporters: report ? ['junit'] : [],
    reporter: report ? { junit: { export: report } } : {},
    timeoutRequest: 10_000,
    delayRequest: 20, // between the questions of a request that asks again
  },
  (error, summary) => {
    if (error) {
      console.error(error);
      process.exitCode = 1;
      return;
    }
    const { assertions, requests } = summary.run.stats;
    for (const { source, error: { test, message } } of summary.run.failures) console.log(`  FAIL  postman: ${source?.name}: ${test ?? ''} ${message}`);
    const failed = assertions.failed + requests.failed + summary.run.stats.testScripts.failed;
    console.log(`@ ${assertions.total - assertions.failed} ${failed}`);
    process.exitCode = failed ? 1 : 0;
  },
);
