// SPDX-License-Identifier: Apache-2.0
// The gateways against the contracts: what is generated is current; every operation is routed, to its service, under its policy, in nginx and
// in Kong alike, and nothing more; Kong's file is what Kong's documentation says that it takes. Kong itself is not installable here: its part
// that nginx runs (limits by client) is run by nginx, its Lua by nginx's Lua, the rest is held against a schema.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import Ajv from 'ajv';
import { exportJWK } from 'jose';
import YAML from 'yaml';

import { describe } from '../../deploy/gateway/description.mjs';
import { generated } from '../../deploy/gateway/generate.mjs';
import { kong as kongOf } from '../../deploy/gateway/kong.mjs';
import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { freePort } from '../lib/port.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { operations } from '../lib/openapi.mjs';
import { ROOT } from '../lib/stack.mjs';
import { buyerToken, sign, claimsOf, operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const folder = join(ROOT, 'deploy/gateway');
const read = (name) => readFileSync(join(folder, name), 'utf8');
const text = describe();
const kong = YAML.parse(read('kong.yaml'));
const byId = (a, b) => (a.id < b.id ? -1 : 1);
const fill = (path) => path.replaceAll('{sha256}', '0'.repeat(64)).replaceAll(/\{[^}]+\}/g, () => uuid7());

for (const [name, made] of Object.entries(generated())) {
  test(`${name} is what routes.yaml says`, () => assert.equal(read(name), made, 'run: node deploy/gateway/generate.mjs'));
}

test('the description has every operation of the contracts, under its service and its security, and nothing more', () => {
  const wanted = operations.map(({ operationId, method, path, service, operation }) => ({ id: operationId, method, path, to: service, who: operation.security.length ? 'token' : 'anyone' }));
  const had = text.operations.map(({ name, method, path, to, who }) => ({ id: name, method, path, to, who }));
  assert.deepEqual(had.sort(byId), wanted.sort(byId));
});

test('a stream is one, and what is repeatable says so', () => {
  for (const { operationId, operation } of operations) {
    const row = text.operations.find(({ name }) => name === operationId);
    assert.equal(row.isStream, Object.values(operation.responses).some(({ content }) => content?.['text/event-stream']), operationId);
    const hasKey = operation.parameters?.some(({ in: where, name, required }) => where === 'header' && name === 'Idempotency-Key' && required) ?? false;
    assert.equal(row.isRetried, hasKey, `${operationId}: only what has an Idempotency-Key may be sent twice`);
    const isPicture = Object.keys(operation.requestBody?.content ?? {}).some((type) => type.startsWith('image/'));
    assert.equal(row.body === 'picture', isPicture, operationId);
  }
});

test('a slip in the description is refused', () => {
  const source = read('routes.yaml');
  for (const [what, from, to] of [
    ['an unknown upstream', 'to: order-manager, who: token, class: order', 'to: order-manger, who: token, class: order'],
    ['an unknown caller', 'who: token, class: order', 'who: tokens, class: order'],
    ['an unknown class', 'class: order, body', 'class: orders, body'],
    ['an unknown word', 'body: json, retry: always', 'body: json, retries: always'],
    ['a cache for what needs a token', 'GET: /api/v1/orders, to: order-manager, who: token, class: read', 'GET: /api/v1/orders, to: order-manager, who: token, class: read, cache: second'],
    ['a path with two services', 'GET: /api/v1/orders, to: order-manager', 'GET: /api/v1/orders, to: fruit-catalog'],
  ]) {
    assert.ok(source.includes(from), from);
    assert.throws(() => describe(source.replace(from, to)), /routes\.yaml/, what);
  }
});

