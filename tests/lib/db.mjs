// SPDX-License-Identifier: Apache-2.0
// The database, read from outside: what a test checks behind the services' backs. Must never be used to arrange what an API can arrange.

import pg from 'pg';
import { stack } from './stack.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export async function rows(sql, ...values) {
  const client = new pg.Client({ connectionString: stack.postgres.uri });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows;
  } finally {
    await client.end();
  }
}

// The one value of the one row.
export async function value(sql, ...values) {
  const [row] = await rows(sql, ...values);
  return row && Object.values(row)[0];
}
