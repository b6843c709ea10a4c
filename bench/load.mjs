// SPDX-License-Identifier: Apache-2.0
// Runs the load generator (load.c) and sums up what it saw: closed (each client sends when it was answered) and open (requests are due at times
// of their own). Must never leave an answer out of the figures.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { root } from './lib.mjs';

const PROGRAM = `${root}build/release/bench/load`;
const CLIENTS_NICE = -15;

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * p) - 1)] ?? NaN;

// On one machine the clients take time from those they ask: they run at a higher priority where that is allowed, as clients elsewhere would.
function hurry(pid) {
  try {
    setPriority(pid, CLIENTS_NICE);
  } catch {
    console.log('  the clients run at ordinary priority: a higher one is not permitted here');
  }
}

// `requests`: texts with "#########" where each gets a number of its own. A generator that is made once never gives a number twice.
export function loadOf({ host, port, requests }) {
  const input = requests.map((one) => `${one}\0`).join('');
  let first = 0;

  async function run(mode, amount, seconds, warmS) {
    const child = spawn(PROGRAM, [host, port, mode, amount, warmS, seconds, first].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    hurry(child.pid);
    child.stdin.end(input);
    const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    if (code !== 0) throw new Error(`${PROGRAM} ended with ${code}`);
    const counts = {}, taken = [], refused = [], late = [];
    let cpuShare = 0;
    for (const line of said.trimEnd().split('\n')) {
      const [what, figure] = line.split(' '), ms = Number(figure) / 1000;
      if (what === 'next') first = Number(figure);
      else if (what === 'cpu') cpuShare = ms / 1000 / (warmS + seconds);
      else if (what === 'late') late.push(ms);
      else {
        counts[what] = (counts[what] ?? 0) + 1;
        (what === '201' ? taken : refused).push(ms);
      }
    }
    for (const list of [taken, refused, late]) list.sort((a, b) => a - b);
    return {
      counts, rate: taken.length / seconds, offered: (taken.length + refused.length) / seconds, p50: percentile(taken, 0.5), p99: percentile(taken, 0.99),
      refusedP50: percentile(refused, 0.5), refusedP99: percentile(refused, 0.99), lateP99: percentile(late, 0.99), cpuShare,
    };
  }

  return {
    closed: (clients, seconds, warmS) => run('closed', clients, seconds, warmS),
    open: (rate, seconds, warmS) => run('open', rate, seconds, warmS),
  };
}
