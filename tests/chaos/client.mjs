// SPDX-License-Identifier: Apache-2.0
// One request over HTTP with kept connections, one call over gRPC, and what their answers mean: ok, refused (nothing was done), unsent (nobody
// listened), unknown (it may have been done). Must never repeat a request, nor take a doubtful answer for a refusal.

import { Agent, request } from 'node:http';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { join } from 'node:path';

import { ROOT } from '../lib/stack-root.mjs';

const agent = new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 64, timeout: 30_000 });
const DOUBTFUL = new Set([408, 425, 429]); // a proxy or a limit spoke, perhaps not the service
const ANSWER_MAX = 8 << 20;

function resultOf(status) {
  if (status >= 200 && status < 300) return 'ok';
  return status >= 500 || DOUBTFUL.has(status) ? 'unknown' : 'refused';
}

// send('POST', 'http://…/x', { token, headers, json, timeout }): { result, status, code, text, json }; never throws.
export function send(method, url, { token, headers = {}, json, timeout = 9000 } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  return new Promise((resolve) => {
    let isOver = false;
    let alarm = null;
    const end = (outcome) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(alarm);
      resolve(outcome);
    };
    const fail = (error) => end({ result: error.code === 'ECONNREFUSED' ? 'unsent' : 'unknown', code: error.code ?? error.message });
    const out = request(url, {
      method,
      agent,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        ...headers,
      },
    });
    out.on('error', fail);
    out.on('response', (answer) => {
      const parts = [];
      let size = 0;
      answer.on('data', (part) => {
        size += part.length;
        if (size > ANSWER_MAX) answer.destroy(new Error('answer too long'));
        else parts.push(part);
      });
      answer.on('error', fail);
      answer.on('close', () => fail(new Error('answer broke off')));
      answer.on('end', () => {
        if (!answer.complete) return;
        const text = Buffer.concat(parts).toString('utf8');
        let parsed;
        try {
          parsed = JSON.parse(text);
        } catch {
          parsed = undefined;
        }
        const status = answer.statusCode;
        end({ result: resultOf(status), status, code: status >= 400 ? parsed?.code : undefined, text, json: parsed });
      });
    });
    alarm = setTimeout(() => {
      end({ result: 'unknown', code: 'TIMEOUT' });
      out.destroy();
    }, timeout);
    out.end(body);
  });
}

export const closeAgent = () => agent.destroy();

// ---- gRPC --------------------------------------------------------------------------------------------------------------

const packages = grpc.loadPackageDefinition(
  protoLoader.loadSync(['orders/v1/orders.proto'], { includeDirs: [join(ROOT, 'contracts/proto')], longs: Number, enums: String, defaults: true }),
);
const REFUSALS = new Set(['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND', 'PERMISSION_DENIED', 'UNAUTHENTICATED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'].map((name) => grpc.status[name]));
const clients = new Map();

function clientOf(address) {
  if (!clients.has(address)) {
    clients.set(
      address,
      new packages.orders.v1.OrderService(address, grpc.credentials.createInsecure(), {
        'grpc.enable_retries': 0,
        'grpc.service_config_disable_resolution': 1,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.min_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 500,
      }),
    );
  }
  return clients.get(address);
}

// call('127.0.0.1:1', 'PlaceOrder', {…}, { token }): { result, code, value }; never throws.
export function call(address, method, message, { token, timeout = 9000 } = {}) {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return new Promise((resolve) => {
    clientOf(address)[method](message, metadata, { deadline: Date.now() + timeout }, (error, value) => {
      if (!error) resolve({ result: 'ok', value });
      else resolve({ result: REFUSALS.has(error.code) ? 'refused' : 'unknown', code: grpc.status[error.code] });
    });
  });
}

export function closeClients() {
  for (const one of clients.values()) one.close();
  clients.clear();
}
