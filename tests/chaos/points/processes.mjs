// SPDX-License-Identifier: Apache-2.0
// The services as processes of the runner's own: started in milliseconds with the environment ./dev wrote for them, killed, stopped and
// continued by their own pid. Exists because a restart by ./dev takes longer than all the rest of a visit. Must never touch a process that
// it did not start, but those of its own stack at the beginning.

import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { until, within } from '../../lib/until.mjs';

const READY_MS = 15_000;

export class Process {
  #child = null;

  constructor({ name, binary, environment, log }) {
    Object.assign(this, { name, binary, environment });
    this.log = createWriteStream(log, { flags: 'a' });
    this.admin = `http://127.0.0.1:${environment.ADMIN_PORT}`;
    this.http = `http://127.0.0.1:${environment.HTTP_PORT}`;
    this.grpc = `127.0.0.1:${environment.GRPC_PORT}`;
  }

  get isAlive() {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // start({ point: 'PLACE_RESERVED:die:1', settings: { RABBITMQ_URI: … } }): returns when it is ready, or has been struck before that.
  async start({ point, settings = {} } = {}) {
    const env = { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', ...this.environment, ...settings, ...(point ? { CH_POINT: point } : {}) };
    const child = spawn(this.binary, [], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    child.stdout.pipe(this.log, { end: false });
    child.stderr.pipe(this.log, { end: false });
    this.isHit = false;
    this.hit = new Promise((resolve) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (!line.includes('"point.hit"')) return;
        this.isHit = true;
        resolve(JSON.parse(line));
      });
    });
    await until(async () => this.isHit || !this.isAlive || (await this.#isReady('RABBITMQ_URI' in settings)), { within: READY_MS, what: `${this.name} to be ready` });
    if (!this.isAlive && !this.isHit) throw new Error(`${this.name} ended at its start: ${JSON.stringify(await this.ended)}`);
  }

  async #checks() {
    const answer = await fetch(`${this.admin}/readyz`, { signal: AbortSignal.timeout(500) });
    return { isReady: answer.status === 200, checks: (await answer.json()).checks };
  }

  async #isReady(isWithoutBroker) {
    const { isReady, checks } = await this.#checks();
    return isReady && (isWithoutBroker || checks.rabbitmq.status === 'up');
  }

  // It has found its peers again: after their restart it waits a little longer each time before it looks.
  async seesAll() {
    await until(async () => Object.values((await this.#checks()).checks).every(({ status }) => status === 'up'), { within: READY_MS, what: `${this.name} to see its peers` });
  }

  signal(name) {
    this.#child.kill(name);
  }

  // 'T' when it is stopped.
  get state() {
    return /\) (\w)/.exec(readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8'))[1];
  }

  async kill() {
    if (!this.isAlive) return;
    this.#child.kill('SIGKILL');
    await within(5000, this.ended, `the end of ${this.name}`);
  }

  async restart(options) {
    await this.kill();
    await this.start(options);
  }
}

// Takes the services of a stack that is up over from ./dev: { 'order-manager': Process, 'order-manager-2': Process, … }, none started.
export async function takeOver(stack, { environmentOf, SERVICES, build }) {
  const all = {};
  for (const [name, { pid }] of Object.entries(stack.services)) {
    const base = SERVICES.find((one) => name === one || name.startsWith(`${one}-`));
    if (pid) process.kill(pid, 'SIGKILL');
    all[name] = new Process({ name, binary: join(build, 'services', base, base), environment: environmentOf(name), log: join(stack.var, 'log', `${name}.points.log`) });
  }
  return all;
}
