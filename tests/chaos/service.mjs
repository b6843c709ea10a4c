// SPDX-License-Identifier: Apache-2.0
// One instance of a service: killed, stopped, drained, started again with the same environment. Must never leave it stopped (SIGSTOP) or dead
// when `heal` was awaited.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../lib/stack-root.mjs';
import { until } from '../lib/until.mjs';
import { send } from './client.mjs';
import { recordPid, recordedPid, signal } from './process.mjs';

export class Service {
  constructor({ name, at, environment, stack }) {
    Object.assign(this, { name, environment, stack, http: at.http, grpc: at.grpc, admin: at.admin });
    this.base = name.replace(/-\d+$/, '');
    this.binary = join(process.env.GWASUWON_BUILD ?? join(ROOT, 'build', stack.kind), 'services', this.base, this.base);
    this.run = join(stack.folder, 'run');
  }

  get pid() {
    return recordedPid(this.run, this.name);
  }

  start(more = {}) {
    if (this.pid) return;
    const log = openSync(join(this.stack.folder, 'log', `${this.name}.log`), 'a');
    const child = spawn(this.binary, [], {
      cwd: this.stack.folder,
      env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', HOME: this.stack.folder, ...this.environment, ...more },
      stdio: ['ignore', log, log],
      detached: true, // a session of its own, as ./dev starts it
    });
    closeSync(log);
    child.on('error', (error) => this.stack.say(`${this.name}: ${error.message}`));
    child.on('exit', (code, by) => {
      // 0 after SIGTERM, SIGKILL by us: anything else is the service's own doing.
      if (by !== 'SIGKILL' && code !== 0) this.onFault?.({ name: this.name, pid: child.pid, code, signal: by });
    });
    child.unref();
    if (child.pid) recordPid(this.run, this.name, child.pid);
  }

  // Until this process has ended; another may have taken its place.
  async gone(pid, within = 20_000) {
    await until(() => this.pid !== pid, { within, what: `the end of ${this.name}` });
  }

  async kill() {
    const { pid } = this;
    if (!pid) return;
    signal(pid, 'SIGKILL');
    await this.gone(pid);
  }

  async drain() {
    const { pid } = this;
    if (!pid) return;
    signal(pid, 'SIGTERM');
    await this.gone(pid, 40_000);
  }

  pause() {
    const { pid } = this;
    if (pid) signal(pid, 'SIGSTOP');
    return pid;
  }

  go(pid) {
    if (pid && this.pid === pid) signal(pid, 'SIGCONT');
  }

  async isAnswering() {
    return (await send('GET', `${this.admin}/livez`, { timeout: 1000 })).result === 'ok';
  }

  async answers(within = 30_000) {
    await until(() => this.isAnswering(), { within, what: `${this.name} answering` });
  }

  async heal(more) {
    this.start(more);
    await this.answers();
  }

  // Takes over what ./dev started.
  async adopt() {
    await this.drain();
    await this.heal();
  }
}
