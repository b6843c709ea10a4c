// SPDX-License-Identifier: Apache-2.0
// A program as a cluster runs it: a root of nothing but the program, the libraries it is linked with and the files its settings name, read-only;
// a user without rights, no capabilities, no new privileges, deploy/seccomp/gwasuwon.json. Put in force by runc, which container
// runtimes use as well. Must never leave a container behind, nor loosen what deploy/ says.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { ROOT } from '../lib/stack-root.mjs';

const IS_ROOT = process.getuid() === 0;
// Who is not root gives the container a namespace of users, of whom runc wants the first: it is oneself, with no more rights outside.
export const UID = IS_ROOT ? 10001 : 0;
const PROGRAM = '/program';
const NOTHING = [];

export const profile = () => JSON.parse(readFileSync(join(ROOT, 'deploy/seccomp/gwasuwon.json'), 'utf8'));
// The same list, with another fate for what is not on it.
export const KILLS = { defaultAction: 'SCMP_ACT_KILL_PROCESS', defaultErrnoRet: undefined };
export const answers = (errno) => ({ defaultErrnoRet: errno });

const librariesOf = (program) => (execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? []).filter((path) => existsSync(path));

function put(root, path, from) {
  const to = join(root, path);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

// `files`: { path inside: path outside }, readable by the container's user alone.
function makeRoot(root, program, files) {
  for (const folder of ['proc', 'etc']) mkdirSync(join(root, folder), { recursive: true });
  put(root, PROGRAM, program);
  for (const library of librariesOf(program)) put(root, library, library);
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  for (const [path, from] of Object.entries(files)) {
    put(root, path, from);
    chmodSync(join(root, path), 0o400);
    if (IS_ROOT) chownSync(join(root, path), UID, UID);
  }
}

function specOf({ environment, args, seccomp }) {
  const namespaces = ['mount', 'pid', 'ipc', 'uts', ...(IS_ROOT ? [] : ['user'])];
  const mapping = (hostID) => (IS_ROOT ? undefined : [{ containerID: UID, hostID, size: 1 }]);
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: UID, gid: UID },
      args: [PROGRAM, ...args],
      env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      cwd: '/',
      capabilities: { bounding: NOTHING, effective: NOTHING, permitted: NOTHING, inheritable: NOTHING, ambient: NOTHING },
      noNewPrivileges: true,
    },
    root: { path: 'root', readonly: true },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] }],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      uidMappings: mapping(process.getuid()),
      gidMappings: mapping(process.getgid()),
      seccomp,
    },
  };
}

export class Container {
  // folder: its own, new. seccomp: what differs from the profile; null: no filter at all.
  constructor({ folder, program, environment = {}, args = [], files = {}, seccomp = {} }) {
    this.folder = folder;
    this.id = `gwasuwon-${process.pid}-${basename(folder)}`;
    mkdirSync(folder, { recursive: true });
    makeRoot(join(folder, 'root'), program, files);
    const spec = specOf({ environment, args, seccomp: seccomp === null ? undefined : { ...profile(), ...seccomp } });
    writeFileSync(join(folder, 'config.json'), JSON.stringify(spec));
  }

  get #command() {
    return ['--root', join(this.folder, 'state'), 'run', '--pid-file', join(this.folder, 'pid'), '--bundle', this.folder, this.id];
  }

  // To its end: { status, stdout, stderr }.
  run() {
    const done = spawnSync('runc', this.#command, { encoding: 'utf8', timeout: 60_000 });
    if (done.status === null) this.kill();
    return done;
  }

  // In the background; runc passes signals on and ends with the program's own code, 128 + its number after a signal. `log`: an open file.
  start(log) {
    this.runc = spawn('runc', this.#command, { stdio: ['ignore', log, log] });
    this.ended = new Promise((resolve) => {
      this.runc.once('exit', (code, signal) => resolve(signal ?? code));
      this.runc.once('error', (error) => resolve(error.message));
    });
  }

  get hasEnded() {
    return this.runc.exitCode !== null || this.runc.signalCode !== null;
  }

  // The program's pid, as the machine counts.
  get pid() {
    return Number(readFileSync(join(this.folder, 'pid'), 'utf8'));
  }

  stop() {
    this.runc.kill('SIGTERM');
    return this.ended;
  }

  // Whatever state it is in.
  kill() {
    spawnSync('runc', ['--root', join(this.folder, 'state'), 'delete', '--force', this.id]);
    return this.ended;
  }
}

// Why this machine cannot run one (no rights to make namespaces or control groups, say); undefined when it can.
export function whyNot(folder, program) {
  const done = new Container({ folder, program, args: ['--version'], seccomp: null }).run();
  return done.status === 0 ? undefined : `runc cannot run a container here: ${(done.error?.message ?? done.stderr).trim().split('\n').at(-1)}`;
}