test('nginx sends every operation to its service, and nothing else to any', { timeout: 120_000 }, async (t) => {
  const standIns = {};
  for (const name of ['fruit-catalog', 'order-manager', 'delivery-mock']) standIns[name] = await openStandIn(t, (request, response) => answerJson(response, { service: name }));
  const ports = Object.fromEntries(Object.entries(standIns).map(([name, { port }]) => [`${name.toUpperCase().replaceAll('-', '_')}_HTTP_PORT`, port]));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, ...ports });
  const headers = { authorization: `Bearer ${await operatorToken()}` };
  for (const { operationId, method, path, service } of operations) {
    const answer = await ask(`${method} ${fill(path)}`, { base: gateway.plain, headers });
    assert.equal(answer.json?.service, service, `${operationId}: ${answer.status} ${answer.text}`);
  }
  const seen = () => Object.values(standIns).reduce((sum, one) => sum + one.seen.length, 0);
  const before = seen();
  const known = new Set(operations.map(({ method, path }) => `${method} ${path}`));
  for (const path of new Set(operations.map(({ path: one }) => one))) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((one) => !known.has(`${one} ${path}`))) {
      assert.equal((await ask(`${method} ${fill(path)}`, { base: gateway.plain, headers })).status, 405, `${method} ${path}`);
    }
    for (const more of ['/', '/more', 'x']) {
      const longer = fill(path) + more;
      if (operations.some(({ match }) => match.test(longer))) continue;
      assert.equal((await ask(`GET ${longer}`, { base: gateway.plain, headers })).status, 404, longer);
    }
  }
  for (const path of ['/api/v1', '/api/v1/', '/api/v1/quotes', '/api/v2/orders', '/api/v1/skus', '/api/v1/simulation/x', '/catalog.v1.CatalogService/Reserve', '/grpc.health.v1.Health/Check']) {
    assert.ok([404, 308].includes((await ask(`GET ${path}`, { base: gateway.plain, headers })).status), path);
  }
  assert.equal(seen(), before);
});

// Kong matches a path that begins with ~ as a pattern from its beginning, another one as a prefix; methods as written.
const kongRoutes = kong.services.flatMap((service) => service.routes.map((route) => ({ ...route, service: service.name, host: service.host }))).concat(kong.routes.map((route) => ({ ...route, service: null })));
const kongRouteOf = (method, path) => {
  const fits = ({ methods, paths }) => (!methods || methods.includes(method)) && paths.some((one) => (one.startsWith('~') ? new RegExp(`^${one.slice(1)}`).test(path) : path.startsWith(one)));
  const weight = ({ paths }) => (paths[0].startsWith('~') ? 1e6 : paths[0].length); // patterns before prefixes, longer prefixes first
  return kongRoutes.filter(fits).sort((a, b) => weight(b) - weight(a))[0];
};
const pluginOf = (route, name) => route.plugins.find((one) => one.name === name)?.config;

test('Kong sends every operation to its service, under its policy, and nothing else to any', () => {
  for (const { operationId, method, path, service, operation } of operations) {
    const route = kongRouteOf(method, fill(path));
    const row = text.operations.find(({ name }) => name === operationId);
    assert.equal(route?.name, operationId, `${method} ${path}`);
    assert.equal(route.service.replace(/-streams$/, ''), service);
    assert.equal(route.host, `${service}.gwasuwon.svc`);
    assert.equal(Boolean(pluginOf(route, 'jwt')), operation.security.length > 0, `${operationId}: who may`);
    assert.equal(pluginOf(route, 'request-size-limiting').allowed_payload_size, text.bodies[row.body]);
    assert.equal(Boolean(pluginOf(route, 'proxy-cache')), Boolean(row.cache));
    assert.equal(route.response_buffering, !row.isStream);
    assert.deepEqual(route.protocols, ['https']);
    assert.equal(route.strip_path, false);
    const limits = pluginOf(route, 'rate-limiting');
    if (row.who === 'token') assert.deepEqual({ second: limits.second, minute: limits.minute }, text.limits[row.class].account, operationId);
    else assert.equal(limits, undefined);
  }
  const named = kongRoutes.filter(({ paths }) => paths[0].startsWith('~')).map(({ name }) => name);
  assert.deepEqual(named.sort(), operations.map(({ operationId }) => operationId).sort());
  const known = new Set(operations.map(({ method, path }) => `${method} ${path}`));
  for (const path of new Set(operations.map(({ path: one }) => one))) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((one) => !known.has(`${one} ${path}`))) assert.equal(kongRouteOf(method, fill(path)).name, 'no_operation', `${method} ${path}`);
  }
  for (const path of ['/api/v1/orders/', '/api/v1/orders;x', '/api/v1/orders/a/b/c', '/api/v1/', '/api/']) assert.equal(kongRouteOf('GET', path)?.service ?? null, null, path);
  const ports = new Set(kong.services.map(({ port }) => port));
  assert.deepEqual([...ports], [8080], 'neither gRPC nor admin');
});

