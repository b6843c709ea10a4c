// SPDX-License-Identifier: Apache-2.0
// A product's detail against nginx with the same bytes from a file. Must never give nginx more workers than the service has loops.

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { dir, freePort, loops, makeProducts, median, root, rounds, run, seconds, status } from './lib.mjs';

function wrkGet(url) {
  const out = run('wrk', ['-t1', '-c32', `-d${seconds}s`, '--latency', url]);
  if (/Non-2xx/.test(out)) throw new Error(out);
  return Number(out.match(/Requests\/sec:\s+([\d.]+)/)[1]);
}

export async function detail() {
  const { productId } = await makeProducts(1, 4);
  const service = status.services['fruit-catalog'];
  const path = `/api/v1/products/${productId}`;
  const bytes = Buffer.from(await (await fetch(service.http + path)).arrayBuffer());
  writeFileSync(join(dir, 'detail.json'), bytes);
  const port = await freePort();
  const workers = loops('fruit-catalog');
  const conf = readFileSync(join(root, 'bench/nginx.conf'), 'utf8').replaceAll('@DIR@', dir).replaceAll('@PORT@', port).replaceAll('@WORKERS@', workers);
  writeFileSync(join(dir, 'nginx.conf'), conf);
  const nginx = spawn('/usr/sbin/nginx', ['-p', dir, '-c', join(dir, 'nginx.conf')], { stdio: 'ignore' });
  try {
    for (let i = 0; ; i++) {
      if (await fetch(`http://127.0.0.1:${port}/detail.json`).then((answer) => answer.ok, () => false)) break;
      if (i > 100) throw new Error('nginx did not start');
      await wait(50);
    }
    const ours = [], theirs = [];
    for (let i = 0; i < rounds; i++) {
      theirs.push(wrkGet(`http://127.0.0.1:${port}/detail.json`));
      ours.push(wrkGet(service.http + path));
    }
    return [{ name: 'GET product detail, service / nginx with the same bytes', limit: 0.4, ours: median(ours), theirs: median(theirs), unit: 'requests/s',
             ratio: median(ours.map((v, i) => v / theirs[i])), bytes: bytes.length, workers }];
  } finally {
    nginx.kill('SIGTERM');
  }
}
