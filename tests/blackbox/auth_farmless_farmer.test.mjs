// SPDX-License-Identifier: Apache-2.0
// A farmer's token without farmId owns no farm: not even the one whose id is all zeros.

import { test } from 'node:test';

import { assertProblem, call } from '../lib/http.mjs';
import { productBody } from '../lib/shop.mjs';
import { token } from '../lib/tokens.mjs';

const NIL = '00000000-0000-0000-0000-000000000000';

test('a farmer without a farm: 404 for the orders of farm zero', async () => {
  assertProblem(await call(`GET /api/v1/farms/${NIL}/orders`, { token: await token({ role: 'farmer' }) }), 404, 'not_found');
});

test('a farmer without a farm: 404 for a product of farm zero, before its body is looked at', async () => {
  const who = await token({ role: 'farmer' });
  assertProblem(await call(`POST /api/v1/farms/${NIL}/products`, { token: who, json: productBody({ title: '' }) }), 404, 'not_found');
});
