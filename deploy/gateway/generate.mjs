#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Makes the configuration of both gateways from routes.yaml. Must never write a key into the checkout: --jwks prints.
//
//   node deploy/gateway/generate.mjs                       writes the files beside it
//   node deploy/gateway/generate.mjs --check               fails when one is not what routes.yaml says
//   node deploy/gateway/generate.mjs --jwks FILE|URL       prints kong.yaml with the issuer's public keys, for the cluster

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe } from './description.mjs';
import { clientLimits, clientZones, kong } from './kong.mjs';
import { apiLocations, authLocations, headerLines, maps, policy } from './nginx.mjs';

const FILES = {
  'nginx-api.conf': apiLocations,
  'nginx-auth.conf': authLocations,
  'nginx-headers.conf': headerLines,
  'nginx-maps.conf': maps,
  'policy.json': policy,
  'kong.yaml': kong,
  'kong-client-zones.conf': clientZones,
  'kong-client-limits.conf': clientLimits,
};

export const generated = (text = describe()) => Object.fromEntries(Object.entries(FILES).map(([name, make]) => [name, make(text)]));
const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));

async function readJwks(from) {
  if (!/^https?:/.test(from)) return JSON.parse(readFileSync(from, 'utf8'));
  const answer = await fetch(from, { signal: AbortSignal.timeout(5000), redirect: 'error' });
  if (!answer.ok) throw new Error(`${from} answered ${answer.status}`);
  return answer.json();
}

async function main([option, value]) {
  if (option === '--jwks') return process.stdout.write(kong(describe(), await readJwks(value)));
  for (const [name, text] of Object.entries(generated())) {
    if (option !== '--check') writeFileSync(pathOf(name), text);
    else if (readFileSync(pathOf(name), 'utf8') !== text) throw new Error(`deploy/gateway/${name} is not what routes.yaml says: node deploy/gateway/generate.mjs`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
