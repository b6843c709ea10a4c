// SPDX-License-Identifier: Apache-2.0
// Mails that nobody sends: each becomes a file of its own, readable by its owner alone, and a row of the operator's page. Exists so that
// sign-up and reset can be tried without a mail server. Must never be awaited by a page: how long a mail takes would tell that there is an account.

import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { log } from './log.mjs';

const KEPT = 500;
const SHOWN = 50;

const encoded = (words) => `=?utf-8?B?${Buffer.from(words).toString('base64')}?=`;
const decoded = (words) => words.replace(/=\?utf-8\?B\?([^?]*)\?=/g, (_, base64) => Buffer.from(base64, 'base64').toString('utf8'));

export class Mailbox {
  constructor(folder, issuer) {
    this.folder = folder;
    this.from = `no-reply@${new URL(issuer).hostname}`;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  // Returns at once; a failure is logged.
  send(to, subject, text) {
    this.#write(to, subject, text).catch((error) => log.error('mail.failed', { code: error.code ?? null }));
  }

  async #write(to, subject, text) {
    const name = `${new Date().toISOString().replaceAll(':', '')}-${randomBytes(4).toString('hex')}.eml`;
    const head = [`Date: ${new Date().toUTCString()}`, `From: ${encoded('과수원')} <${this.from}>`, `To: ${to.replace(/[\r\n]/g, '')}`, `Subject: ${encoded(subject)}`,
      'MIME-Version: 1.0', 'Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: 8bit'];
    await writeFile(join(this.folder, `.${name}`), `${head.join('\r\n')}\r\n\r\n${text.replaceAll('\n', '\r\n')}\r\n`, { mode: 0o600, flag: 'wx' });
    await rename(join(this.folder, `.${name}`), join(this.folder, name));
    const names = this.#names();
    await Promise.all(names.slice(KEPT).map((old) => unlink(join(this.folder, old)).catch(() => {})));
  }

  // A person who is gone leaves no mails.
  async forget(to) {
    const isTheirs = async (name) => (await readFile(join(this.folder, name), 'utf8').catch(() => '')).split('\r\n\r\n')[0].split('\r\n').includes(`To: ${to}`);
    const names = this.#names();
    const theirs = await Promise.all(names.map(isTheirs));
    await Promise.all(names.filter((_, index) => theirs[index]).map((name) => unlink(join(this.folder, name)).catch(() => {})));
  }

  #names() {
    return readdirSync(this.folder).filter((name) => /^[^.].*\.eml$/.test(name)).sort().reverse();
  }

  // The newest first.
  async list() {
    return Promise.all(this.#names().slice(0, SHOWN).map(async (name) => {
      const [head, ...body] = (await readFile(join(this.folder, name), 'utf8')).split('\r\n\r\n');
      const field = (wanted) => decoded(new RegExp(`^${wanted}: (.*)$`, 'm').exec(head)?.[1] ?? '');
      return { to: field('To'), subject: field('Subject'), at: new Date(field('Date')), text: body.join('\n\n') };
    }));
  }
}
