// SPDX-License-Identifier: Apache-2.0
// What the gateway's policies cost: CPU of nginx's workers and of the service behind for a request, with token check, limits and cache and
// without, in turn. CPU and not requests a second, so that what else the machine does matters less. Must never measure two gateways that differ in anything else.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, dir, freePort, makeProducts, median, root, rounds, run, seconds, statusNow } from './lib.mjs';

const TICK_US = 1e6 / Number(run('getconf', ['CLK_TCK']));
const RENDER = `for part in lib ports tls gateway; do . "$ROOT/stack/$part.sh"; done
load_stack; prepare_tls
NGINX_DIR=$1 LOGS=$1 GATEWAY_PORT=$2 GATEWAY_TLS_PORT=$3
render_gateway`;

// Without policies: the locations as they are, but nobody is asked and nothing is stored.
function withoutPolicies(folder) {
  const routes = readFileSync(join(root, 'deploy/gateway/nginx-api.conf'), 'utf8').replaceAll(/^ +(access_by_lua_block|proxy_cache|proxy_cache_key) .*\n/gm, '');
  writeFileSync(join(folder, 'plain-api.conf'), routes);
  const file = join(folder, 'server.conf');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/\S+\/deploy\/gateway\/nginx-api\.conf/, join(folder, 'plain-api.conf')));
}

async function open(name, change = () => {}) {
  const folder = join(dir, name);
  mkdirSync(folder, { recursive: true });
  const [port, tlsPort] = [await freePort(), await freePort()];
  execFileSync('bash', ['-euo', 'pipefail', '-c', RENDER, 'render', folder, port, tlsPort], { env: { ...process.env, ROOT: root } });
  change(folder);
  const nginx = spawn('/usr/sbin/nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; !(await fetch(`${url}/docs/`).then((answer) => answer.ok, () => false)); i++) {
    if (i > 100) throw new Error('nginx did not start');
    await wait(50);
  }
  const workers = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && parent(pid) === nginx.pid);
  return { url, nginx, workers };
}

function fields(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  } catch {
    return []; // it has just ended
  }
}
const parent = (pid) => Number(fields(pid)[1]);

const cpuUs = (pids) => pids.reduce((sum, pid) => sum + fields(pid).slice(11, 13).reduce((a, b) => a + Number(b), 0), 0) * TICK_US;

// CPU of the workers and of the service for one request, us.
function costOf(gateway, service, path, headers) {
  const pids = [...gateway.workers, service];
  const before = cpuUs(pids);
  const out = run('wrk', ['-t1', '-c16', `-d${seconds}s`, ...headers.flatMap((one) => ['-H', one]), gateway.url + path]);
  if (/Non-2xx/.test(out)) throw new Error(out);
  return { us: (cpuUs(pids) - before) / Number(out.match(/(\d+) requests in/)[1]), rate: Number(out.match(/Requests\/sec:\s+([\d.]+)/)[1]) };
}

export async function edge() {
  const { productId } = await makeProducts(1, 4);
  const [token] = await buyerTokens(1);
  const gateways = [await open('edge-with'), await open('edge-without', withoutPolicies)];
  const { services } = statusNow();
  const cases = [
    ['a read with a remembered token', 'order-manager', '/api/v1/orders', [`Authorization: Bearer ${token}`], 30],
    ['a public read that is passed on', 'fruit-catalog', `/api/v1/products/${productId}`, ['Cache-Control: no-cache'], 30],
    ['a public read from the cache', 'fruit-catalog', `/api/v1/products/${productId}`, [], 30],
  ];
  try {
    const results = [];
    for (const [name, service, path, headers, limit] of cases) {
      const pairs = [];
      for (let i = 0; i < rounds; i++) pairs.push(gateways.map((gateway) => costOf(gateway, services[service].pid, path, headers)));
      const [ours, theirs] = [0, 1].map((side) => median(pairs.map((pair) => pair[side].us)));
      console.log(`       ${name}: ${ours.toFixed(1)} us with policies, ${theirs.toFixed(1)} without; ${Math.round(median(pairs.map(([one]) => one.rate)))} and ${Math.round(median(pairs.map(([, one]) => one.rate)))} requests/s`);
      results.push({ name: `edge: policies on ${name}`, limit, value: median(pairs.map(([a, b]) => a.us - b.us)), unit: 'us of CPU more' });
    }
    return results;
  } finally {
    for (const { nginx } of gateways) nginx.kill('SIGTERM');
  }
}
