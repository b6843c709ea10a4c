// SPDX-License-Identifier: Apache-2.0
// tests/access.txt as data, and what the contracts say of the same: x-access of an OpenAPI operation, "Access:" of a method in a .proto
// file. Must never fill in a cell that the table does not have.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { FILES, PROTO_DIR } from './grpc.mjs';
import { operations } from './openapi.mjs';
import { ROOT } from './stack.mjs';

// Who, of the table's columns, each word of the contracts means.
const MEANS = {
  anyone: ['nobody', 'buyer', 'buyer2', 'farmer', 'farmer2', 'operator', 'catalog', 'orders', 'delivery'],
  buyer: ['buyer', 'buyer2'],
  owner: ['buyer'],
  farmer: ['farmer', 'farmer2'],
  farm: ['farmer'],
  operator: ['operator'],
  'fruit-catalog': ['catalog'],
  'order-manager': ['orders'],
  'delivery-mock': ['delivery'],
};

export const letIn = (words) =>
  words.flatMap((word) => {
    if (!MEANS[word]) throw new Error(`"${word}" is no word of x-access`);
    return MEANS[word];
  });

// { REST: [{ name, cells: { nobody: '401', ... } }], gRPC: [...] }
export function accessTable() {
  const parts = {};
  let rows;
  let columns;
  for (const line of readFileSync(join(ROOT, 'tests/access.txt'), 'utf8').split('\n')) {
    if (!line || line.startsWith('#')) continue;
    const [name, ...cells] = line.split(/\s+/);
    if (['REST', 'gRPC'].includes(name)) {
      rows = parts[name] = [];
      columns = cells;
      continue;
    }
    if (cells.length !== columns.length) throw new Error(`tests/access.txt: ${name} has ${cells.length} cells, not ${columns.length}`);
    rows.push({ name, cells: Object.fromEntries(columns.map((column, i) => [column, cells[i]])) });
  }
  return parts;
}

export const restAccess = Object.fromEntries(operations.map(({ operationId, operation }) => [operationId, operation['x-access'] ?? []]));

// { GetSkus: ['order-manager'], ... } of our own protos; a method without an "Access:" line has none.
export const grpcAccess = Object.fromEntries(
  FILES.filter((file) => !file.startsWith('grpc/')).flatMap((file) => {
    const text = readFileSync(join(PROTO_DIR, file), 'utf8');
    return [...text.matchAll(/((?: *\/\/.*\n)*) *rpc (\w+)\(/g)].map(([, comment, method]) => [method, /\/\/ Access: ([^.]*)\./.exec(comment)?.[1].split(', ') ?? []]);
  }),
);
