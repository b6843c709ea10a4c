// SPDX-License-Identifier: Apache-2.0
// Each bill of materials is CycloneDX 1.5 by its own JSON schema, names what is linked and every package of the lock; and the schema finds
// what is no bill of materials.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import Ajv from 'ajv';
import addFormats from 'ajv-formats';

import { npmRows } from './licences.mjs';
import { SERVICES, linkedPackages } from './linked.mjs';
import { allBoms } from './sbom.mjs';

// The schemas come with the CycloneDX project's own library.
const schemas = join(dirname(createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library/package.json')), 'res/schema');
const schema = (name) => JSON.parse(readFileSync(join(schemas, name), 'utf8'));
const ajv = new Ajv({ strict: false, allErrors: true });
for (const name of ['spdx.SNAPSHOT.schema.json', 'jsf-0.82.SNAPSHOT.schema.json']) ajv.addSchema({ ...schema(name), $id: `http://cyclonedx.org/schema/${name}` });
addFormats(ajv);
ajv.addFormat('iri-reference', true); // what RFC 3987 adds to uri-reference is not looked at
ajv.addFormat('idn-email', true);
const validate = ajv.compile(schema('bom-1.5.SNAPSHOT.schema.json'));
const boms = allBoms();

for (const [name, bom] of Object.entries(boms))
  test(`${name}: is CycloneDX 1.5`, () => assert.ok(validate(bom), ajv.errorsText(validate.errors)));

test('a component without a name is none', () => {
  const [, ...rest] = Object.entries(boms.npm.components[0]).filter(([key]) => key !== 'version');
  assert.ok(!validate({ ...boms.npm, components: [Object.fromEntries(rest.filter(([key]) => key !== 'name'))] }));
  assert.ok(!validate({ ...boms.npm, specVersion: 1 }));
});

test('every package of the lock is in it', () => {
  const known = new Set(boms.npm.components.map(({ purl }) => decodeURIComponent(purl)));
  const missing = npmRows().filter(({ name, version }) => !known.has(`pkg:npm/${name}@${version}`));
  // What is for another platform is not installed and not named.
  assert.deepEqual(missing.map(({ name }) => name).filter((name) => !/(darwin|win32|linux|android|freebsd|wasm32|sunos|openbsd|netbsd)/.test(name)), []);
});

for (const service of SERVICES)
  test(`${service}: every package that is linked is in it`, () => {
    const names = boms[service].components.map(({ name }) => name);
    assert.deepEqual(names, linkedPackages(service).map(({ name }) => name));
    for (const wanted of ['libc6', 'libssl3', 'libpq5', 'libnghttp2-14']) assert.ok(names.includes(wanted), wanted);
    assert.ok(boms[service].components.every(({ licenses }) => licenses.length > 0));
  });
