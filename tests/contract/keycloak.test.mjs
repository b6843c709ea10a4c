// SPDX-License-Identifier: Apache-2.0
// The realm file for Keycloak: in the form that Keycloak imports, by the schema made of Keycloak's own classes, and with the same clients,
// roles, scopes and claims as the identity service. What is in one and not in the other fails here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Ajv from 'ajv';

import { clientsOf, PAGES_CLIENT, SCOPES } from '../../identity/src/directory.mjs';
import { ROOT } from '../lib/stack-root.mjs';
import { directory, stack } from '../lib/stack.mjs';

const read = (path) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
const realm = read('deploy/keycloak/gwasuwon-realm.json');
const ours = clientsOf({ webOrigins: ['${GWASUWON_ORIGIN}'], issuer: 'https://issuer.example/auth', keysDir: join(stack.var, 'keys') }).filter((client) => client.client_id !== PAGES_CLIENT);
const byName = (list, key = 'name') => Object.fromEntries(list.map((one) => [one[key], one]));
const clients = byName(realm.clients, 'clientId');
const scopes = byName(realm.clientScopes);
const mappersOf = (one) => byName(one.protocolMappers ?? []);

const validate = new Ajv({ strict: false, allErrors: true }).compile(read('deploy/keycloak/realm.schema.json'));
const faultsOf = (value) => (validate(value) ? [] : validate.errors.map((fault) => `${fault.instancePath} ${fault.message} ${JSON.stringify(fault.params)}`));

test('the realm is in Keycloak\'s import format', () => assert.deepEqual(faultsOf(realm), []));

const BROKEN = [
  ['an unknown setting', (copy) => { copy.accessTokenLifeSpan = 300; }],
  ['an unknown setting of a client', (copy) => { copy.clients[0].redirectURIs = []; }],
  ['an unknown setting of a mapper', (copy) => { copy.clientScopes[0].protocolMappers[0].mapper = 'x'; }],
  ['a text where a number stands', (copy) => { copy.accessTokenLifespan = 'five minutes'; }],
  ['a role that is a text', (copy) => { copy.roles.realm.push('buyer'); }],
];
for (const [name, harm] of BROKEN) {
  test(`the schema finds ${name}`, () => {
    const copy = structuredClone(realm);
    harm(copy);
    assert.equal(faultsOf(copy).length, 1);
  });
}

test('the same clients, with the same ways in', () => {
  assert.deepEqual(Object.keys(clients).sort(), ours.map((client) => client.client_id).sort());
  for (const client of ours) {
    const theirs = clients[client.client_id];
    const grants = client.grant_types;
    assert.equal(theirs.standardFlowEnabled, grants.includes('authorization_code'), client.client_id);
    assert.equal(theirs.serviceAccountsEnabled, grants.includes('client_credentials'), client.client_id);
    assert.equal(theirs.publicClient, client.token_endpoint_auth_method === 'none', client.client_id);
    assert.deepEqual(theirs.redirectUris, client.redirect_uris, client.client_id);
    assert.deepEqual([theirs.implicitFlowEnabled, theirs.directAccessGrantsEnabled, theirs.webOrigins], [false, false, []], client.client_id);
    assert.equal(theirs.attributes['access.token.header.type.rfc9068'], 'true', `${client.client_id}: typ at+jwt`);
    if (theirs.publicClient) assert.equal(theirs.attributes['pkce.code.challenge.method'], 'S256', client.client_id);
    else assert.match(theirs.secret, /^\$\{GWASUWON_[A-Z_]+_SECRET\}$/, `${client.client_id}: a secret in the file`);
  }
});

test('the same roles, and who signs up is a buyer', () => {
  const [defaults, ...rest] = [realm.roles.realm.find((role) => role.name === realm.defaultRole.name), ...realm.roles.realm.filter((role) => role.name !== realm.defaultRole.name)];
  assert.deepEqual(rest.map((role) => role.name).sort(), Object.keys(directory.roles).sort());
  assert.deepEqual(defaults.composites, { realm: ['buyer'] });
});

test('the same scopes, for the same roles', () => {
  const mapped = Object.fromEntries(realm.scopeMappings.map((row) => [row.clientScope, row.roles.sort()]));
  for (const name of Object.keys(SCOPES)) {
    assert.equal(scopes[name].attributes['include.in.token.scope'], 'true', name);
    assert.equal(scopes[name].attributes['consent.screen.text'], SCOPES[name], name);
    assert.deepEqual(mapped[name], Object.keys(directory.roles).filter((role) => directory.roles[role].includes(name)).sort(), name);
    for (const id of ['gwasuwon-web', 'gwasuwon-cli']) assert.ok(clients[id].optionalClientScopes.includes(name), `${id}: ${name}`);
  }
  assert.deepEqual(Object.keys(mapped).sort(), Object.keys(SCOPES).sort());
  for (const client of realm.clients) for (const name of [...client.defaultClientScopes, ...client.optionalClientScopes]) assert.ok(scopes[name], `${client.clientId} names ${name}`);
});

test('the same claims', () => {
  for (const name of ['gwasuwon', 'internal']) assert.equal(mappersOf(scopes[name]).audience.config['included.custom.audience'], directory.audience);
  const person = mappersOf(scopes.gwasuwon);
  assert.deepEqual([person.roles.config['claim.name'], person.roles.config.multivalued], ['roles', 'true']);
  assert.deepEqual([person.farmId.config['claim.name'], person.farmId.config['user.attribute']], ['farmId', 'farmId']);
  assert.deepEqual(JSON.parse(mappersOf(scopes.internal).roles.config['claim.value']), ['service']);
  const users = byName(realm.users, 'serviceAccountClientId');
  for (const { name, sub } of directory.services) {
    assert.equal(mappersOf(clients[name]).service.config['claim.value'], name);
    assert.equal(users[name].id, sub, `sub of ${name}`);
    assert.deepEqual(clients[name].defaultClientScopes, ['internal']);
  }
});

test('a person cannot give himself a farm, and a used refresh token ends its session', () => {
  const profile = JSON.parse(realm.components['org.keycloak.userprofile.UserProfileProvider'][0].config['kc.user.profile.config'][0]);
  assert.deepEqual(byName(profile.attributes).farmId.permissions.edit, ['admin']);
  assert.deepEqual([realm.revokeRefreshToken, realm.refreshTokenMaxReuse, realm.bruteForceProtected, realm.sslRequired], [true, 0, true, 'external']);
});
