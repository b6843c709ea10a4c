// SPDX-License-Identifier: Apache-2.0
// The services under the very profile that a cluster is given, on a root that cannot be written, as a user without rights. Whatever a service calls
// beyond the profile kills it here, so that nothing it does without can go unseen; what nobody may call is tried, too. A stack of its own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';

import { Stack } from '../chaos/stack.mjs';
import { ROOT } from '../lib/stack-root.mjs';
import { until, within } from '../lib/until.mjs';
import { Container, KILLS, UID, answers, whyNot } from './container.mjs';
import { programOf } from './linked.mjs';

const SERVICES = ['fruit-catalog', 'order-manager', 'delivery-mock'];
const KILLED = 128 + 31; // by SIGSYS
const EROFS = 30;
const ENOENT = 2;
const EDQUOT = 122; // what no kernel answers to any of these calls: it was the filter

const home = join(process.env.GWASUWON_VAR ?? join(ROOT, 'var/test'), '..', 'confined');
const boxes = join(home, 'boxes');
rmSync(boxes, { recursive: true, force: true });
const skip = whyNot(join(boxes, 'probe'), programOf('delivery-mock'));

// ---- what nobody may do ----------------------------------------------------------------------------------------------------------

let tried = 0;
function attempt(seccomp, ...args) {
  const program = join(boxes, 'forbidden');
  if (tried === 0) execFileSync('cc', ['-O1', '-Wall', '-Wextra', '-Werror', join(ROOT, 'tests/hardening/forbidden.c'), '-o', program]);
  tried += 1;
  const done = new Container({ folder: join(boxes, `try-${tried}`), program, args, seccomp, files: { '/etc/own': join(ROOT, 'LICENSE') } }).run();
  assert.ok(!done.error, done.error?.message);
  return { ...done, results: Object.fromEntries(done.stdout.trim().split('\n').map((line) => line.split(' ')).map(([name, errno]) => [name, Number(errno)])) };
}

test('whatever is not on the list is refused by the filter itself; of a shell there is none', { skip }, () => {
  const { results, stderr } = attempt(answers(EDQUOT));
  const { shell, ...others } = results;
  assert.ok(Object.keys(others).length > 15, stderr);
  assert.deepEqual(others, Object.fromEntries(Object.keys(others).map((name) => [name, EDQUOT])));
  assert.equal(shell, ENOENT);
});

// One by one: a program that asked to be traced stands still at its next signal, and nobody lets it go on.
test('without the filter the root is read-only all the same', { skip }, () => {
  for (const name of ['create', 'mkdir', 'unlink', 'chmod']) assert.deepEqual(attempt(null, name).results, { [name]: EROFS });
});

test('a call that is not on the list is seen: it kills where the tests below run', { skip }, () => {
  for (const name of ['fork', 'ptrace', 'create', 'kill']) assert.equal(attempt(KILLS, name).status, KILLED, name);
});

// ---- the services ----------------------------------------------------------------------------------------------------------------

const say = (text) => console.error(`  confined: ${text}`);
const stack = new Stack({ folder: home, kind: 'release', instances: 1, say });
const running = {};
let lib; // tests/lib, once the stack is there to be looked up
let world;

// What ./dev gives the service; for one of them the issuer's addresses over TLS instead of files, and a name to look up.
function environmentOf(name) {
  const lines = readFileSync(join(home, 'env', `${name}.env`), 'utf8').split('\n').filter(Boolean);
  const environment = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  if (name !== 'order-manager') return environment;
  const { issuer, caFile } = stack.status;
  return {
    ...environment, LOOPS: '2', CATALOG_GRPC: environment.CATALOG_GRPC.replace('127.0.0.1', 'localhost'), JWT_JWKS: `${issuer}/jwks.json`, ISSUER_CA_FILE: caFile,
    SERVICE_TOKEN_FILE: '', TOKEN_URL: `${issuer}/token`, CLIENT_ID: name, CLIENT_SECRET_FILE: join(home, `keys/${name}.secret`),
  };
}

// The files that the settings name are put into the root, and nothing else.
function settingsOf(name) {
  const isFile = (value) => value.startsWith('/') && existsSync(value);
  const entries = Object.entries(environmentOf(name));
  return {
    environment: Object.fromEntries(entries.map(([variable, value]) => [variable, isFile(value) ? `/files/${basename(value)}` : value])),
    files: Object.fromEntries(entries.filter(([, value]) => isFile(value)).map(([, value]) => [`/files/${basename(value)}`, value])),
  };
}

async function startConfined(name) {
  await stack.dev('stop', name);
  const log = openSync(join(home, 'log', `${name}.confined.log`), 'w');
  const box = new Container({ folder: join(boxes, name), program: programOf(name), seccomp: KILLS, ...settingsOf(name) });
  running[name] = box;
  box.start(log);
  closeSync(log);
  await until(async () => {
    if (box.hasEnded) return true;
    return (await fetch(`${stack.status.services[name].admin}/readyz`)).ok;
  }, { within: 60_000, what: `${name} ready` }).catch((error) => assert.fail(`${error.message}\n${logOf(name)}`));
  assert.ok(!box.hasEnded, `${name} ended with ${await Promise.race([box.ended, 'nothing'])}: ${logOf(name)}`);
}

