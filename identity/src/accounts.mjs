// SPDX-License-Identifier: Apache-2.0
// The rules of accounts: signing in, signing up, changing and resetting a password, ending sessions. Nothing here knows a page. Must never
// answer differently, nor in another time, for a login that exists and one that does not: each path runs the same statements and one hash.

import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

import { Limiter } from './limits.mjs';
import { log } from './log.mjs';
import { changes, signIns } from './metrics.mjs';
import { Busy, faultOf } from './passwords.mjs';
import { loginOf, subjectsOf } from './subjects.mjs';
import { uuid7 } from './uuid.mjs';

const PLEDGE_S = 1800;
const BURST = 2 / 3; // of a minute's tries at once
const FORGET_FAILURES_S = 86_400;
const LOGIN = /^[a-z0-9][a-z0-9._-]{2,63}$|^[^\s@<>"',;:\\()[\]]{1,64}@[a-z0-9.-]{1,185}\.[a-z]{2,24}$/;

const sha256 = (secret) => createHash('sha256').update(secret).digest();
const isAddress = (login) => login.includes('@') && LOGIN.test(login);

export class Accounts {
  constructor(config, { db, passwords, mailbox }) {
    Object.assign(this, { config, db, passwords, mailbox });
    this.hidden = subjectsOf(config.secret);
    this.perClient = new Limiter(config.attemptsPerMinute, 60, Math.max(1, Math.ceil(config.attemptsPerMinute * BURST)));
    this.perAddress = new Limiter(config.mailsPerHour, 3600);
  }

  find(accountId) {
    return this.db.one('account_find', accountId);
  }

  // signIn(client, login, password): { accountId }, or { refusal, retryS }: refused, locked, limited or busy.
  async signIn(client, typed, password) {
    const outcome = await this.#counted(client, () => this.#check(client, loginOf(typed), password));
    signIns.inc({ outcome: outcome.refusal ?? 'ok' });
    return outcome;
  }

  // Spends one of the client's tries, and gives it back when the work succeeds.
  async #counted(client, work) {
    const retryS = this.perClient.take(client);
    if (retryS) return { refusal: 'limited', retryS };
    try {
      const outcome = await work();
      if (!outcome.refusal) this.perClient.giveBack(client);
      return outcome;
    } catch (error) {
      if (error instanceof Busy) return { refusal: 'busy', retryS: 1 };
      throw error;
    }
  }

  #standing(address) {
    return { address, failures: this.perClient.used(address) };
  }

  async #check(client, login, password) {
    const { lockAfter, lockBaseS, lockMaxS } = this.config;
    const subject = this.hidden(login);
    const lock = await this.db.one('attempt_locked_s', subject);
    if (lock) return { refusal: 'locked', retryS: lock.seconds };
    const account = await this.db.one('account_by_login', login);
    const isRight = await this.passwords.verify(this.#standing(client), account?.password_hash ?? null, password);
    if (isRight && !account.is_locked) {
      await this.db.run('attempt_forget', subject);
      return { accountId: account.account_id };
    }
    const row = await this.db.one('attempt_failed', subject, lockAfter, lockBaseS, lockMaxS, FORGET_FAILURES_S);
    if (row.is_locked) log.warn('sign_in.locked', { failures: row.failures });
    return { refusal: 'refused' };
  }

  // beginSignUp: { pledge } to be redeemed with the number in the mail; or { fault } in Korean; or { refusal }.
  async beginSignUp(client, typed, password) {
    const login = loginOf(typed);
    if (!isAddress(login)) return { fault: '이메일 주소를 확인해 주세요.' };
    const fault = faultOf(password, login);
    if (fault) return { fault };
    return this.#counted(client, () => this.#pledgeSignUp(client, login, password));
  }

  async #pledgeSignUp(client, login, password) {
    const passwordHash = await this.passwords.hash(this.#standing(client), password);
    const [pledge, code] = [randomBytes(32).toString('base64url'), String(randomInt(1_000_000)).padStart(6, '0')];
    const account = await this.db.one('account_by_login', login);
    // For an address that has an account no number is right.
    await this.db.run('pledge_sign_up', sha256(pledge), login, passwordHash, account ? null : sha256(code), PLEDGE_S);
    if (this.perAddress.take(login) === 0) {
      if (account) this.mailbox.send(login, '[과수원] 이미 가입된 이메일입니다', `이 이메일로 회원가입을 시도했습니다.\n이미 가입되어 있으니 그대로 로그인해 주세요.\n비밀번호가 기억나지 않으면 다시 정할 수 있습니다.\n\n${this.config.issuer}/password/forgot\n\n직접 하지 않으셨다면 이 메일은 무시하셔도 됩니다.`);
      else this.mailbox.send(login, '[과수원] 회원가입 인증번호', `과수원 회원가입 인증번호입니다.\n\n인증번호: ${code}\n\n30분 안에 입력해 주세요. 직접 하지 않으셨다면 이 메일은 무시하셔도 됩니다.`);
    }
    return { pledge };
  }

  // finishSignUp: { accountId }; or { isOver } when there is no try left; or { fault }.
  async finishSignUp(client, pledge, code) {
    return this.#counted(client, async () => {
      const row = await this.db.one('pledge_try', sha256(pledge));
      if (!row) return { refusal: 'refused', isOver: true };
      const isRight = row.code_hash !== null && timingSafeEqual(row.code_hash, sha256(code.replace(/\D/g, '')));
      if (!isRight) return { refusal: 'refused', isOver: row.tries_left === 0 };
      await this.db.run('pledge_take', sha256(pledge));
      const made = await this.db.one('account_insert', uuid7(), row.login, row.password_hash);
      if (!made) return { refusal: 'refused', isOver: true }; // signed up elsewhere meanwhile
      changes.inc({ what: 'signed_up' });
      log.info('account.signed_up', { sub: made.account_id });
      return { accountId: made.account_id };
    });
  }

  // Sends the link, if there is such an account; the caller learns nothing but whether it asked too often.
  async beginReset(client, typed) {
    const retryS = this.perClient.take(client);
    if (retryS) return { refusal: 'limited', retryS };
    const login = loginOf(typed);
    const pledge = randomBytes(32).toString('base64url');
    const row = await this.db.one('pledge_reset', sha256(pledge), login, PLEDGE_S);
    if (row.account_id && this.perAddress.take(login) === 0) {
      this.mailbox.send(row.email, '[과수원] 비밀번호 재설정', `아래 주소에서 비밀번호를 다시 정해 주세요. 30분 동안 한 번만 쓸 수 있습니다.\n\n${this.config.issuer}/password/reset?token=${pledge}\n\n직접 하지 않으셨다면 이 메일은 무시하셔도 됩니다. 비밀번호는 바뀌지 않습니다.`);
    }
    return {};
  }

  async isResetOpen(pledge) {
    return Boolean(await this.db.one('pledge_reset_find', sha256(pledge)));
  }

  // finishReset: {} or { fault } or { isOver }. Everything the account was signed in with ends.
  async finishReset(client, pledge, password) {
    const row = await this.db.one('pledge_reset_find', sha256(pledge));
    if (!row) return { isOver: true };
    const fault = faultOf(password, row.login);
    if (fault) return { fault };
    const passwordHash = await this.passwords.hash(this.#standing(client), password);
    const [taken] = await this.db.run('pledge_take', sha256(pledge));
    if (!taken) return { isOver: true };
    await this.#setPassword(row.account_id, row.login, passwordHash, null);
    changes.inc({ what: 'password_reset' });
    log.info('account.password_reset', { sub: row.account_id });
    return {};
  }

  // changePassword: {} or { fault } or { refusal }. Every other session ends.
  async changePassword(client, accountId, sessionUid, old, password) {
    const account = await this.db.one('account_password', accountId);
    return this.#counted(client, async () => {
      const outcome = await this.#check(client, account.login, old);
      if (outcome.refusal) return outcome;
      const fault = old === password ? '지금과 다른 비밀번호를 정해 주세요.' : faultOf(password, account.login);
      if (fault) return { fault };
      await this.#setPassword(accountId, account.login, await this.passwords.hash(this.#standing(client), password), sessionUid);
      changes.inc({ what: 'password_changed' });
      log.info('account.password_changed', { sub: accountId });
      return {};
    });
  }

  async #setPassword(accountId, login, passwordHash, keptSession) {
    await this.db.run('account_set_password', accountId, passwordHash);
    if (keptSession) await this.db.run('session_end', accountId, null, keptSession);
    else await this.db.run('account_records_end', accountId);
    await this.db.run('pledge_forget_account', accountId);
    await this.db.run('attempt_forget', this.hidden(login));
  }

  sessions(accountId) {
    return this.db.run('session_list', accountId);
  }

  // One session of the account, or with a null uid all but the one to keep.
  async endSession(accountId, uid, kept = null) {
    const { sessions } = await this.db.one('session_end', accountId, uid, kept);
    changes.inc({ what: 'session_ended' }, sessions);
    log.info('session.ended', { sub: accountId, sessions });
  }

  async sweep() {
    await this.db.run('record_sweep');
    await this.db.run('pledge_sweep');
    await this.db.run('attempt_sweep', FORGET_FAILURES_S);
  }
}
