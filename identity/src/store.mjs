// SPDX-License-Identifier: Apache-2.0
// Where the provider keeps sessions, grants, codes and refresh tokens: the adapter that oidc-provider asks for, on identity.records. Ids
// are hashed, for who reads the table must not be able to use what is in it. Must never let one code or refresh token be used twice, not
// even by two requests at once.

import { createHash } from 'node:crypto';
import { errors } from 'oidc-provider';

import { deviceOfRequest } from './device.mjs';
import { log } from './log.mjs';
import { reuses } from './metrics.mjs';

const hashed = (kind, id) => createHash('sha256').update(`${kind}\0${id}`).digest();

// The id goes out before it is stored, and the session's cookie out of what an interaction remembers of it.
function stripped({ jti, session, ...payload }) {
  if (!session) return payload;
  const { cookie, ...rest } = session;
  return { ...payload, session: rest };
}

export const adapterFor = (db) => class Adapter {
  constructor(kind) {
    this.kind = kind;
  }

  #restored(row, id) {
    if (!row) return undefined;
    return { ...row.payload, ...(id ? { jti: id } : {}), ...(row.consumed ? { consumed: Number(row.consumed) } : {}) };
  }

  async find(id) {
    return this.#restored(await db.one('record_find', this.kind, hashed(this.kind, id)), id);
  }

  async findByUid(uid) {
    return this.#restored(await db.one('record_find_by_uid', this.kind, uid));
  }

  async findByUserCode() {
    return undefined; // there is no device flow here
  }

  async upsert(id, payload, expiresInS) {
    const { uid = null, grantId = null, accountId = null } = payload;
    const isSession = this.kind === 'Session';
    const family = this.kind === 'Grant' ? id : this.kind === 'Interaction' ? null : grantId; // a grant goes with what was issued for it
    await db.run('record_upsert', this.kind, hashed(this.kind, id), JSON.stringify(stripped(payload)), isSession ? uid : null,
      family, accountId, isSession ? deviceOfRequest() : null, expiresInS);
  }

  async consume(id) {
    if (await db.one('record_consume', this.kind, hashed(this.kind, id))) return;
    const payload = await this.find(id);
    if (payload?.grantId) await this.revokeByGrantId(payload.grantId);
    if (this.kind === 'RefreshToken') reuses.inc();
    log.warn('token.reused', { kind: this.kind });
    throw new errors.InvalidGrant('already used');
  }

  async destroy(id) {
    await db.run('record_destroy', this.kind, hashed(this.kind, id));
  }

  async revokeByGrantId(grantId) {
    await db.run('record_revoke_grant', grantId);
  }
};
