// SPDX-License-Identifier: Apache-2.0
// The admin port: probes, metrics, version. Must never be reachable through the gateway.

import { createServer } from 'node:http';

import { registry } from './metrics.mjs';

const READY_EVERY_MS = 500;

export class Admin {
  #config;
  #db;
  #state = 'starting';
  #asked = { at: 0, answer: null };

  constructor(config, db) {
    this.#config = config;
    this.#db = db;
    this.server = createServer((req, res) => this.#answer(req, res));
  }

  set state(state) {
    this.#state = state;
  }

  async #hasDatabase() {
    if (Date.now() - this.#asked.at > READY_EVERY_MS) this.#asked = { at: Date.now(), answer: this.#db.run('ping').then(() => true, () => false) };
    return this.#asked.answer;
  }

  async #readiness() {
    const checks = { lifecycle: this.#state, postgres: (await this.#hasDatabase()) ? 'up' : 'down' };
    const isReady = checks.lifecycle === 'serving' && checks.postgres === 'up';
    return [isReady ? 200 : 503, { status: isReady ? 'ready' : 'not ready', checks }];
  }

  async #answer(req, res) {
    const pages = {
      '/livez': () => [200, { status: 'alive' }],
      '/readyz': () => this.#readiness(),
      '/version': () => [200, { service: 'identity', node: process.version }],
      '/metrics': async () => [200, await registry.metrics(), registry.contentType],
    };
    const page = req.method === 'GET' || req.method === 'HEAD' ? pages[req.url.split('?')[0]] : null;
    const [status, body, type = 'application/json'] = page ? await page() : [404, { status: 'not found' }];
    res.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(type === 'application/json' ? JSON.stringify(body) : body);
  }

  listen() {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject).listen(this.#config.adminPort, this.#config.listenAddress, resolve);
    });
  }
}
