// SPDX-License-Identifier: Apache-2.0
// All invariants. Each has a name that stays, a sentence, and a check that yields { ids, expected, found } for each violation. A violation
// counts as lost, duplicated, or simply as one.

import * as cancels from './cancels.mjs';
import * as deliveries from './deliveries.mjs';
import * as orders from './orders.mjs';
import * as queues from './queues.mjs';
import * as stock from './stock.mjs';

export const INVARIANTS = [orders, stock, deliveries, cancels, queues].flatMap((file) => Object.values(file).filter((one) => one.invariant));

// judge(world): [{ invariant, says, counts, violations }]
export const judge = (world) => INVARIANTS.map(({ invariant, says, counts = 'violations', check }) => ({ invariant, says, counts, violations: [...check(world)] }));
