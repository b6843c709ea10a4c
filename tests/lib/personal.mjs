// SPDX-License-Identifier: Apache-2.0
// Opens what OrderManager sealed (chassis/include/ch/seal.h), with the stack's own keys: an independent reader of the stored form, so that
// stored orders can be held against answers. Must never be used by anything but tests.

import { createDecipheriv, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

const GAP = '\u0001';
const NOBODY = '"recipient":null,"giftMessage":""';

// keysIn('…/personal.keys') -> Map of id -> the derived key for sealing
export function keysIn(file) {
  const keys = new Map();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const found = /^(\d+) ([A-Za-z0-9_-]{43})$/.exec(line);
    if (found) keys.set(Number(found[1]), createHmac('sha256', Buffer.from(found[2], 'base64url')).update('gwasuwon seal').digest());
  }
  return keys;
}

const idBytes = (uuid) => Buffer.from(uuid.replaceAll('-', ''), 'hex');
export const keyIdOf = (sealed) => sealed.readUInt32BE(1);

export function unseal(keys, purpose, orderId, sealed) {
  const decipher = createDecipheriv('aes-256-gcm', keys.get(keyIdOf(sealed)), sealed.subarray(5, 17));
  decipher.setAAD(Buffer.concat([Buffer.from(purpose), idBytes(orderId)]));
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(17, -16)), decipher.final()]).toString('utf8');
}

// The answer as it was given, from the columns order_id, reply and personal.
export function replyOf(keys, { order_id: orderId, reply, personal }) {
  if (reply === null) return null;
  return reply.replace(GAP, () => (personal === null ? NOBODY : unseal(keys, 'orders.personal', orderId, personal).slice(1, -1)));
}
