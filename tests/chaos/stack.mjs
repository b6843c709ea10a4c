// SPDX-License-Identifier: Apache-2.0
// The private stack of a run: brought up by ./dev, then its services are started again by us with links between them and all they need, so
// that a restart takes no longer than the service itself. Must always take the stack down again, and never touch another one.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../lib/stack-root.mjs';
import { Link } from './proxy.mjs';
import { Postgres, RabbitMQ } from './servers.mjs';
import { Service } from './service.mjs';

const run = promisify(execFile);

// Short lives for holds, boxes that leave after a while, events kept long enough to be counted.
const SETTINGS = {
  FRUIT_CATALOG_HOLD_TTL_S: '5',
  DELIVERY_MOCK_READY_MEAN_S: '12',
  DELIVERY_MOCK_ROUTE_MEAN_S: '12',
};

export class Stack {
  links = [];

  constructor({ folder, kind, instances, say }) {
    Object.assign(this, { folder, kind, instances, say });
  }

  async dev(...args) {
    const { stdout } = await run(join(ROOT, 'dev'), args, { env: { ...process.env, ...SETTINGS, GWASUWON_VAR: this.folder }, maxBuffer: 16 << 20, timeout: 900_000 });
    return stdout;
  }

  async up() {
    mkdirSync(this.folder, { recursive: true });
    await this.wipe(); // what an earlier run left
    await this.#start();
    this.status = JSON.parse(await this.dev('status', '--json'));
  }

  async #start() {
    await this.dev('up', '--kind', this.kind, '--no-seed', ...(this.instances > 1 ? ['--instances', String(this.instances)] : []));
  }

  // Every address in a service's environment that is not its own becomes a link.
  async wire(randomOf) {
    this.services = [];
    for (const [name, at] of Object.entries(this.status.services)) {
      const lines = readFileSync(join(this.folder, 'env', `${name}.env`), 'utf8').split('\n').filter(Boolean);
      const environment = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
      for (const [variable, value] of Object.entries(environment)) environment[variable] = await this.#relink(name, variable, value, randomOf);
      this.services.push(new Service({ name, at, environment, stack: this }));
    }
    this.postgres = new Postgres(this);
    this.rabbitmq = new RabbitMQ(this);
    this.parts = [...this.services, this.postgres, this.rabbitmq];
  }

  async #relink(service, variable, value, randomOf) {
    if (!/^(POSTGRES_URI|RABBITMQ_URI|[A-Z]+_GRPC)$/.test(variable)) return value;
    const wanted = [...value.matchAll(/127\.0\.0\.1:(\d+)/g)];
    let text = value;
    for (const [address, port] of wanted) {
      const to = variable.endsWith('_GRPC') ? this.#ownerOf('grpc', address) : variable.split('_')[0].toLowerCase();
      const name = `${service}>${to}`;
      const link = await new Link(name, '127.0.0.1', Number(port), randomOf(`link ${name}`)).open();
      this.links.push(link);
      text = text.replace(address, link.address);
    }
    return text;
  }

  #ownerOf(kind, address) {
    return Object.entries(this.status.services).find(([, at]) => at[kind] === address)?.[0] ?? address;
  }

  // All services anew, through their links.
  async restartThroughLinks() {
    for (const service of this.services) await service.adopt();
  }

  of(base) {
    return this.services.filter((service) => service.base === base);
  }

  // Whether every part answers.
  async isWhole() {
    for (const part of this.parts) if (!(await part.isAnswering())) return false;
    return true;
  }

  // Everything stopped, unmounted and deleted; what is not there is left out.
  async wipe() {
    const tell = (error) => this.say(`./dev down: ${error.stderr || error.message}`);
    await this.dev('down').catch(tell);
    await new Postgres(this).unmount();
    await this.dev('down', '--wipe').catch(tell);
  }

  // Kept: the links end with this process, so the services are started anew without them.
  async down({ isKept = false } = {}) {
    for (const link of this.links) link.set('pass');
    if (isKept && this.services) {
      for (const service of this.services) await service.drain();
      await this.#start();
    } else await this.wipe();
    for (const link of this.links) link.close();
  }
}
