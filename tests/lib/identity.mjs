// SPDX-License-Identifier: Apache-2.0
// People and clients of the identity service, for tests: a visitor with cookies who follows links and sends forms as a browser does, the
// mails that were sent, and openid-client over the stack's own TLS. Must never look into the service's database to learn a secret.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as oidc from 'openid-client';

import { ask } from './edge.mjs';
import { stack } from './stack.mjs';
import { until } from './until.mjs';

export { oidc };
export const ISSUER = stack.issuer;
export const ORIGIN = new URL(ISSUER).origin;
export const RESOURCE = 'urn:gwasuwon:api';
export const SHOP = `${ORIGIN}/shop/`;
export const PEOPLE_SCOPE = 'openid profile email orders:read orders:write';
export const demoPassword = () => /^DEMO_PASSWORD=(.*)$/m.exec(readFileSync(join(stack.var, 'secrets.env'), 'utf8'))[1];

let addresses = 0;
// An address of this machine that no other test of this process has come from: limits count by it.
export const freshAddress = () => `127.${1 + (process.pid % 200)}.${(addresses >> 8) & 255}.${1 + (addresses++ & 127)}`;
let names = 0;
export const freshLogin = () => `t${process.pid}-${Date.now().toString(36)}-${names++}@shop.example`;

const unescaped = (text) => text.replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');

// What a page says, as far as tests look: its heading, notice, forms and links.
export function read(text) {
  const inputs = [...text.matchAll(/<input\b([^>]*)>/g)].map(([, tag]) => Object.fromEntries([...tag.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, unescaped(value)])));
  return {
    heading: /<h1>([^<]*)<\/h1>/.exec(text)?.[1],
    notice: /<p class="notice[^"]*"[^>]*>([^<]*)</.exec(text)?.[1],
    action: unescaped(/<form[^>]*action="([^"]*)"/.exec(text)?.[1] ?? ''),
    hidden: Object.fromEntries(inputs.filter((input) => input.type === 'hidden').map((input) => [input.name, input.value ?? ''])),
    links: [...text.matchAll(/<a href="([^"]*)"/g)].map(([, href]) => unescaped(href)),
  };
}

export class Visitor {
  #cookies = new Map(); // name and path -> value

  constructor({ from = freshAddress(), agent = 'Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0 Safari/537.36' } = {}) {
    this.from = from;
    this.agent = agent;
  }

  #cookiesFor(path) {
    return [...this.#cookies].filter(([key]) => path.startsWith(key.split(' ')[1])).map(([key, value]) => `${key.split(' ')[0]}=${value}`).join('; ');
  }

