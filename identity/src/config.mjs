// SPDX-License-Identifier: Apache-2.0
// The settings of the identity service: one table, read from the environment. Exists so that a bad value stops the start with its name
// and its rule, and nothing else does. Must never print a secret.

const EXIT_CONFIG = 78;

const text = (rule, pattern) => ({ rule, read: (value) => (pattern.test(value) ? value : undefined) });
const whole = (min, max) => ({
  rule: `a whole number from ${min} to ${max}`,
  read: (value) => (/^\d{1,12}$/.test(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined),
});
const oneOf = (...values) => ({ rule: `one of ${values.join(', ')}`, read: (value) => (values.includes(value) ? value : undefined) });
const folder = text('an absolute path', /^\/[^\0]+$/);

function readUrl(value, protocols) {
  const url = URL.parse ? URL.parse(value) : URL.canParse(value) && new URL(value);
  return url && protocols.includes(url.protocol) && !url.hash ? url : undefined;
}
const issuer = {
  rule: 'an http(s) URL whose path is /auth, without query',
  read: (value) => {
    const url = readUrl(value, ['http:', 'https:']);
    return url && !url.search && url.pathname === '/auth' && !value.endsWith('/') ? value : undefined;
  },
};
const origins = {
  rule: 'http(s) origins with commas between, or empty',
  read: (value) => {
    const list = value.split(',').filter(Boolean);
    return list.every((one) => readUrl(one, ['http:', 'https:'])?.origin === one) ? list : undefined;
  },
};
const optionalUrl = { rule: 'an http(s) URL, or empty', read: (value) => (value === '' || readUrl(value, ['http:', 'https:']) ? value : undefined) };
const database = { rule: 'a postgresql:// URL', read: (value) => (readUrl(value, ['postgresql:', 'postgres:']) ? value : undefined) };

// name, type, default (none: it must be given), sentence; a secret is never shown.
export const SETTINGS = [
  { name: 'ISSUER', type: issuer, help: 'iss of every token and the public address of this service' },
  { name: 'AUDIENCE', type: text('1 to 64 letters, digits, - . _ or :', /^[\w.:-]{1,64}$/), fallback: 'gwasuwon', help: 'aud of every access token' },
  { name: 'WEB_ORIGINS', type: origins, fallback: '', help: 'origins at which the storefront runs; empty: the origin of ISSUER' },
  { name: 'LISTEN_ADDRESS', type: text('an IP address', /^[0-9a-fA-F.:]+$/), fallback: '127.0.0.1', help: 'where to listen' },
  { name: 'HTTP_PORT', type: whole(1, 65535), help: 'port behind the gateway' },
  { name: 'ADMIN_PORT', type: whole(1, 65535), help: 'port of /livez /readyz /metrics /version; never behind the gateway' },
  { name: 'POSTGRES_URI', type: database, isSecret: true, help: 'the database, as role identity_app' },
  { name: 'DB_CONNECTIONS', type: whole(1, 100), fallback: '8', help: 'connections to the database' },
  { name: 'DB_TIMEOUT_MS', type: whole(50, 60_000), fallback: '1000', help: 'patience with one statement, and with a connection' },
  { name: 'SECRET', type: text('at least 32 characters', /^.{32,}$/), isSecret: true, help: 'cookies are signed, and logins in the list of failures hidden, with keys made of it' },
  { name: 'KEYS_DIR', type: folder, help: 'signing keys, jwks.json and the secrets of machine clients' },
  { name: 'KEY_ROTATE_DAYS', type: whole(0, 3650), fallback: '90', help: 'age at which the signing key is changed by itself; 0: never' },
  { name: 'KEY_ANNOUNCE_S', type: whole(0, 86_400), fallback: '300', help: 'how long a new key is published before it signs, when it is changed by itself' },
  { name: 'MAIL_DIR', type: folder, help: 'where mails land; nothing is sent' },
  { name: 'ACCESS_TTL_S', type: whole(10, 86_400), fallback: '300', help: 'life of a person\'s access token' },
  { name: 'SERVICE_TTL_S', type: whole(10, 86_400), fallback: '900', help: 'life of a machine\'s access token' },
  { name: 'SESSION_TTL_S', type: whole(60, 31_536_000), fallback: '1209600', help: 'life of a sign-in, from its last use' },
  { name: 'REFRESH_TTL_S', type: whole(60, 31_536_000), fallback: '1209600', help: 'life of a family of refresh tokens' },
  { name: 'HASH_CONCURRENCY', type: whole(1, 3), fallback: '1', help: 'passwords of strangers checked at the same time, beside one of a known browser; each takes about 20 ms of one core and 19 MiB' },
  { name: 'LOCK_AFTER', type: whole(2, 1000), fallback: '5', help: 'failures in a row after which a login is locked, or a known browser for this login' },
  { name: 'LOCK_BASE_S', type: whole(1, 86_400), fallback: '30', help: 'how long at first; doubled with each further failure' },
  { name: 'LOCK_MAX_S', type: whole(1, 86_400), fallback: '900', help: 'how long at most' },
  { name: 'ATTEMPTS_PER_MINUTE', type: whole(1, 1_000_000), fallback: '30', help: 'failed sign-ins, sign-ups and resets one client may try in a minute' },
  { name: 'MAILS_PER_HOUR', type: whole(1, 1_000_000), fallback: '5', help: 'mails that one address may be sent in an hour' },
  { name: 'ERASURE_URL', type: optionalUrl, fallback: '', help: 'where a person\'s token asks by POST that the shop forgets the person, before an account is closed; empty: there is no shop' },
  { name: 'ERASURE_TIMEOUT_MS', type: whole(100, 30_000), fallback: '6000', help: 'patience with that' },
  { name: 'DRAIN_WAIT_MS', type: whole(0, 60_000), fallback: '100', help: 'after SIGTERM: how long new requests are still taken' },
  { name: 'DRAIN_TIMEOUT_MS', type: whole(100, 120_000), fallback: '10000', help: 'after that: how long running ones may take' },
  { name: 'LOG_LEVEL', type: oneOf('debug', 'info', 'warn', 'error'), fallback: 'info', help: 'what is logged' },
];

const camel = (name) => name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());

// readConfig(environment): { config } or { faults }, each fault naming setting, value and rule.
export function readConfig(environment) {
  const config = {};
  const faults = [];
  for (const { name, type, fallback, isSecret } of SETTINGS) {
    const given = environment[name] ?? fallback;
    const value = given === undefined ? undefined : type.read(given);
    if (value === undefined) faults.push({ setting: name, value: given === undefined ? null : isSecret ? '***' : given, rule: type.rule });
    else config[camel(name)] = value;
  }
  if (faults.length) return { faults };
  if (!config.webOrigins.length) config.webOrigins = [new URL(config.issuer).origin];
  return { config };
}

// What the log shows at the start.
export const shown = (config) => Object.fromEntries(SETTINGS.map(({ name, isSecret }) => [name, isSecret ? '***' : config[camel(name)]]));

export function help() {
  const rows = SETTINGS.map(({ name, type, fallback, help: sentence }) => `  ${name.padEnd(20)} ${sentence}\n${' '.repeat(23)}${type.rule}${fallback === undefined ? '; required' : `; default "${fallback}"`}`);
  return `usage: node identity/main.mjs\n\nSettings, by environment:\n${rows.join('\n')}\n`;
}

export function configOrExit(log) {
  const { config, faults } = readConfig(process.env);
  if (config) return config;
  for (const fault of faults) log.error('config.invalid', fault);
  process.exit(EXIT_CONFIG);
}
