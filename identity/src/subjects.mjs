// SPDX-License-Identifier: Apache-2.0
// A login as it is compared, and as it stands in the table of failures: hidden by a key, for what people typed there is not even an
// account's.

import { createHmac, hkdfSync } from 'node:crypto';

export const loginOf = (typed) => typed.trim().normalize('NFC').toLowerCase();

export function subjectsOf(secret) {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'identity attempts', 32));
  return (login) => createHmac('sha256', key).update(login).digest();
}
