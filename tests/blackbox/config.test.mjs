// SPDX-License-Identifier: Apache-2.0
// Settings that a service must not start with: it ends with exit code 78 and names the variable and its rule on stderr, never a secret.
// And what it prints of itself: --help, --version, --check-config.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';

import { SERVICES, binaryOf, environmentOf, service } from '../lib/stack.mjs';

const EX_CONFIG = 78;

// Runs the service with its own environment changed by `change` (null takes a variable away).
function run(name, change, args = []) {
  const env = { PATH: process.env.PATH, ...environmentOf(name), HTTP_PORT: '0', GRPC_PORT: '0', ADMIN_PORT: '0', ...change };
  for (const [key, value] of Object.entries(env)) if (value === null) delete env[key];
  return new Promise((resolve) => {
    execFile(binaryOf(name), args, { env, timeout: 20_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }));
  });
}

const CASES = [
  ['HTTP_PORT', 'eighty', /integer/],
  ['HTTP_PORT', '70000', /0 to 65535/],
  ['GRPC_PORT', '-1', /0 to 65535/],
  ['ADMIN_PORT', '80x', /integer/],
  ['LISTEN_ADDRESS', 'nowhere.invalid', /./],
  ['LOOPS', '65', /0 to 64/],
  ['LOOPS', '1.5', /integer/],
  ['POSTGRES_URI', 'mysql://u:hushhush@127.0.0.1/db', /postgresql:\/\//],
  ['POSTGRES_URI', null, /required/],
  ['RABBITMQ_URI', 'http://u:hushhush@127.0.0.1', /amqp:\/\//],
  ['RABBITMQ_URI', '', /required/],
  ['JWT_JWKS', '/nonexistent/jwks.json', /readable file/],
  ['JWT_JWKS', '/dev/null', /JSON Web Key Set/],
  ['JWT_JWKS', 'ftp://127.0.0.1/jwks.json', /http/],
  ['JWT_ISSUER', null, /required/],
  ['SERVICE_TOKEN_FILE', '/nonexistent/token', /readable file/],
  ['OTLP_ENDPOINT', 'localhost:4318', /http/],
  ['LOG_LEVEL', 'loud', /error, warn, info or debug/],
  ['REQUEST_TIMEOUT_MS', '5s', /integer/],
  ['REQUEST_TIMEOUT_MS', '1', /10 to 600000/],
  ['DRAIN_TIMEOUT_MS', '-5', /0 to 600000/],
  ['TRACE_SAMPLE_RATIO', '2', /0 to 1/],
  ['TRACE_SAMPLE_RATIO', 'nan', /number/],
  ['DB_WRITERS', '99999999999999999999', /integer/],
];
const OWN_CASES = {
  'fruit-catalog': [['ORDERS_GRPC', null, /required/], ['LOW_STOCK_THRESHOLD', '-1', /0 to 100000/], ['HOLD_TTL_S', '0', /1 to 86400/]],
  'order-manager': [['CATALOG_GRPC', null, /required/], ['DELIVERY_GRPC', null, /required/], ['SHIPPING_FEE_KRW', 'free', /integer/]],
  'delivery-mock': [['SIMULATION_SPEED', '0', /0\.1 to 1000/], ['READY_MEAN_S', '0', /1 to 604800/], ['ROUTE_MEAN_S', 'long', /integer/]],
};

for (const name of SERVICES) {
  for (const [variable, setting, rule] of [...CASES, ...OWN_CASES[name]]) {
    test(`${name} does not start with ${variable}=${setting === null ? '(none)' : setting.replace('hushhush', '***')}`, async () => {
      const { code, stderr, stdout } = await run(name, { [variable]: setting });
      assert.equal(code, EX_CONFIG, `${code}: ${stderr}`);
      const line = stderr.split('\n').find((one) => one.startsWith(`${variable}: `));
      assert.ok(line, `${variable} is not named: ${stderr}`);
      assert.match(line, rule);
      assert.ok(!`${stderr}${stdout}`.includes('hushhush'), 'a secret is shown');
    });
  }

  test(`${name} names all wrong settings at once`, async () => {
    const { code, stderr } = await run(name, { HTTP_PORT: 'x', LOG_LEVEL: 'loud', JWT_ISSUER: null });
    assert.equal(code, EX_CONFIG);
    for (const variable of ['HTTP_PORT', 'LOG_LEVEL', 'JWT_ISSUER']) assert.match(stderr, new RegExp(`^${variable}: `, 'm'));
  });

  test(`${name} --check-config says yes, and shows no secret`, async () => {
    const { code, stdout, stderr } = await run(name, {}, ['--check-config']);
    assert.equal(code, 0, stderr);
    const { password } = new URL(environmentOf(name).POSTGRES_URI);
    assert.ok(password.length > 8 && !`${stdout}${stderr}`.includes(password));
  });

  test(`${name} --help tells every variable, --version the version`, async () => {
    const help = await run(name, {}, ['--help']);
    assert.equal(help.code, 0);
    for (const [variable] of [...CASES, ...OWN_CASES[name]]) assert.match(help.stdout, new RegExp(`\\b${variable}\\b`));
    const version = await run(name, {}, ['--version']);
    assert.match(version.stdout, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+`));
  });

  test(`${name} does not take what it was not told`, async () => {
    assert.equal((await run(name, {}, ['--port', '80'])).code, 64);
  });

  test(`${name} shows its settings on the admin port without secrets`, async () => {
    const text = await (await fetch(`${service(name).admin}/config`)).text();
    const shown = JSON.parse(text);
    assert.equal(shown.LOG_LEVEL, 'info');
    const { password } = new URL(environmentOf(name).POSTGRES_URI);
    assert.ok(!text.includes(password));
    assert.match(shown.POSTGRES_URI, /:\*\*\*@/);
  });
}
