// SPDX-License-Identifier: Apache-2.0
// The OpenAPI files and the services say the same, in both directions: every operation is served with its scope, everything served is an
// operation, every code is a row of the chassis's table, and every example is an answer the contract allows.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { METHODS, contracts, operations } from '../lib/openapi.mjs';
import { ROOT, SERVICES, service } from '../lib/stack.mjs';

// Rows of a service's route tables: {CH_GET, "/api/v1/orders", CH_ORDERS_READ, order_list, "order_list", CH_ROUTE_IDEMPOTENT}
const ROW = /\{\s*CH_(GET|POST|PUT|PATCH|DELETE)\s*,\s*"([^"]+)"\s*,\s*([^,]+?)\s*,\s*\w+\s*,\s*"(\w+)"\s*(?:,\s*([^,}]+?))?\s*(?:,[^}]*)?\}/g;
const SCOPES = Object.fromEntries(
  [...readFileSync(join(ROOT, 'chassis/include/ch/scopes.def'), 'utf8').matchAll(/CH_SCOPE\((\w+), \d+, "([^"]+)"\)/g)].map(([, id, name]) => [`CH_${id}`, name]),
);

function routesOf(name) {
  const folder = join(ROOT, 'services', name);
  const sources = readdirSync(folder).filter((file) => file.endsWith('.c')).map((file) => readFileSync(join(folder, file), 'utf8'));
  return sources.flatMap((source) =>
    [...source.matchAll(ROW)].map(([, method, path, scope, operationId, flags]) => ({
      operationId,
      method,
      path,
      scopes: scope === '0' ? [] : scope.split('|').map((one) => SCOPES[one.trim()]),
      isIdempotent: (flags ?? '').includes('CH_ROUTE_IDEMPOTENT'),
    })),
  );
}

const byId = (a, b) => (a.operationId < b.operationId ? -1 : 1);

for (const name of SERVICES) {
  const own = operations.filter((row) => row.service === name);

  test(`${name}: the route table is the contract`, () => {
    const served = routesOf(name).map(({ operationId, method, path }) => ({ operationId, method, path }));
    assert.deepEqual(served.sort(byId), own.map(({ operationId, method, path }) => ({ operationId, method, path })).sort(byId));
  });

  test(`${name}: each route asks for the scope that the contract names`, () => {
    const scopes = Object.fromEntries(routesOf(name).map((row) => [row.operationId, row.scopes]));
    const wanted = Object.fromEntries(own.map((row) => [row.operationId, row.operation['x-scope'] ? [row.operation['x-scope']] : []]));
    // An operator may do what a farm may: the table may name admin beside it.
    for (const [id, list] of Object.entries(scopes)) if (!wanted[id].includes('admin')) scopes[id] = list.filter((scope) => scope !== 'admin');
    assert.deepEqual(scopes, wanted);
  });

  test(`${name}: a scope is named exactly where security is`, () => {
    for (const row of own) assert.equal(Boolean(row.operation['x-scope']), row.operation.security.length > 0, row.operationId);
  });

  test(`${name}: Idempotency-Key is required exactly where the route is idempotent`, () => {
    const asks = (row) => Boolean(row.operation.parameters?.some((one) => one.in === 'header' && one.name === 'Idempotency-Key' && one.required));
    for (const row of own) assert.equal(routesOf(name).find((route) => route.operationId === row.operationId).isIdempotent, asks(row), row.operationId);
  });

  // Asked of the running service, on its own port and by the gateway: a path has exactly the contract's methods.
  for (const path of Object.keys(contracts[name].paths)) {
    const methods = METHODS.filter((method) => contracts[name].paths[path][method]).map((method) => method.toUpperCase());
    test(`${name} serves ${path} with ${methods.join(', ')} and no other method`, async () => {
      const concrete = path.replaceAll('{sha256}', '0'.repeat(64)).replaceAll(/\{[^}]+\}/g, () => uuid7());
      for (const base of [service(name).http, undefined]) {
        const answer = await call(`OPTIONS ${concrete}`, base ? { base } : {});
        assert.equal(answer.status, 204, answer.text);
        const allowed = answer.headers.get('allow').split(', ').filter((method) => method !== 'OPTIONS' && method !== 'HEAD');
        assert.deepEqual(allowed.sort(), [...methods].sort());
      }
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((one) => !methods.includes(one))) {
        assert.equal((await call(`${method} ${concrete}`, { base: service(name).http })).status, 405, method);
      }
    });
  }

  test(`${name}: the contract's codes are rows of the chassis's table`, () => {
    const table = [...readFileSync(join(ROOT, 'chassis/include/ch/errors.def'), 'utf8').matchAll(/^CH_ERR\(\w+, (\d+), \w+, "(\w+)", "([^"]+)"\)/gm)];
    const codes = new Map(table.map(([, status, code, title]) => [code, { status: Number(status), title }]));
    for (const code of contracts[name].components.schemas.Problem.properties.code.enum) assert.ok(codes.has(code), `${code} is no row of errors.def`);
    const general = table.slice(0, table.findIndex(([, , code]) => code === 'stock_short')).map(([, , code]) => code);
    for (const code of general) assert.ok(contracts[name].components.schemas.Problem.properties.code.enum.includes(code), `${code} is missing in the contract`);
    for (const [key, { content }] of Object.entries(contracts[name].components.responses)) {
      for (const { value } of Object.values(content?.['application/problem+json']?.examples ?? {})) {
        assert.deepEqual({ status: value.status, title: value.title }, codes.get(value.code), `example ${value.code} of ${key}`);
        assert.equal(value.type, `https://gwasuwon.example/problems/${value.code}`);
      }
    }
  });
}

test('every code of the chassis\'s table is in some contract', () => {
  const codes = [...readFileSync(join(ROOT, 'chassis/include/ch/errors.def'), 'utf8').matchAll(/^CH_ERR\(\w+, \d+, \w+, "(\w+)"/gm)].map(([, code]) => code);
  const known = new Set(SERVICES.flatMap((name) => contracts[name].components.schemas.Problem.properties.code.enum));
  assert.deepEqual(codes.filter((code) => !known.has(code)), []);
});

test('the schemas that the contracts share are the same in each', () => {
  for (const shared of ['Fault', 'Uuid', 'Time', 'DeliveryStatus', 'NextCursor']) {
    const copies = SERVICES.map((name) => contracts[name].components.schemas[shared]).filter(Boolean);
    for (const copy of copies) assert.deepEqual(copy, copies[0], shared);
  }
});

test('an unknown path is a problem, on every port and by the gateway', async () => {
  for (const base of [...SERVICES.map((name) => service(name).http), undefined]) {
    for (const path of ['/', '/api', '/api/v1', '/api/v1/', '/api/v1/nothing', '/api/v2/orders', '/api/v1//orders', '/API/V1/ORDERS']) {
      const answer = await call(`GET ${path}`, base ? { base } : {});
      if (!base && !path.startsWith('/api')) continue; // the shop's own pages
      assert.equal(answer.status, 404, `${path}: ${answer.text}`);
      assert.match(answer.type, /^application\/problem\+json/);
    }
  }
});
