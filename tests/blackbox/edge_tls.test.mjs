// SPDX-License-Identifier: Apache-2.0
// The gateway's certificate and its TLS: whom it is good for, what it refuses, and that it is renewed in time. Must never make this
// machine trust anything.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';

import { ask, ca } from '../lib/edge.mjs';
import { ROOT, hostPort, stack } from '../lib/stack.mjs';

const { port } = hostPort(stack.gatewayTls);
const bash = async (script, env) => (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { env: { ...process.env, ...env } })).stdout;

// A handshake with these settings: the version and cipher, or throws.
function handshake(options) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca: ca(), ...options }, () => {
      resolve({ protocol: socket.getProtocol(), cipher: socket.getCipher().standardName });
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

for (const host of ['localhost', '127.0.0.1', '[::1]']) {
  test(`the certificate is good for ${host} for who trusts the stack's authority`, async () => {
    const answer = await ask('GET /auth/jwks.json', { base: `https://${host}:${port}` });
    assert.equal(answer.status, 200);
    assert.ok(answer.json.keys.length > 0);
  });
}

test('who was not told of the authority does not trust it', async () => {
  await assert.rejects(ask('GET /', { trust: [] }), /UNABLE_TO_VERIFY_LEAF_SIGNATURE|self-signed|unable to/);
});

test('the keys can be read by their owner alone', () => {
  assert.equal(statSync(join(stack.var, 'tls')).mode & 0o777, 0o700);
  for (const name of ['ca.key', 'gateway.key']) assert.equal(statSync(join(stack.var, 'tls', name)).mode & 0o777, 0o600, name);
});

test('the authority can not sign for a name on the internet', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gw-tls-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'ext'), 'subjectAltName=DNS:shop.example.com\nextendedKeyUsage=serverAuth\n');
  const made = `openssl req -new -newkey rsa:2048 -nodes -keyout ${folder}/key -subj /CN=shop.example.com 2>/dev/null |
    openssl x509 -req -CA ${stack.caFile} -CAkey ${stack.var}/tls/ca.key -set_serial 7 -days 30 -extfile ${folder}/ext -out ${folder}/pem 2>/dev/null`;
  await bash(made);
  await assert.rejects(bash(`openssl verify -CAfile ${stack.caFile} ${folder}/pem`), /permitted subtree violation/);
});

for (const version of ['TLSv1', 'TLSv1.1']) {
  test(`${version} is refused`, async () => {
    await assert.rejects(handshake({ minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' }), /alert protocol version/i);
  });
}

test('TLS 1.2 and 1.3 work, with forward secrecy and AEAD only', async () => {
  assert.match((await handshake({ maxVersion: 'TLSv1.2' })).cipher, /^TLS_ECDHE_.*(GCM|POLY1305)/);
  assert.equal((await handshake({ minVersion: 'TLSv1.3' })).protocol, 'TLSv1.3');
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA', 'AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA256']) {
    await assert.rejects(handshake({ maxVersion: 'TLSv1.2', ciphers }), /handshake failure/i, ciphers);
  }
});

test('a certificate that runs out soon, or fits not its key, is made anew; a good one is left alone', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'gw-tls-'));
  t.after(() => rmSync(home, { recursive: true }));
  const env = { GWASUWON_VAR: home, ROOT };
  const parts = '. "$ROOT/stack/lib.sh"; . "$ROOT/stack/tls.sh";';
  const sums = () => Object.fromEntries(['ca.pem', 'gateway.pem'].map((name) => [name, readFileSync(join(home, 'tls', name), 'utf8')]));
  await bash(`${parts} LEAF_DAYS=59 prepare_tls`, env);
  const short = sums();
  await bash(`${parts} prepare_tls`, env);
  const good = sums();
  assert.equal(good['ca.pem'], short['ca.pem']);
  assert.notEqual(good['gateway.pem'], short['gateway.pem']);
  await bash(`${parts} prepare_tls`, env);
  assert.deepEqual(sums(), good);
  execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', join(home, 'tls/gateway.key')], { stdio: 'ignore' });
  await bash(`${parts} prepare_tls`, env);
  assert.notEqual(sums()['gateway.pem'], good['gateway.pem']);
  await bash(`${parts} CA_RENEW_S=$((86400 * 4000)) prepare_tls`, env);
  assert.notEqual(sums()['ca.pem'], good['ca.pem']);
  await bash(`openssl verify -CAfile ${home}/tls/ca.pem ${home}/tls/gateway.pem`);
});
