// SPDX-License-Identifier: Apache-2.0
// A small load generator for HTTP/1.1 over many connections that stay open: closed (each client sends when it was answered) and open (requests
// are due at times of their own, whoever still waits). Exists because wrk only does the first, which hides what overload does to those who
// come. In the open mode every latency counts from the time the request was due, so a late generator or a lack of connections shows as latency.
// Must never drop or merge requests.

import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');
const ROOM = 16 * 1024; // for an answer

// Reads the end of one answer out of what has come so far: null when it has not all come.
function answerIn(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return null;
  const head = bytes.latin1Slice(0, end), length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return bytes.length < end + 4 + length ? null : { status: Number(head.slice(9, 12)), isLast: /connection: close/i.test(head) };
}

// One connection, one request at a time. `ask(bytes)` resolves to { status }, 0 when the connection broke.
function client(place) {
  const room = Buffer.allocUnsafe(ROOM);
  let socket = null, pending = null, used = 0;
  const settle = (answer) => {
    const done = pending;
    pending = null;
    used = 0;
    done?.(answer);
  };
  const lost = (mine) => {
    if (socket !== mine) return; // it was the server's last answer on it, and another one is open
    socket = null;
    settle({ status: 0 });
  };
  const open = () => {
    // Its own small buffer for each read: a fresh one costs more than all the rest that is done with an answer.
    const mine = connect({ ...place, noDelay: true, onread: { buffer: Buffer.allocUnsafe(ROOM), callback: (count, bytes) => {
      bytes.copy(room, used, 0, count);
      used += count;
      const answer = answerIn(room.subarray(0, used));
      if (!answer) return used < ROOM || mine.destroy();
      if (answer.isLast) {
        mine.destroy();
        socket = null;
      }
      return settle(answer) ?? true;
    } } });
    socket = mine;
    mine.on('error', () => lost(mine));
    mine.on('close', () => lost(mine));
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
      const mine = socket;
      socket = null;
      mine?.destroy();
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
  const answers = [], start = performance.now(), from = start + warmS * 1000, until = from + seconds * 1000;
  await Promise.all(Array.from({ length: clients }, async () => {
    const one = client(place);
    for (let now = performance.now(); now < until;) {
      const { status } = await one.ask(make()), then = performance.now();
      if (then >= from && then < until) answers.push({ status, ms: then - now });
      now = then;
    }
    one.close();
  }));
  return summary(answers, seconds);
}

// Requests due by chance (exponential gaps) at `rate` a second. Also says how late the generator itself was.
export async function openLoop({ place, make, rate, seconds, warmS = 1, connections = 1000 }) {
  const answers = [], idle = Array.from({ length: connections }, () => client(place)), all = [...idle], due = [];
  const start = performance.now(), from = start + warmS * 1000, until = from + seconds * 1000;
  let next = start, running = 0;
  const late = [];
  const send = async (one, dueMs) => {
    running++;
    const { status } = await one.ask(make()), then = performance.now();
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
        else due.push(next);
      }
      if (now < until || running || due.length) setTimeout(tick, 1);
      else resolve();
    };
    tick();
  });
  const used = process.cpuUsage(cpu);
  for (const one of all) one.close();
  late.sort((a, b) => a - b);
  return { ...summary(answers, seconds), offered: answers.length / seconds, lateP99: percentile(late, 0.99), cpuShare: (used.user + used.system) / 1000 / (performance.now() - start) };
}
