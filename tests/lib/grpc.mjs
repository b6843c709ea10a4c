// SPDX-License-Identifier: Apache-2.0
// gRPC in the tests: official clients made from the .proto files, and bare HTTP/2 streams for calls that no official client can make.
// Must never retry a call.

import { connect, constants } from 'node:http2';
import { join } from 'node:path';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

import { uuid7 } from './ids.mjs';
import { ROOT, service } from './stack.mjs';

export { grpc };
export const PROTO_DIR = join(ROOT, 'contracts/proto');
export const SERVICE_OF = { 'fruit-catalog': 'catalog.v1.CatalogService', 'order-manager': 'orders.v1.OrderService', 'delivery-mock': 'delivery.v1.DeliveryService' };
export const FILES = ['catalog/v1/catalog.proto', 'orders/v1/orders.proto', 'delivery/v1/delivery.proto', 'grpc/health/v1/health.proto'];

// An rpc of each service that only reads, and may be asked for what is not there.
export const READ = {
  'fruit-catalog': { method: 'GetSkus', request: () => ({ skuIds: [uuid7()] }) },
  'order-manager': { method: 'GetOrder', request: () => ({ orderId: uuid7() }) },
  'delivery-mock': { method: 'GetDeliveries', request: () => ({ orderIds: [uuid7()] }) },
};

const load = (options) => protoLoader.loadSync(FILES, { includeDirs: [PROTO_DIR], ...options });
export const definitions = load({ longs: Number, enums: String, defaults: true, oneofs: true });
export const asWritten = load({ keepCase: true }); // field names as in the .proto files
const packages = grpc.loadPackageDefinition(definitions);
const OPTIONS = { 'grpc.enable_retries': 0, 'grpc.service_config_disable_resolution': 1 };

const clients = new Map();
const clientAt = (address, full) => {
  const key = `${address} ${full}`;
  if (!clients.has(key)) {
    const Client = full.split('.').reduce((at, part) => at[part], packages);
    clients.set(key, new Client(address, grpc.credentials.createInsecure(), OPTIONS));
  }
  return clients.get(key);
};
export const client = (name, full = SERVICE_OF[name]) => clientAt(service(name).grpc, full);

export function closeClients() {
  for (const one of clients.values()) one.close();
  clients.clear();
}

export function metadata(token, more = {}) {
  const made = new grpc.Metadata();
  if (token) made.set('authorization', `Bearer ${token}`);
  for (const [name, value] of Object.entries(more)) made.set(name, value);
  return made;
}

// rpc('order-manager', 'GetOrder', {...}, token): { code, value, details }; a failure is a value too. `at`: another instance's address.
export function rpc(name, method, request, token, { deadline = 5000, headers, full, at } = {}) {
  return new Promise((resolve) => {
    (at ? clientAt(at, full ?? SERVICE_OF[name]) : client(name, full))[method](request, metadata(token, headers), { deadline: Date.now() + deadline }, (error, value) =>
      resolve({ code: error ? error.code : grpc.status.OK, codeName: grpc.status[error ? error.code : 0], details: error?.details, metadata: error?.metadata, value }),
    );
  });
}

// ---- bare streams ------------------------------------------------------------------------------------------------------

export const frame = (message, isCompressed = 0) => {
  const head = Buffer.alloc(5);
  head.writeUInt8(isCompressed, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

export const openSession = (name) =>
  new Promise((resolve, reject) => {
    const session = connect(`http://${service(name).grpc}`);
    session.once('connect', () => resolve(session));
    session.once('error', reject);
  });

// Sends these bytes as the body of a call: { http, status, message, reset } as they came, trailers-only or not.
export function bareCall(session, path, body, headers = {}, { timeout = 5000, isEnding = true } = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      ':scheme': 'http',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const seen = { http: null, status: null, message: null, reset: null, frames: [] };
    const note = (fields) => {
      if (fields['grpc-status'] !== undefined) {
        seen.status = Number(fields['grpc-status']);
        seen.message = fields['grpc-message'];
      }
    };
    const timer = setTimeout(() => {
      stream.close(constants.NGHTTP2_CANCEL);
      reject(new Error(`${path}: no answer within ${timeout} ms`));
    }, timeout);
    stream.on('response', (fields) => {
      seen.http = fields[':status'];
      note(fields);
    });
    stream.on('trailers', note);
    stream.on('data', (chunk) => seen.frames.push(chunk));
    stream.on('error', (error) => (seen.reset ??= error.code ?? String(error)));
    stream.on('close', () => {
      clearTimeout(timer);
      if (stream.rstCode) seen.reset ??= stream.rstCode;
      resolve(seen);
    });
    stream.on('error', () => {});
    if (isEnding) stream.end(body);
    else stream.write(body);
  });
}
