// SPDX-License-Identifier: Apache-2.0
// UUIDv7 (RFC 9562, 5.7) for new accounts. Must never be used as a secret: it tells when it was made.

import { randomBytes } from 'node:crypto';

export function uuid7(now = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
