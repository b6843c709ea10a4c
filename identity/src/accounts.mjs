// SPDX-License-Identifier: Apache-2.0
// The rules of accounts: signing in, signing up, changing and resetting a password, ending sessions. Nothing here knows a page. Must never
// answer differently, nor in another time, for a login that exists and one that does not: each path runs the same statements and one hash.

import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

import { Limiter } from './limits.mjs';
import { log } from './log.mjs';
import { changes, signIns } from './metrics.mjs';
import { faultOf } from './passwords.mjs';
import { loginOf, subjectsOf } from './subjects.mjs';
import { Busy } from './turns.mjs';
import { uuid7 } from './uuid.mjs';

const PLEDGE_S = 1800;
const BURST = 2 / 3; // of a minute's tries at once
const FIRST_PER_MINUTE = 10; // tries at one login that come before those of strangers
const FORGET_FAILURES_S = 86_400;
const LOGIN = /^[a-z0-9][a-z0-9._-]{2,63}$|^[^\s@<>"',;:\\()[\]]{1,64}@[a-z0-9.-]{1,185}\.[a-z]{2,24}$/;

const sha256 = (secret) => createHash('sha256').update(secret).digest();
const isAddress = (login) => login.includes('@') && LOGIN.test(login);

export class Accounts {
  constructor(config, { db, passwords, mailbox, browsers, shop }) {
    Object.assign(this, { config, db, passwords, mailbox, browsers, shop });
    this.hidden = subjectsOf(config.secret);
    this.perClient = new Limiter(config.attemptsPerMinute, 60, Math.max(1, Math.ceil(config.attemptsPerMinute * BURST)));
    this.perAddress = new Limiter(config.mailsPerHour, 3600);
    this.perKnown = new Limiter(FIRST_PER_MINUTE, 60);
  }

  find(accountId) {
    return this.db.one('account_find', accountId);
  }

  // signIn(client, login, password, bucket): { accountId, login }, or { refusal, retryS }: refused, locked, limited or busy. The bucket
  // is of a browser that this login was signed in from before, or null.
  async signIn(client, typed, password, bucket = null) {
    const login = loginOf(typed);
    const outcome = await this.#asKnown(client, login, bucket, (who) => this.#check(who, login, password));
    signIns.inc({ outcome: outcome.refusal ?? 'ok' });
    return outcome;
  }

  // Who is known goes first and counts apart, so often a minute; then he is one of the strangers.
  #asKnown(client, login, bucket, work) {
    if (!bucket || this.perKnown.take(login)) return this.#counted(client, (who) => work({ ...who, subject: this.hidden(login) }));
    return this.#whenThereIsRoom(() => work({ lane: 'known', line: bucket.toString('base64'), failures: 0, subject: bucket }));
  }

  // Spends one of the client's tries, and gives it back when the work succeeds.
  async #counted(client, work) {
    const retryS = this.perClient.take(client);
    if (retryS) return { refusal: 'limited', retryS };
    const outcome = await this.#whenThereIsRoom(() => work({ lane: 'strangers', line: client, failures: this.perClient.used(client) }));
    if (!outcome.refusal) this.perClient.giveBack(client);
    return outcome;
  }

  async #whenThereIsRoom(work) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Busy) return { refusal: 'busy', retryS: 1 };
      throw error;
    }
  }

  // A try counts as a failure before it is looked at, so that many at once are no more than many in a row; what is locked costs no hash.
  async #check(who, login, password) {
    const { lockAfter, lockBaseS, lockMaxS } = this.config;
    const count = await this.db.one('attempt_begin', who.subject, lockAfter, lockBaseS, lockMaxS, FORGET_FAILURES_S);
    if (!count) return { refusal: 'locked', retryS: (await this.db.one('attempt_locked_s', who.subject))?.seconds ?? 1 };
    const account = await this.db.one('account_by_login', login);
    const isRight = await this.#verified(who, account, password);
    if (isRight && !account.is_locked) {
      await this.db.run('attempt_forget', who.subject);
      return { accountId: account.account_id, login };
    }
    if (count.is_locked) log.warn('sign_in.locked', { failures: count.failures, browser: who.lane });
    return { refusal: 'refused' };
  }

  // Who was not looked at has not failed.
  async #verified(who, account, password) {
    try {
      return await this.passwords.verify(who, account?.password_hash ?? null, password);
    } catch (error) {
      await this.db.run('attempt_undo', who.subject);
      throw error;
    }
  }

  // beginSignUp: { pledge } to be redeemed with the number in the mail; or { fault } in Korean; or { refusal }.
  async beginSignUp(client, typed, password) {
    const login = loginOf(typed);
    if (!isAddress(login)) return { fault: '이메일 주소를 확인해 주세요.' };
    const fault = faultOf(password, login);
    if (fault) return { fault };
    return this.#counted(client, (who) => this.#pledgeSignUp(who, login, password));
  }

  async #pledgeSignUp(who, login, password) {
    const passwordHash = await this.passwords.hash(who, password);
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
      return { accountId: made.account_id, login: row.login };
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
    const who = { lane: 'strangers', line: client, failures: this.perClient.used(client) };
    const passwordHash = await this.passwords.hash(who, password);
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
    return this.#asKnown(client, account.login, this.browsers.bucketOfSession(sessionUid, account.login), async (who) => {
      const outcome = await this.#check(who, account.login, old);
      if (outcome.refusal) return outcome;
      const fault = old === password ? '지금과 다른 비밀번호를 정해 주세요.' : faultOf(password, account.login);
      if (fault) return { fault };
      await this.#setPassword(accountId, account.login, await this.passwords.hash(who, password), sessionUid);
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

  // close: {} or { refusal } or { open } or { isAway }. The shop forgets the person first; whatever fails, the account is there to ask again.
  async close(client, account, sessionUid, password) {
    const { account_id: accountId, login, email } = account;
    const outcome = await this.#asKnown(client, login, this.browsers.bucketOfSession(sessionUid, login), (who) => this.#check(who, login, password));
    if (outcome.refusal) return outcome;
    const erased = await this.shop.erase(accountId);
    if (erased.open || erased.isAway) return erased;
    await this.db.run('account_close', accountId);
    await this.db.run('attempt_forget', this.hidden(login));
    await this.mailbox.forget(email);
    changes.inc({ what: 'closed' });
    log.info('account.closed', { sub: accountId });
    return {};
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