test('Kong grants nothing to other origins and marks every answer', () => {
  const all = [...kong.plugins, ...kongRoutes.flatMap(({ plugins }) => plugins)];
  assert.ok(!all.some(({ name }) => name === 'cors'));
  const common = kong.plugins.find(({ name }) => name === 'response-transformer').config.add.headers;
  for (const [name, value] of Object.entries({ ...text.headers, 'Strict-Transport-Security': text.strictTransport })) assert.ok(common.includes(`${name}:${value}`), name);
  assert.ok(kong.plugins.some(({ name, config }) => name === 'correlation-id' && config.echo_downstream));
  // A route's own plugin stands in for the general one of that name: it has to say all of it again.
  for (const { name, plugins } of kongRoutes) {
    const own = plugins.find((one) => one.name === 'response-transformer');
    if (own) for (const line of common.filter((one) => !one.startsWith('Content-Security'))) assert.ok(own.config.add.headers.includes(line), `${name}: ${line}`);
  }
});

const schema = JSON.parse(read('kong.schema.json'));
const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
const isValid = (file) => validate(file) || `${validate.errors.map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`).join('\n')}`;

test('Kong\'s file fits the schema of Kong\'s entities and of each plugin\'s settings', () => assert.equal(isValid(kong), true));

test('the schema refuses what Kong would refuse', () => {
  const route = (file) => file.services.find(({ name }) => name === 'order-manager').routes.find(({ name }) => name === 'order_place');
  const config = (file, name) => route(file).plugins.find((one) => one.name === name).config;
  for (const [what, spoil] of [
    ['another format', (file) => { file._format_version = '2.1'; }],
    ['an unknown plugin', (file) => route(file).plugins.push({ name: 'rate-limitting', config: {} })],
    ['an unknown setting', (file) => { config(file, 'jwt').issuer = 'x'; }],
    ['a claim that jwt does not check', (file) => config(file, 'jwt').claims_to_verify.push('aud')],
    ['a limit of nothing', (file) => { config(file, 'rate-limiting').second = 0; }],
    ['a count by a header without its name', (file) => { delete config(file, 'rate-limiting').header_name; }],
    ['a plain word as a path', (file) => { route(file).paths = ['api']; }],
    ['a redirect by another status', (file) => { route(file).https_redirect_status_code = 303; }],
    ['a header without a value', (file) => file.plugins[1].config.add.headers.push('X-Frame-Options')],
    ['a size in words', (file) => { config(file, 'request-size-limiting').size_unit = 'MB'; }],
    ['a message beside a body', (file) => { file.routes[0].plugins[0].config.message = 'x'; }],
    ['a symmetric key', (file) => { file.consumers[0].jwt_secrets = [{ key: 'k', algorithm: 'HS256', secret: 's' }]; }],
    ['a port that is none', (file) => { file.services[0].port = 80800; }],
  ]) {
    const file = structuredClone(kong);
    spoil(file);
    assert.notEqual(isValid(file), true, what);
  }
});

test('the issuer\'s keys become credentials, and nothing else does', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  const jwks = { keys: [{ ...(await exportJWK(rsa)), kid: 'a', use: 'sig' }, { ...(await exportJWK(ec)), kid: 'b' }, { ...(await exportJWK(rsa)), kid: 'c', use: 'enc' }, { kty: 'oct', k: 'c2VjcmV0', kid: 'd' }, await exportJWK(rsa)] };
  const file = YAML.parse(kongOf(text, jwks));
  assert.equal(isValid(file), true);
  assert.deepEqual(file.consumers[0].jwt_secrets.map(({ key, algorithm, rsa_public_key: pem }) => [key, algorithm, pem]), [['a', 'RS256', rsa.export({ type: 'spki', format: 'pem' })], ['b', 'ES256', ec.export({ type: 'spki', format: 'pem' })]]);
  assert.equal(kong.consumers[0].jwt_secrets, undefined, 'a key lies in the checkout');
});

// ---- what Kong has nginx run, run by nginx ----------------------------------------------------------------------------------

async function openNginx(t, http, server) {
  const dir = mkdtempSync(join(tmpdir(), 'gw-kong-'));
  const port = await freePort();
  writeFileSync(join(dir, 'nginx.conf'), `load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr crit;
