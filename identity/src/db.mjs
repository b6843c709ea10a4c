// SPDX-License-Identifier: Apache-2.0
// PostgreSQL: the statements of identity/sql by their names, on a small pool, each with a deadline. While the database is away every
// statement fails at once or at its deadline with Unavailable, which is answered 503; the pool connects again by itself. Must never log
// parameters: they are logins and hashes.

import pg from 'pg';
import { errors } from 'oidc-provider';

import { log } from './log.mjs';
import { statements } from './metrics.mjs';
import { readStatements } from './statements.mjs';

// The provider shows its own kind of error with the status that it carries.
export class Unavailable extends errors.OIDCProviderError {
  constructor(cause) {
    super(503, 'temporarily_unavailable', { cause, detail: 'the database is away' });
    this.error_description = 'the service is temporarily unavailable';
    this.allow_redirect = false;
    this.expose = true;
  }
}

// A server's answer about the statement itself is our bug; everything else means that the database is away.
const isOurs = (error) => typeof error.code === 'string' && /^(22|23|42)/.test(error.code);

export class Database {
  #statements = readStatements();
  #pool;

  constructor({ postgresUri, dbConnections, dbTimeoutMs }) {
    this.#pool = new pg.Pool({
      connectionString: postgresUri, max: dbConnections, connectionTimeoutMillis: dbTimeoutMs, query_timeout: dbTimeoutMs,
      statement_timeout: Math.floor(dbTimeoutMs * 0.9), idleTimeoutMillis: 60_000, keepAlive: true, application_name: 'identity',
    });
    this.#pool.on('error', (error) => log.warn('db.connection_lost', { code: error.code ?? null }));
  }

  // run(name, ...values): the rows.
  async run(name, ...values) {
    const text = this.#statements.get(name);
    if (!text) throw new Error(`no statement ${name}`);
    const end = statements.startTimer({ db_query_name: name });
    try {
      const { rows } = await this.#pool.query({ name, text, values });
      end({ outcome: 'ok' });
      return rows;
    } catch (error) {
      end({ outcome: 'failed' });
      if (isOurs(error)) throw error;
      throw new Unavailable(error);
    }
  }

  async one(name, ...values) {
    return (await this.run(name, ...values))[0];
  }

  close() {
    return this.#pool.end();
  }
}
