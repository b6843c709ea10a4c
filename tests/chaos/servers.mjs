// SPDX-License-Identifier: Apache-2.0
// PostgreSQL and RabbitMQ of the run's stack: crashed in several ways and brought back. PostgreSQL's data can be put on a small filesystem of its
// own, so that a full disk is a real one. Must never touch the data of another stack, nor leave a filesystem mounted.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

import { until } from '../lib/until.mjs';
import { send } from './client.mjs';
import { childrenOf, recordedPid, sessionOf, signal, titleOf } from './process.mjs';

const run = promisify(execFile);

// ./dev serialises itself; two servers at once would only wait for each other unseen.
let turn = Promise.resolve();
export function oneAtATime(work) {
  const result = turn.then(work);
  turn = result.catch(() => {});
  return result;
}

class Server {
  constructor(stack) {
    this.stack = stack;
    this.run = join(stack.folder, 'run');
  }

  get pid() {
    return recordedPid(this.run, this.name);
  }

  // All of it at once, as a machine that loses power: the leader and whatever it started.
  async kill() {
    const { pid } = this;
    if (!pid) return;
    for (const each of [pid, ...sessionOf(pid)]) signal(each, 'SIGKILL');
    await until(() => !this.pid && sessionOf(pid).length === 0, { within: 20_000, what: `the end of ${this.name}` });
  }

  async heal() {
    if (!this.pid) await this.stack.dev('start', this.name);
    await until(() => this.isAnswering(), { within: 90_000, what: `${this.name} answering` });
  }
}

export class Postgres extends Server {
  name = 'postgres';
  base = 'postgres';
  #mount = null;

  async isAnswering() {
    const client = new pg.Client({ connectionString: this.stack.status.postgres.uri, connectionTimeoutMillis: 2000, query_timeout: 2000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  }

  // Processes that serve a service's connection.
  get backends() {
    return this.pid ? childrenOf(this.pid).filter((pid) => /_app gwasuwon/.test(titleOf(pid))) : [];
  }

  // One backend dies: the server ends all others and recovers by itself.
  async killBackend(random) {
    const { backends } = this;
    if (backends.length > 0) signal(random.pick(backends), 'SIGKILL');
    return backends.length > 0;
  }

  // Only the postmaster: its backends notice, and the next start must not begin before the last of them is gone.
  async killPostmaster() {
    const { pid } = this;
    if (!pid) return;
    signal(pid, 'SIGKILL');
    await until(() => !this.pid, { within: 10_000, what: 'the end of the postmaster' });
  }

  // ---- a small disk ------------------------------------------------------------------------------------------------------------

  get data() {
    return join(realpathSync(join(this.stack.folder, 'postgres')), 'data');
  }

  // Moves the data to a filesystem of this size. Needs root; false when that is not so.
  async moveToSmallDisk(mib) {
    if (process.getuid() !== 0) return false;
    const { data } = this;
    const image = join(this.stack.folder, 'disk.img');
    await this.stack.dev('stop', 'postgres');
    try {
      await run('truncate', ['-s', `${mib}M`, image]);
      await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
      await run('mv', [data, `${data}.before`]);
      await run('mkdir', [data]);
      await run('mount', ['-o', 'loop', image, data]);
      this.#mount = { data, image };
      await run('rm', ['-rf', join(data, 'lost+found')]);
      await run('cp', ['-a', `${data}.before/.`, `${data}/`]);
      await run('chown', ['--reference', `${data}.before`, data]);
      await run('chmod', ['700', data]);
      await run('rm', ['-rf', `${data}.before`]);
    } catch (error) {
      this.stack.say(`no small disk here: ${error.stderr || error.message}`);
      await this.#mountBack(data, image);
    }
    await this.stack.dev('start', 'postgres');
    return this.#mount !== null;
  }

  async #mountBack(data, image) {
    await run('umount', [data]).catch(() => {});
    this.#mount = null;
    rmSync(image, { force: true });
    if (existsSync(`${data}.before`)) {
      rmSync(data, { recursive: true, force: true });
      await run('mv', [`${data}.before`, data]);
    }
  }

  get hasSmallDisk() {
    return this.#mount !== null;
  }

  // Leaves about so many KiB free. The server writes meanwhile: a ballast that finds no place any more has filled the disk too.
  async fillDisk(leftKib) {
    const { stdout } = await run('df', ['--output=avail', '-k', this.data]);
    const free = Number(stdout.trim().split('\n').at(-1));
    if (free <= leftKib) return;
    await run('fallocate', ['-l', `${free - leftKib}K`, join(this.data, 'ballast')]).catch((error) => {
      if (!/No space left/.test(error.stderr)) throw error;
    });
  }

  emptyDisk() {
    rmSync(join(this.data, 'ballast'), { force: true });
  }

  async unmount() {
    if (!existsSync(join(this.stack.folder, 'postgres'))) return;
    const { data } = this;
    if (!readFileSync('/proc/mounts', 'utf8').includes(` ${data} `)) return;
    await run('umount', [data]).catch((error) => this.stack.say(`umount ${data}: ${error.stderr}`));
    rmSync(join(this.stack.folder, 'disk.img'), { force: true });
    this.#mount = null;
  }
}

export class RabbitMQ extends Server {
  name = 'rabbitmq';
  base = 'rabbitmq';

  async isAnswering() {
    const url = new URL(this.stack.status.rabbitmq.management);
    const basic = Buffer.from(`${url.username}:${url.password}`).toString('base64');
    const answer = await send('GET', `${url.origin}/api/queues/%2F/gwasuwon.dead`, { headers: { authorization: `Basic ${basic}` }, timeout: 3000 });
    return answer.result === 'ok';
  }

  async restart() {
    await this.stack.dev('stop', 'rabbitmq');
  }
}
