// SPDX-License-Identifier: Apache-2.0
// The way to the running shop: where it is, tokens for it, requests to it, many at a time.
// Must never print a token, nor repeat a request that is not idempotent.

import { execFileSync } from 'node:child_process';
import { createPrivateKey, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SignJWT } from 'jose';

const DEV = fileURLToPath(new URL('../../dev', import.meta.url));
const DIRECTORY = JSON.parse(readFileSync(new URL('../accounts.json', import.meta.url), 'utf8'));
const REQUEST_TIMEOUT_MS = 30_000;
const TOKEN_TTL_S = 3600;
const INTERRUPTED = 'interrupted; the next run goes on from here';

// A failure that a person can do something about: shown without a stack trace.
export class Failure extends Error {}

// needs: the services without which there is no point in beginning.
export function findStack(needs) {
  let stack;
  try {
    stack = JSON.parse(execFileSync(DEV, ['status', '--json'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  } catch (error) {
    throw new Failure(`./dev status --json does not answer: is the stack up?\n${error.stderr || error.message}`);
  }
  const stopped = needs.filter((name) => !stack.services[name]?.pid);
  if (stopped.length) throw new Failure(`${stopped.join(', ')} does not run: ./dev up starts it`);
  return stack;
}

export function randomUuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

// Returns sign(role, sub): a bearer token as keys.mjs makes it, but for any sub.
export function openSigner(stack) {
  const dir = join(stack.var, 'keys');
  const kid = readFileSync(join(dir, 'signing.kid'), 'utf8').trim();
  const key = createPrivateKey(readFileSync(join(dir, `${kid}.pem`)));
  return (role, sub) => new SignJWT({ scope: DIRECTORY.roles[role].join(' '), roles: [role] })
    .setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
    .setIssuer(stack.issuer)
    .setAudience(DIRECTORY.audience)
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(`${TOKEN_TTL_S}s`)
    .setJti(randomUUID())
    .sign(key);
}

export const operatorOf = () => DIRECTORY.accounts.find(({ role }) => role === 'operator').sub;

// Answers { status, body, etag }, whatever the status; throws only when there is no answer.
export async function request(gateway, method, path, { token, json, bytes, type, headers = {} } = {}) {
  const answer = await fetch(gateway + path, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(json && { 'content-type': 'application/json' }),
      ...(bytes && { 'content-type': type }),
      ...headers,
    },
    body: json ? JSON.stringify(json) : bytes,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const text = await answer.text();
  return { status: answer.status, body: readBody(text), etag: answer.headers.get('etag') };
}

function readBody(text) {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function refused(what, method, path, { status, body }) {
  const shown = typeof body === 'string' ? body.slice(0, 2000) : JSON.stringify(body, null, 2);
  return new Failure(`${what}: ${method} ${path} answered ${status}\n${shown}`);
}

// After an interruption no request is begun; those under way end and are noted in the journal.
let isInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (isInterrupted = true));

// Returns call(what, method, path, options): the answer, if its status is among options.want; else the Failure says which item, what answered.
export function openCaller(gateway, token) {
  return async (what, method, path, { want = [200, 201], ...options } = {}) => {
    if (isInterrupted) throw new Failure(INTERRUPTED);
    let answer;
    try {
      answer = await request(gateway, method, path, { token, ...options });
    } catch (error) {
      throw new Failure(`${what}: ${method} ${path} got no answer from ${gateway}: ${error.cause?.message ?? error.message}`);
    }
    if (!want.includes(answer.status)) throw refused(what, method, path, answer);
    return answer;
  };
}

// Runs work(item) on all items, at most `lanes` at a time. The first failure stops what has not begun and is thrown when the rest has ended.
export async function inLanes(items, lanes, work) {
  const queue = items[Symbol.iterator]();
  let failure = null;
  const lane = async () => {
    for (const item of queue) {
      if (isInterrupted) failure ??= new Failure(INTERRUPTED);
      if (failure) return;
      try {
        await work(item);
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failure) throw failure;
}

// One line that is written over where a person looks, and once in a while where none does.
export function openProgress(stream = process.stdout) {
  const everyMs = stream.isTTY ? 50 : 2000;
  let lastMs = 0;
  return {
    show(text) {
      const now = Date.now();
      if (now - lastMs < everyMs) return;
      lastMs = now;
      stream.write(stream.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    },
    end(text) {
      stream.write(`${stream.isTTY ? '\r\x1b[K' : ''}${text}\n`);
    },
  };
}