events {}
http { access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
${http}
server { listen 127.0.0.1:${port}; ${server} } }`);
  const options = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'];
  await promisify(execFile)('/usr/sbin/nginx', ['-t', ...options]);
  const nginx = spawn('/usr/sbin/nginx', options, { stdio: 'ignore' });
  const ended = new Promise((resolve) => nginx.on('exit', resolve));
  t.after(async () => {
    nginx.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true });
  });
  const base = `http://127.0.0.1:${port}`;
  await until(() => ask('GET /health', { base }).then(() => true, () => false), { what: 'nginx' });
  return base;
}

test('Kong\'s limits by client: who comes too often gets 429, others and other classes do not', { timeout: 60_000 }, async (t) => {
  const base = await openNginx(t, read('kong-client-zones.conf'), `${read('kong-client-limits.conf')} location / { default_type text/plain; try_files /none @ok; } location @ok { return 200 ok; }`);
  const send = (line, from) => ask(line, { base, from });
  const answers = await Promise.all(Array.from({ length: 60 }, () => send('POST /api/v1/orders')));
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 20 && refused.length < 60, `${refused.length} refused`);
  assert.equal(refused[0].headers['retry-after'], '1');
  assert.equal(refused[0].json.code, 'too_many_requests');
  assert.equal((await send('GET /api/v1/orders')).status, 200);
  assert.equal((await send('POST /api/v1/orders', '127.0.0.2')).status, 200);
  for (const { method, path } of operations) if (method !== 'POST') assert.equal((await send(`${method} ${fill(path)}`, '127.0.0.3')).status, 200);
});

test('Kong\'s function names the account by the token\'s subject, and takes no such header from a client', { timeout: 60_000 }, async (t) => {
  const [code] = pluginOf(kongRouteOf('POST', '/api/v1/orders'), 'pre-function').access;
  const base = await openNginx(t, 'lua_socket_log_errors off;', `location / { default_type text/plain; content_by_lua_block {
    local kong = { request = { get_header = function(name) return ngx.req.get_headers()[name] end }, service = { request = { clear_header = ngx.req.clear_header, set_header = ngx.req.set_header } } }
    local run = assert(load([==[${code}]==], "pre-function", "t", { kong = kong, ngx = ngx }))
    run()
    ngx.print(ngx.req.get_headers()["x-gwasuwon-account"] or "nobody")
  } }`);
  const account = async (headers) => (await ask('GET /', { base, headers: { 'x-gwasuwon-account': 'stolen', ...headers } })).text;
  const sub = uuid7();
  assert.equal(await account({ authorization: `Bearer ${await buyerToken(sub)}` }), sub);
  assert.equal(await account({ authorization: `bearer ${await sign(claimsOf({ sub, more: '한글 ÿ?>' }))}` }), sub);
  for (const authorization of ['', 'Bearer x', 'Bearer a.b.c', 'Basic abc', 'Bearer a.!!!.c']) assert.equal(await account(authorization ? { authorization } : {}), 'nobody', authorization);
});
