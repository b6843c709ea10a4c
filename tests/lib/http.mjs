// SPDX-License-Identifier: Apache-2.0
// The HTTP client of the tests. Each answer is checked against the OpenAPI contract before a test sees it, so that no test can pass on
// an answer that the contract does not know. Must never follow a redirect or repeat a request by itself.

import assert from 'node:assert/strict';
import { checkAnswer } from './openapi.mjs';
import { stack } from './stack.mjs';

// call('POST /api/v1/orders', { token, json, headers, body, base, query }) -> { status, headers, text, json }
export async function call(line, { token, json, body, headers = {}, base = stack.gateway, query, timeout = 15_000 } = {}) {
  const [method, path] = line.split(' ');
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) url.searchParams.set(name, value);
  const answer = await fetch(url, {
    method,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeout),
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(json !== undefined ? { 'content-type': 'application/json' } : {}),
      'cache-control': 'no-cache', // a test reads what it has just written, not what the gateway showed a moment ago
      ...headers,
    },
    body: json !== undefined ? JSON.stringify(json) : body,
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const type = answer.headers.get('content-type') ?? '';
  const text = bytes.toString('utf8');
  checkAnswer(method, url.pathname, answer.status, type, text);
  return { status: answer.status, headers: answer.headers, type, bytes, text, json: /json/.test(type) ? JSON.parse(text) : undefined };
}

// The same, and the status must be this one: returns the JSON body.
export async function expectJson(status, line, options) {
  const answer = await call(line, options);
  assert.equal(answer.status, status, `${line} answered ${answer.status}: ${answer.text}`);
  return answer.json;
}

// expectProblem(409, 'stock_short', '/lines/0/quantity', line, options): status, code, and the pointer of one of the faults.
export async function expectProblem(status, code, pointer, line, options) {
  const answer = await call(line, options);
  assertProblem(answer, status, code, pointer);
  return answer;
}

export function assertProblem(answer, status, code, pointer) {
  assert.equal(answer.status, status, `${answer.status}: ${answer.text}`);
  assert.match(answer.type, /^application\/problem\+json\b/);
  const problem = answer.json;
  assert.equal(problem.code, code, answer.text);
  assert.equal(problem.status, status);
  assert.equal(problem.type, `https://gwasuwon.example/problems/${code}`);
  assert.match(problem.traceId, /^(?!0{32})[0-9a-f]{32}$/);
  if (pointer !== undefined && pointer !== null) {
    assert.ok(problem.errors.some((fault) => fault.pointer === pointer), `no fault at "${pointer}": ${JSON.stringify(problem.errors)}`);
  }
}
