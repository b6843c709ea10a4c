// SPDX-License-Identifier: Apache-2.0
// A client for the tests of the gateway: one request over TLS or plain HTTP, exactly as told, its answer whole. Must never follow a
// redirect, mend a path (fetch would) or trust another authority than the one it is given.

import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';

import { stack } from './stack.mjs';

export const ca = () => readFileSync(stack.caFile);

// For Chromium's --ignore-certificate-errors-spki-list: it then takes this one key and no other.
export function gatewayPin() {
  const { publicKey } = new X509Certificate(readFileSync(join(stack.var, 'tls/gateway.pem')));
  return createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

// ask('GET /api/v1/products', { base, headers, body, from }) -> { status, headers, text, json, httpVersion }. `from` is the local address
// that the connection leaves from: all of 127.0.0.0/8 is this machine's.
export function ask(line, { base = stack.gatewayTls, headers = {}, body, from, trust = ca(), timeout = 15_000, ...more } = {}) {
  const [method, path] = line.split(' ');
  const { protocol, hostname, port } = new URL(base);
  const secure = protocol === 'https:';
  const options = { method, path, port, host: hostname.replace(/^\[|\]$/g, ''), headers, localAddress: from, agent: false, timeout, ...(secure ? { ca: trust } : {}), ...more };
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(options, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        const isJson = /json/.test(answer.headers['content-type'] ?? '') && text !== '';
        resolve({ status: answer.statusCode, headers: answer.headers, rawHeaders: answer.rawHeaders, text, json: isJson ? JSON.parse(text) : undefined });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${line}: no answer within ${timeout} ms`)));
    request.on('error', reject);
    request.end(body);
  });
}
