// SPDX-License-Identifier: Apache-2.0
// The operator's hand on accounts, as the schema's owner; ./dev account calls it. Exists because the service itself may neither give a role
// nor lock anybody. Whoever loses a right is signed out everywhere. Must never take a password from the command line.
//
//   list                                   all accounts
//   sessions LOGIN                         where it is signed in
//   end-sessions LOGIN [SESSION]           signs it out, everywhere or there
//   lock LOGIN, unlock LOGIN               locks it out; lets it in again, and forgets its failures
//   role LOGIN buyer|operator|farmer FARM  what it may from now on
//   seed                                   the demo accounts, with DEMO_PASSWORD
//
// Environment: IDENTITY_OWNER_URI, SECRET, DEMO_PASSWORD.

import pg from 'pg';

import { readStatements } from './src/statements.mjs';
import { loginOf, subjectsOf } from './src/subjects.mjs';

const statements = readStatements();
const client = new pg.Client({ connectionString: process.env.IDENTITY_OWNER_URI, connectionTimeoutMillis: 5000, query_timeout: 5000 });
const run = async (name, ...values) => (await client.query(statements.get(name), values)).rows;

function die(message) {
  console.error(message);
  process.exit(1);
}

async function accountOf(login) {
  const [row] = login ? await run('operator_find', loginOf(login)) : [];
  return row?.account_id ?? die(`no account "${login ?? ''}"; ./dev account list`);
}

async function seed() {
  const { hash } = await import('@node-rs/argon2');
  const { PARAMETERS } = await import('./src/passwords.mjs');
  const { directory } = await import('./src/directory.mjs');
  for (const { sub, name, role, farmId = null } of directory.accounts) await run('operator_seed', sub, name, role, farmId, await hash(process.env.DEMO_PASSWORD, PARAMETERS));
  console.log(`${directory.accounts.length} accounts`);
}

async function setLocked(login, isLocked) {
  const accountId = await accountOf(login);
  await run('operator_lock', accountId, isLocked);
  if (isLocked) await run('account_records_end', accountId);
  else await run('attempt_forget', subjectsOf(process.env.SECRET)(loginOf(login)));
  console.log(isLocked ? 'locked, and signed out everywhere' : 'unlocked');
}

async function setRole(login, role, farmId = null) {
  if (!['buyer', 'farmer', 'operator'].includes(role) || (role === 'farmer') !== Boolean(farmId)) die('usage: ./dev account role LOGIN buyer|operator, or LOGIN farmer FARM');
  const accountId = await accountOf(login);
  await run('operator_role', accountId, role, farmId);
  await run('account_records_end', accountId);
  console.log(`${role} from now on, and signed out everywhere`);
}

const commands = {
  list: async () => console.table(await run('operator_list')),
  sessions: async (login) => console.table(await run('session_list', await accountOf(login))),
  'end-sessions': async (login, session = null) => {
    const accountId = await accountOf(login);
    if (session) await run('session_end', accountId, session, null);
    else await run('account_records_end', accountId);
    console.log('signed out');
  },
  lock: (login) => setLocked(login, true),
  unlock: (login) => setLocked(login, false),
  role: setRole,
  seed,
};
const [command, ...args] = process.argv.slice(2);
if (!Object.hasOwn(commands, command ?? '')) die(`usage: ./dev account ${Object.keys(commands).filter((name) => name !== 'seed').join('|')} [LOGIN] ...`);
await client.connect();
try {
  await commands[command](...args);
} finally {
  await client.end();
}
