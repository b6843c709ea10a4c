// SPDX-License-Identifier: Apache-2.0
// The command line of ./dev chaos. Must never guess: an unknown word or number ends the run before anything starts.

import { parseArgs } from 'node:util';
import { FAULTS } from './schedule.mjs';

const HELP = `usage: ./dev chaos [--minutes M] [--seed S] [--only FAULT,...] [--instances N] [--kind KIND] [--plan] [--keep | --wipe] [--counted]

  --minutes    how long faults happen (3); checking comes on top
  --seed       the same seed gives the same schedule of faults; without it one is drawn and printed
  --only       these faults only: ${FAULTS.map(({ name }) => name).join(' ')}
  --instances  of each service (1)
  --kind       the build: release, asan, tsan, points (release); GWASUWON_BUILD=<folder> names one that is built
  --plan       prints the schedule and does nothing
  --keep       leaves the stack up afterwards, for a look; the next run takes it down
  --wipe       takes down and deletes what --keep left, and does nothing else
  --counted    ends with "@ passed failed", as tests/run.sh wants it
`;

const NUMBERS = { minutes: [0.1, 240], seed: [0, 0xffffffff], instances: [1, 3] };

export function readOptions(args) {
  const fail = (text) => {
    console.error(`chaos: ${text}\n${HELP}`);
    process.exit(2);
  };
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        minutes: { type: 'string', default: '3' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 0xffffffff)) },
        only: { type: 'string', default: '' },
        instances: { type: 'string', default: '1' },
        kind: { type: 'string', default: 'release' },
        plan: { type: 'boolean', default: false },
        wipe: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        counted: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    fail(error.message);
  }
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  for (const [name, [least, most]] of Object.entries(NUMBERS)) {
    const number = Number(values[name]);
    if (!(number >= least && number <= most) || (name !== 'minutes' && !Number.isInteger(number))) fail(`--${name} is ${least} to ${most}, not "${values[name]}"`);
    values[name] = number;
  }
  values.only = values.only.split(',').filter(Boolean);
  for (const name of values.only) if (!FAULTS.some((fault) => fault.name === name)) fail(`no fault "${name}"`);
  if (!['release', 'asan', 'tsan', 'points'].includes(values.kind)) fail(`no kind "${values.kind}"`);
  return values;
}
