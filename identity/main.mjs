// SPDX-License-Identifier: Apache-2.0
// The identity service: a local OpenID provider with Korean pages. Exists so that the shop has sign-in without a cluster; any other issuer
// can stand in its place. Must never start with a bad setting, lose a request while it ends, or hold a private key that others can read.

import './src/console.mjs';

import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

import { Accounts } from './src/accounts.mjs';
import { Admin } from './src/admin.mjs';
import { Browsers } from './src/browsers.mjs';
import { configOrExit, help, shown } from './src/config.mjs';
import { Database } from './src/db.mjs';
import { withDevice } from './src/device.mjs';
import { frame } from './src/frame.mjs';
import { Keyring } from './src/keyring.mjs';
import { log } from './src/log.mjs';
import { Mailbox } from './src/mail.mjs';
import { accountPages } from './src/pages/account.mjs';
import { interactionPages } from './src/pages/interaction.mjs';
import { Passwords } from './src/passwords.mjs';
import { makeProvider } from './src/provider.mjs';
import { makeRouter } from './src/router.mjs';
import { Shop } from './src/shop.mjs';

const SWEEP_MS = 60_000;
const RUNNING_MAX = 1000;
const EXIT_PORT = 71;

// Everything is said of the issuer's address, whatever a client's Host header says. The provider stands under the issuer's path.
function toProvider(config, answer) {
  const { host, protocol, pathname } = new URL(config.issuer);
  return (req, res) => {
    Object.assign(req.headers, { host, 'x-forwarded-host': host, 'x-forwarded-proto': protocol.slice(0, -1) });
    if (!req.url.startsWith(`${pathname}/`)) return res.writeHead(404).end();
    req.originalUrl = req.url;
    req.url = req.url.slice(pathname.length);
    return withDevice(req.headers['user-agent'], () => answer(req, res));
  };
}

class Service {
  #running = 0;
  #isEnding = false;

  constructor(config) {
    this.config = config;
    this.db = new Database(config);
    this.passwords = new Passwords(config.hashConcurrency);
    this.mailbox = new Mailbox(config.mailDir, config.issuer);
    this.browsers = new Browsers(config.secret);
    this.keyring = new Keyring(config);
    this.shop = new Shop(config, this);
    this.accounts = new Accounts(config, this);
    this.admin = new Admin(config, this.db);
    this.server = createServer({ requestTimeout: 30_000, headersTimeout: 15_000, keepAliveTimeout: 75_000 }, (req, res) => this.#count(req, res));
  }

  #count(req, res) {
    if (this.#running >= RUNNING_MAX) return res.writeHead(503, { 'Retry-After': '1' }).end();
    this.#running += 1;
    res.once('close', () => { this.#running -= 1; });
    if (this.#isEnding) res.setHeader('Connection', 'close');
    return this.serve(req, res);
  }

  // Requests that run stay with the provider that they began with.
  #provide() {
    const origin = new URL(this.config.issuer).origin;
    const pages = (provider) => makeRouter({ ...interactionPages(provider, this), ...accountPages(provider, this) }, origin);
    this.serve = toProvider(this.config, makeProvider(this.config, this, frame, pages).callback());
  }

  async start() {
    await this.passwords.prepare();
    this.keyring.load();
    this.#provide();
    this.keyring.start(() => this.#provide());
    await this.admin.listen();
    await new Promise((resolve, reject) => { this.server.once('error', reject).listen(this.config.httpPort, this.config.listenAddress, resolve); });
    this.sweeper = setInterval(() => this.accounts.sweep().catch((error) => log.warn('sweep.failed', { reason: error.message })), SWEEP_MS);
    this.admin.state = 'serving';
    log.info('service.ready', shown(this.config));
  }

  // Not ready, then no new connections, then what runs ends.
  async end(signal) {
    if (this.#isEnding) process.exit(130);
    this.#isEnding = true;
    this.admin.state = 'draining';
    log.info('drain.started', { signal, running: this.#running });
    await pause(this.config.drainWaitMs);
    clearInterval(this.sweeper);
    this.keyring.stop();
    const closed = new Promise((resolve) => { this.server.close(resolve); });
    this.server.closeIdleConnections();
    await Promise.race([closed, pause(this.config.drainTimeoutMs)]);
    this.server.closeAllConnections();
    await Promise.race([this.db.close(), pause(1000)]);
    log.info('drain.done', { left: this.#running });
    process.exit(0);
  }
}

async function main() {
  if (process.argv.includes('--help')) return process.stdout.write(help());
  const config = configOrExit(log);
  log.setLevel(config.logLevel);
  process.on('unhandledRejection', (error) => log.error('rejection.unhandled', { error: error?.name, reason: error?.message, at: error?.stack?.split('\n')[1]?.trim() }));
  const service = new Service(config);
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => service.end(signal));
  return service.start().catch((error) => {
    log.error('service.failed', { error: error.name, code: error.code ?? null, reason: error.message });
    process.exit(error.code === 'EADDRINUSE' ? EXIT_PORT : 1);
  });
}

await main();