const logOf = (name) => readFileSync(join(home, 'log', `${name}.confined.log`), 'utf8').split('\n').slice(-15).join('\n');

before(async () => {
  if (skip) return;
  await stack.up();
  mkdirSync(boxes, { recursive: true });
  const status = join(home, 'status.json');
  writeFileSync(status, JSON.stringify(stack.status));
  Object.assign(process.env, { GWASUWON_VAR: home, GWASUWON_STATUS: status });
  await Promise.all(SERVICES.map(startConfined));
  const names = ['shop', 'http', 'grpc', 'sse', 'events', 'tokens', 'pictures'];
  lib = Object.assign({}, ...(await Promise.all(names.map((name) => import(`../lib/${name}.mjs`)))));
  world = await lib.shop({ stock: 100 });
}, { timeout: 300_000 }); // on a busy machine a stack takes its time

after(async () => {
  if (skip) return;
  for (const box of Object.values(running)) await box.kill();
  lib?.closeClients();
  rmSync(boxes, { recursive: true, force: true });
  await stack.down();
}, { timeout: 300_000 });

const advance = async (orderId, to) => lib.expectJson(200, `POST /api/v1/deliveries/${orderId}/advance`, { token: await lib.operatorToken(), json: { to } });

test('each is a user without rights, under the filter, and has nothing it could write to', { skip }, () => {
  for (const name of SERVICES) {
    const at = `/proc/${running[name].pid}`;
    const status = Object.fromEntries(readFileSync(`${at}/status`, 'utf8').split('\n').map((line) => line.split(':\t')));
    assert.deepEqual([status.NoNewPrivs, status.Seccomp], ['1', '2'], name);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status[set], /^0+$/, `${name} ${set}`);
    if (UID !== 0) assert.equal(status.Uid.split('\t')[0], String(UID), name);
    const writable = readFileSync(`${at}/mountinfo`, 'utf8').trim().split('\n').map((line) => line.split(' ')).filter((mount) => !mount[5].split(',').includes('ro'));
    assert.deepEqual(writable.map((mount) => mount[4]), ['/proc'], name);
  }
});

test('an order, its events, its live stream, its rpcs, a picture and a cancellation', { skip, timeout: 30_000 }, async () => {
  const { buyer, sku, farm, product } = world;
  const { orderId } = await buyer.buys(sku);
  await until(async () => (await buyer.detail(orderId)).deliveryStatus === 'READY', { within: 10_000, what: 'the delivery' });
  const stream = await lib.sse(`${stack.status.gateway}/api/v1/deliveries/${orderId}/events`, { token: buyer.token });
  await within(5000, lib.take(stream, 1), 'the first event');
  await advance(orderId, 'ON_ROUTE');
  await within(5000, lib.take(stream, 1), 'the next event');
  await advance(orderId, 'DELIVERED');
  await until(async () => (await buyer.detail(orderId)).status === 'DELIVERED', { within: 10_000, what: 'DELIVERED' });

  const got = await lib.rpc('order-manager', 'GetOrder', { orderId }, buyer.token);
  assert.equal(got.codeName, 'OK', got.details);
  const upload = { token: farm.token, headers: { 'content-type': 'image/png' }, body: lib.png(), query: { alt: '사과' } };
  const { url } = await lib.expectJson(201, `POST /api/v1/products/${product.productId}/images`, upload);
  assert.equal((await lib.call(`GET ${url}`)).status, 200);
  const second = await buyer.buys(sku);
  assert.equal((await buyer.cancel(second.orderId, { reason: 'DELIVERY_DELAY' })).status, 200);
});

test('what operators ask of the admin port', { skip }, async () => {
  for (const name of SERVICES)
    for (const path of ['metrics', 'livez', 'readyz', 'version', 'config', 'requests', 'log-level'])
      assert.ok((await fetch(`${stack.status.services[name].admin}/${path}`)).ok, `${name} /${path}`);
});

test('PostgreSQL crashes and comes back: orders are taken again', { skip, timeout: 60_000 }, async () => {
  await stack.dev('stop', 'postgres', '--now');
  const refused = await world.buyer.order(world.sku);
  assert.equal(refused.status, 503, refused.text);
  await stack.dev('start', 'postgres');
  await until(async () => (await world.buyer.order(world.sku)).status === 201, { within: 20_000, what: 'orders to be taken again' });
});

test('SIGTERM: each drains and ends with 0; none was ever killed for a call', { skip, timeout: 30_000 }, async () => {
  for (const name of SERVICES) assert.ok(!running[name].hasEnded, `${name} had ended: ${logOf(name)}`);
  const codes = await within(25_000, Promise.all(SERVICES.map((name) => running[name].stop())), 'the end of the services');
  assert.deepEqual(codes, [0, 0, 0], SERVICES.map(logOf).join('\n'));
  for (const name of SERVICES) assert.match(logOf(name), /"drain.done"/, name);
});