  #keep(lines = []) {
    for (const line of lines) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      const key = `${name} ${/;\s*path=([^;]*)/i.exec(line)?.[1] ?? '/'}`;
      if (value && !/expires=Thu, 01 Jan 1970/i.test(line)) this.#cookies.set(key, value);
      else this.#cookies.delete(key);
    }
  }

  get cookies() {
    return Object.fromEntries([...this.#cookies].map(([key, value]) => [key.split(' ')[0], value]));
  }

  // One request; no redirect is followed.
  async ask(method, url, form = null, headers = {}) {
    const { pathname, search } = new URL(url, ISSUER);
    const body = form && new URLSearchParams(form).toString();
    const answer = await ask(`${method} ${pathname}${search}`, {
      from: this.from, body,
      headers: { Host: new URL(ISSUER).host, Accept: 'text/html', 'User-Agent': this.agent, Cookie: this.#cookiesFor(pathname), ...(body === null ? {} : { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body), Origin: ORIGIN }), ...headers },
    });
    this.#keep(answer.headers['set-cookie']);
    return { ...answer, url: new URL(url, ISSUER).href, page: read(answer.text) };
  }

  // Follows redirects until there is a page, or the way leads to the client.
  async go(method, url, form) {
    let answer = await this.ask(method, url, form);
    for (let hops = 0; [302, 303].includes(answer.status); hops++) {
      assert.ok(hops < 12, 'redirects go in a circle');
      const next = new URL(answer.headers.location, answer.url);
      if (!next.href.startsWith(`${ISSUER}/`)) return { ...answer, leads: next };
      answer = await this.ask('GET', next.href);
    }
    return answer;
  }

  open(url) {
    return this.go('GET', url);
  }

  // Fills in the page's form and sends it.
  send(page, fields) {
    return this.go('POST', page.page.action, { ...page.page.hidden, ...fields });
  }

  async signIn(url, login, password) {
    return this.send(await this.open(url), { login, password });
  }

  async signUp(url, login, password) {
    const page = await this.open(url);
    const form = await this.open(`${page.page.action}/signup`);
    const sent = await this.send(form, { login, password });
    const code = /인증번호: (\d{6})/.exec(await mailTo(login))[1];
    return this.send(sent, { code });
  }
}

// mailTo(address): the text of the newest mail to it, as soon as there is one.
export function mailTo(address, { after = 0 } = {}) {
  const folder = join(stack.var, 'mail');
  const look = () => readdirSync(folder).filter((name) => /^[^.].*\.eml$/.test(name)).sort().map((name) => readFileSync(join(folder, name), 'utf8')).filter((text) => text.includes(`\r\nTo: ${address}\r\n`));
  return until(() => look()[after] && look().at(-1), { what: `a mail to ${address}` });
}

const asResponse = ({ status, text, headers }) => new Response(text || null, { status, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'set-cookie')) });

// openid-client's way out: the stack's own TLS, from a chosen address, or from another one each time: limits count by it.
const fetchFrom = (from) => async (url, { method = 'GET', headers, body } = {}) => {
  const { pathname, search } = new URL(url);
  const text = body === undefined || body === null ? undefined : String(body);
  return asResponse(await ask(`${method} ${pathname}${search}`, { from: from ?? freshAddress(), body: text, headers: { ...Object.fromEntries(new Headers(headers)), ...(text === undefined ? {} : { 'content-length': Buffer.byteLength(text) }) } }));
};

// discover(clientId, secret): a Configuration of openid-client.
export function discover(clientId = 'gwasuwon-web', secret = null, { from } = {}) {
  const authentication = secret ? oidc.ClientSecretBasic(secret) : oidc.None();
  return oidc.discovery(new URL(ISSUER), clientId, secret ? { client_secret: secret } : {}, authentication, { [oidc.customFetch]: fetchFrom(from) });
}

// flow(config): what a client prepares for one sign-in.
export async function flow(config, more = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const parameters = { redirect_uri: SHOP, scope: PEOPLE_SCOPE, code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', state, ...more };
  return { verifier, state, url: oidc.buildAuthorizationUrl(config, parameters).href };
}

export const redeem = (config, begun, leads) => oidc.authorizationCodeGrant(config, leads, { pkceCodeVerifier: begun.verifier, expectedState: begun.state, idTokenExpected: true });

// tokensOf({ login, password }): a whole sign-in; of a new buyer when no login is given.
export async function tokensOf({ login, password = 'correct horse battery', visitor = new Visitor(), scope } = {}) {
  const config = await discover();
  const begun = await flow(config, scope ? { scope } : {});
  const name = login ?? freshLogin();
  const { leads, page, status } = login ? await visitor.signIn(begun.url, login, password) : await visitor.signUp(begun.url, name, password);
  assert.ok(leads, `no way back to the client: ${status} ${page.heading} ${page.notice}`);
  return { config, visitor, login: name, password, tokens: await redeem(config, begun, leads) };
}

export const refresh = (config, tokens) => oidc.refreshTokenGrant(config, tokens.refresh_token);

// The code of an OAuth error, or a failure when there was none.
export async function refusalOf(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (cause) => cause);
  return error.error ?? error.cause?.[0]?.parameters?.error ?? error.code ?? String(error);
}
