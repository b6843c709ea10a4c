// SPDX-License-Identifier: Apache-2.0
// Gateways of a test's own: the stack's nginx configuration on other ports, with other settings, in front of the stack's services or of
// the test's stand-ins. Exists so that limits, keys and caches can be tried without disturbing who else uses the stack. Must never
// leave an nginx behind, nor change the stack.

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ask } from './edge.mjs';
import { freePort } from './port.mjs';
import { ROOT, stack } from './stack.mjs';
import { until } from './until.mjs';

const RENDER = `for part in lib ports tls gateway; do . "$ROOT/stack/$part.sh"; done
load_stack
NGINX_DIR=$TEST_DIR LOGS=$TEST_DIR
for setting in "$@"; do printf -v "\${setting%%=*}" '%s' "\${setting#*=}"; done
render_gateway`;

// openGateway(t, { GATEWAY_LIMITS: 'order.account.second=2', FRUIT_CATALOG_HTTP_PORT: 1234 }) -> { plain, tls, log() }
export async function openGateway(t, settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'gw-edge-'));
  const [plainPort, tlsPort] = [await freePort(), await freePort()];
  const all = { GATEWAY_PORT: plainPort, GATEWAY_TLS_PORT: tlsPort, ...settings };
  const env = { ...process.env, ROOT, GWASUWON_VAR: stack.var, TEST_DIR: folder };
  for (const name of ['GATEWAY_LIMITS', 'GATEWAY_JWKS', 'GATEWAY_PLAIN_API']) delete env[name];
  await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', RENDER, 'render', ...Object.entries(all).map(([name, value]) => `${name}=${value}`)], { env });
  const nginx = spawn('/usr/sbin/nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  nginx.stderr.on('data', (part) => (said += part));
  const ended = new Promise((resolve) => nginx.on('exit', resolve));
  t.after(async () => {
    nginx.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true });
  });
  const plain = `http://127.0.0.1:${plainPort}`;
  await until(async () => {
    if (nginx.exitCode !== null) throw new Error(`nginx ended: ${said}`);
    return ask('GET /', { base: plain }).then(() => true, () => false);
  }, { what: 'the gateway' });
  const log = () => readFileSync(join(folder, 'gateway-access.log'), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return { plain, tls: `https://localhost:${tlsPort}`, log, said: () => said };
}

// A stand-in for a service or the issuer: answers by `handle`, keeps what came. { port, seen: [{ method, url, headers, rawHeaders }] }
export async function openStandIn(t, handle) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const { method, url, headers, rawHeaders } = request;
    seen.push({ method, url, headers, rawHeaders });
    request.resume().on('end', () => handle(request, response, seen.length));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: server.address().port, seen };
}

export const answerJson = (response, body, headers = {}, status = 200) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};
