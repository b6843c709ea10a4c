// SPDX-License-Identifier: Apache-2.0
// Where the checkout is, for code that runs without a stack.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
