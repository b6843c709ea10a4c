// SPDX-License-Identifier: Apache-2.0
// What a good token opens: scopes decide it, for each operation, as the contract says. Tokens that nobody may take stand in
// tokens_forged.test.mjs; who may do what with whose things in access.test.mjs.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { operations } from '../lib/openapi.mjs';
import { service } from '../lib/stack.mjs';
import { token } from '../lib/tokens.mjs';

after(closeClients);

// ---- scopes: as the contract's x-scope says, for every operation -----------------------------------------------------------

const fill = (path) => path.replaceAll(/\{sha256\}/g, '0'.repeat(64)).replaceAll(/\{[^}]+\}/g, () => uuid7());

for (const { service: name, method, path, operation, operationId } of operations.filter((row) => row.operation['x-scope'])) {
  const scope = operation['x-scope'];
  const options = (bearer) => ({ base: service(name).http, token: bearer, ...(operation.requestBody ? { json: {} } : {}) });

  test(`${operationId} needs a token`, async () => {
    assertProblem(await call(`${method} ${fill(path)}`, options(null)), 401, 'unauthenticated');
  });

  test(`${operationId} needs the scope ${scope}`, async () => {
    const others = ['admin', 'catalog:write', 'orders:read', 'orders:write', 'deliveries:write'].filter((one) => one !== scope && !(one === 'admin' && scope === 'catalog:write'));
    const without = await token({ scope: others.filter((one) => one !== 'admin').join(' ') });
    assertProblem(await call(`${method} ${fill(path)}`, options(without)), 403, 'forbidden');
    const lookalike = await token({ scope: `${scope}s x${scope} ${scope.toUpperCase()}` });
    assertProblem(await call(`${method} ${fill(path)}`, options(lookalike)), 403, 'forbidden');
    const withIt = await token({ scope, role: 'operator' });
    assert.notEqual((await call(`${method} ${fill(path)}`, options(withIt))).status, 403);
  });
}

const INTERNAL_RPCS = [
  ['fruit-catalog', 'GetSkus', { skuIds: [uuid7()] }],
  ['fruit-catalog', 'Reserve', { orders: [] }],
  ['fruit-catalog', 'Release', { orderIds: [uuid7()], reason: 'test_reason' }],
  ['order-manager', 'ResolveOrders', { orderIds: [uuid7()] }],
  ['delivery-mock', 'CancelDelivery', { orderId: uuid7(), reason: 'test_reason' }],
];
for (const [name, method, request] of INTERNAL_RPCS) {
  test(`${method} of ${name} is for services only`, async () => {
    for (const role of ['buyer', 'farmer', 'operator']) {
      const answer = await rpc(name, method, request, await token({ role }));
      assert.equal(answer.code, grpc.status.PERMISSION_DENIED, `${role}: ${answer.codeName}`);
    }
  });
}
