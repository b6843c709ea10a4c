// SPDX-License-Identifier: Apache-2.0
// Processes as ./dev records them (run/NAME.pid, run/NAME.birth): looked up, proven to be ours, signalled. Must never signal a pid whose
// birth is not the one that was recorded.

import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';

const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ');
    return { state: fields[0], parent: Number(fields[1]), session: Number(fields[3]), threads: Number(fields[17]), birth: `${BOOT} ${fields[19]}` };
  } catch {
    return null;
  }
}

// Its first thread may be gone (Z) while others still end: until they have, its sockets are open and its ports taken.
export function birthOf(pid) {
  const stat = statOf(pid);
  return stat && (stat.threads > 1 || (stat.state !== 'Z' && stat.state !== 'X')) ? stat.birth : null;
}

export function recordedPid(run, name) {
  try {
    const pid = Number(readFileSync(`${run}/${name}.pid`, 'utf8'));
    return birthOf(pid) === readFileSync(`${run}/${name}.birth`, 'utf8').trim() ? pid : null;
  } catch {
    return null;
  }
}

// So that ./dev status and ./dev down know it.
export function recordPid(run, name, pid) {
  for (const [suffix, text] of [['birth', birthOf(pid)], ['pid', pid]]) {
    writeFileSync(`${run}/${name}.${suffix}.new`, `${text}\n`);
    renameSync(`${run}/${name}.${suffix}.new`, `${run}/${name}.${suffix}`);
  }
}

// Living processes of a session (ours each lead one).
export const sessionOf = (leader) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => statOf(pid)?.session === leader && birthOf(pid));
export const childrenOf = (parent) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => statOf(pid)?.parent === parent && birthOf(pid));
export const titleOf = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
};

export function signal(pid, name) {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}
