// SPDX-License-Identifier: Apache-2.0
// What an operator relies on: probes, version, metrics, work in flight, the log level, and a service that ends cleanly: it drains, answers
// what it took, exits 0 and leaves no sanitizer report.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { READ, closeClients, rpc } from '../lib/grpc.mjs';
import { RawConnection } from '../lib/raw.mjs';
import { secondInstance } from '../lib/second.mjs';
import { SERVICES, readiness, service } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until, within } from '../lib/until.mjs';

const admin = (name, path, options) => fetch(`${service(name).admin}${path}`, options);
const DEPENDENCIES = { 'fruit-catalog': ['keys', 'loops', 'order-manager', 'postgres', 'rabbitmq', 'token'], 'order-manager': ['delivery-mock', 'fruit-catalog', 'keys', 'loops', 'postgres', 'rabbitmq', 'token'], 'delivery-mock': ['keys', 'loops', 'postgres', 'rabbitmq', 'token'] };

after(closeClients);

for (const name of SERVICES) {
  test(`${name} is alive and ready, and says of what`, async () => {
    assert.equal((await admin(name, '/livez')).status, 200);
    const { status, body } = await readiness(name);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.status, 'ready');
    assert.deepEqual(Object.keys(body.checks).toSorted(), DEPENDENCIES[name]);
    for (const check of Object.values(body.checks)) assert.equal(check.status, 'up');
  });

  test(`${name} tells its version`, async () => {
    const body = await (await admin(name, '/version')).json();
    assert.equal(body.service, name);
    assert.match(body.version, /^\d+\.\d+\.\d+/);
  });

  test(`${name} counts its requests and calls`, async () => {
    await fetch(`${service(name).http}/api/v1/nothing`);
    await rpc(name, READ[name].method, READ[name].request(), await operatorToken());
    const answer = await admin(name, '/metrics');
    assert.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    for (const metric of ['http_server_request_duration_seconds_bucket', 'http_server_request_duration_seconds_count', 'rpc_server_call_duration_seconds_count', 'db_client_operation_duration_seconds_count', 'process_resident_memory_bytes']) {
      assert.match(text, new RegExp(`^${metric}\\b`, 'm'), `${metric} is missing`);
    }
    for (const line of text.split('\n').filter((one) => one && !one.startsWith('#'))) assert.match(line, /^[a-zA-Z_:][\w:]*(\{[^\n]*\})? [-+.\deInfNa]+$/);
  });

  test(`${name} never puts an id into a metric's label`, async () => {
    const text = await (await admin(name, '/metrics')).text();
    assert.doesNotMatch(text, /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}/);
  });

  test(`${name} changes its log level while it runs`, async () => {
    const put = (level) => admin(name, '/log-level', { method: 'PUT', body: level });
    assert.equal((await put('debug')).status, 200);
    assert.deepEqual(await (await admin(name, '/log-level')).json(), { level: 'debug' });
    assert.equal((await put('loud')).status, 400);
    await put('info');
  });

  test(`${name} drains on SIGTERM: not ready, still serving, then exit 0 without a report`, async () => {
    const instance = await secondInstance(name, { DRAIN_WAIT_MS: '700' });
    const kept = await RawConnection.open(instance.http);
    kept.send('GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.equal((await kept.answer()).status, 404);
    instance.child.kill('SIGTERM');
    await until(async () => (await instance.ready()) === 503, { within: 600, what: 'not ready while it drains' });
    kept.send('GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.equal((await kept.answer()).status, 404, 'it still serves');
    const { code, signal, output } = await within(20_000, instance.ended, 'the end');
    assert.deepEqual([code, signal], [0, null], output);
    assert.doesNotMatch(output, /Sanitizer|runtime error/);
    kept.destroy();
  });

  test(`${name} answers a request that was under way when SIGTERM came`, async () => {
    const instance = await secondInstance(name, { DRAIN_WAIT_MS: '0' });
    const connection = await RawConnection.open(instance.http);
    connection.send('POST /api/v1/nothing HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{');
    await until(async () => (await fetch(`${instance.http}/api/v1/nothing`)).status === 404);
    instance.child.kill('SIGTERM');
    await until(() => fetch(`${instance.admin}/readyz`).then((answer) => answer.status === 503, () => true), { what: 'the drain' });
    connection.send('}');
    assert.equal((await connection.answer()).status, 404);
    assert.ok(await connection.closes(5000));
    assert.equal((await within(20_000, instance.ended)).code, 0);
    connection.destroy();
  });
}
