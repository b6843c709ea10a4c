// SPDX-License-Identifier: Apache-2.0
// The rows of chassis/include/ch/points.def and mutants.def, for the tests and runners that compare them with the code or visit them.
// Must never hold a name of its own: the .def files are the only list.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './stack-root.mjs';

const def = (file) => readFileSync(join(ROOT, 'chassis/include/ch', file), 'utf8');

// [{ name, protocol, service, text }]
export const points = [...def('points.def').matchAll(/^CH_POINT_ROW\((\w+),\s*(\w+),\s*"([^"]+)",\s*"([^"]+)"\)$/gm)].map(([, name, protocol, service, text]) => ({
  name,
  protocol,
  service,
  text,
}));

// [{ name, bug, invariant }]
export const mutants = [...def('mutants.def').matchAll(/^CH_MUTANT_ROW\((\w+),\s*"([^"]+)",\s*"([^"]+)"\)$/gm)].map(([, name, bug, invariant]) => ({ name, bug, invariant }));
