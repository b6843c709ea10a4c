// SPDX-License-Identifier: Apache-2.0
// A small load generator for HTTP/1.1 over many connections that stay open: closed (each client sends when it was answered) and open (requests
// are due at times of their own, whoever still waits). Exists because wrk only does the first, which hides what overload does to those who
// come. In the open mode every latency counts from the time the request was due, so a late generator or a lack of connections shows as latency.
// Must never drop or merge requests.

import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

// One connection, one request at a time. `ask(bytes)` resolves to the status, 0 when the connection broke.
function client(place, agent) {
  let socket, pending = null, seen = [];
  const settle = (status) => {
    const done = pending;
    pending = null;
    seen = [];
    done?.(status);
  };
  const open = () => {
    const mine = connect(place);
    socket = mine;
    mine.setNoDelay(true);
    mine.on('data', (bytes) => {
      seen.push(bytes);
      const all = seen.length === 1 ? bytes : Buffer.concat(seen);
      const end = all.indexOf(HEAD_END);
      if (end < 0) return;
      const head = all.toString('latin1', 0, end);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (all.length < end + 4 + length) return;
      agent.onHead?.(head);
      if (/connection: close/i.test(head)) {
        mine.destroy();
        socket = null;
      }
      settle(Number(head.slice(9, 12)));
    });
    const lost = () => {
      if (socket !== mine) return; // it was the server's last answer on it, and another one is open
      socket = null;
      settle(0);
    };
    mine.on('error', lost);
    mine.on('close', lost);
  };
  return {
    ask(bytes) {
      return new Promise((resolve) => {
        pending = resolve;
        if (!socket) open();
        socket.write(bytes);
      });
    },
    close() {
      socket?.removeAllListeners();
      socket?.on('error', () => {});
      socket?.destroy();
    },
  };
}

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * p) - 1)] ?? NaN;

function summary(answers, seconds) {
  const counts = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  const of = (wanted) => answers.filter(({ status }) => (status === 201) === wanted).map(({ ms }) => ms).sort((a, b) => a - b);
  const taken = of(true), refused = of(false);
  return { counts, rate: taken.length / seconds, p50: percentile(taken, 0.5), p99: percentile(taken, 0.99), refusedP50: percentile(refused, 0.5), refusedP99: percentile(refused, 0.99) };
}

// `make()` gives the next request's bytes. Answers from the first `warmS` seconds on count.
export async function closedLoop({ place, make, clients, seconds, warmS = 1 }) {
  const answers = [], agent = {}, start = performance.now(), from = start + warmS * 1000, until = from + seconds * 1000;
  await Promise.all(Array.from({ length: clients }, async () => {
    const one = client(place, agent);
    for (let now = performance.now(); now < until;) {
      const status = await one.ask(make()), then = performance.now();
      if (then >= from && then < until) answers.push({ status, ms: then - now });
      now = then;
    }
    one.close();
  }));
  return summary(answers, seconds);
}

// Requests due by chance (exponential gaps) at `rate` a second. Also says how late the generator itself was, and how many had to wait for a connection.
export async function openLoop({ place, make, rate, seconds, warmS = 1, connections = 1000 }) {
  const answers = [], agent = { onHead: null }, idle = Array.from({ length: connections }, () => client(place, agent)), all = [...idle], due = [];
  const start = performance.now(), from = start + warmS * 1000, until = from + seconds * 1000;
  let next = start, running = 0, waited = 0, retryAfter = 0;
  const late = [];
  agent.onHead = (head) => (retryAfter += /retry-after: \d+/i.test(head) ? 1 : 0);
  const send = async (one, dueMs) => {
    running++;
    const status = await one.ask(make()), then = performance.now();
    running--;
    if (dueMs >= from && dueMs < until) answers.push({ status, ms: then - dueMs });
    if (due.length) send(one, due.shift());
    else idle.push(one);
  };
  const cpu = process.cpuUsage();
  await new Promise((resolve) => {
    const tick = () => {
      const now = performance.now();
      if (next <= now) late.push(now - next);
      for (; next <= now && next < until; next += -Math.log(1 - Math.random()) * 1000 / rate) {
        const one = idle.pop();
        if (one) send(one, next);
        else waited += due.push(next) ? 1 : 0;
      }
      if (now < until || running || due.length) setTimeout(tick, 1);
      else resolve();
    };
    tick();
  });
  const used = process.cpuUsage(cpu);
  for (const one of all) one.close();
  late.sort((a, b) => a - b);
  return { ...summary(answers, seconds), offered: answers.length / seconds, retryAfter, waitedForConnection: waited, lateP99: percentile(late, 0.99), cpuShare: (used.user + used.system) / 1000 / (performance.now() - start) };
}
