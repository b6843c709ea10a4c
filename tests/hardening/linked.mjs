// SPDX-License-Identifier: Apache-2.0
// Which Debian packages are in the services' programs: those of the shared objects that the loader takes, and the static archive. Read from
// the programs that were built, so that nothing has to be kept in step by hand.

import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../lib/stack-root.mjs';

export const SERVICES = ['fruit-catalog', 'order-manager', 'delivery-mock'];
export const programOf = (service) => join(ROOT, 'build/release/services', service, service);
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });

function objectsOf(program) {
  const lines = run('ldd', program).split('\n');
  if (lines.some((line) => line.includes('not found'))) throw new Error(`${program}: ${lines.filter((line) => line.includes('not found')).join('; ')}`);
  return lines.flatMap((line) => line.match(/=> (\/\S+)/)?.[1] ?? line.match(/^\s+(\/lib64\/\S+)/)?.[1] ?? []);
}

// Debian's folders moved to /usr; the packages' lists of files did not.
function packageOf(path) {
  const real = realpathSync(path);
  for (const candidate of [real, real.replace(/^\/usr/, ''), path])
    try {
      return execFileSync('dpkg', ['-S', candidate], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(/[:,]/)[0];
    } catch {
      // owned by another name of the same file
    }
  throw new Error(`${path} belongs to no Debian package`);
}

function described(name) {
  const [version, architecture, source] = run('dpkg-query', '-W', '-f', '${Version}\t${Architecture}\t${source:Package}\n', name).split('\n')[0].split('\t');
  return { name, version, architecture, source };
}

// The packages of one program, by name. `archive` is linked into the program itself.
export function linkedPackages(service, archive = 'libboost-context1.74-dev') {
  const program = programOf(service);
  if (!existsSync(program)) throw new Error(`there is no ${program}: ./dev build release`);
  return [...new Set([archive, ...objectsOf(program).map(packageOf)])].sort().map(described);
}
