// SPDX-License-Identifier: Apache-2.0
// Each forged, stale or foreign token of tests/lib/forgeries.mjs against each service over REST and gRPC, and through the gateway.

import { after } from 'node:test';

import { testForgeries, testGrpcForgeries } from '../lib/forgeries.mjs';
import { READ, closeClients } from '../lib/grpc.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { SERVICES, service, stack } from '../lib/stack.mjs';

after(closeClients);

// One operation of each service that needs a token, with a scope that an operator has.
const GUARDED = { 'fruit-catalog': () => `GET /api/v1/skus/${uuid7()}/stock-ledger`, 'order-manager': () => 'GET /api/v1/orders', 'delivery-mock': () => 'GET /api/v1/simulation' };

for (const name of SERVICES) {
  testForgeries({ name: `${name} over REST`, base: service(name).http, line: GUARDED[name] });
  testForgeries({ name: `${name} by the gateway`, base: stack.gateway, line: GUARDED[name] });
  testGrpcForgeries({ name: `${name} over gRPC`, service: name, ...READ[name] });
}
