#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The bill of materials, CycloneDX 1.5: npm's own for the Node packages, and one for each service's program with the Debian packages that it is
// linked with. ./dev sbom writes them to var/sbom. Must never name what is not there: everything is read from lock files and programs.
//
//   ./dev sbom

import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT } from '../lib/stack-root.mjs';
import { rules } from './licences.mjs';
import { SERVICES, linkedPackages, programOf } from './linked.mjs';

const VERSION = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;

export function npmBom() {
  return JSON.parse(execFileSync('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'ignore'] }));
}

const licencesOf = (expression) => (expression === undefined ? [] : /\s/.test(expression) ? [{ expression }] : [{ license: { id: expression } }]);

function componentOf({ name, version, architecture, source }) {
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=debian-12`;
  return {
    type: 'library', 'bom-ref': purl, name, version, purl, scope: 'required', licenses: licencesOf(rules.debian[name]?.licence),
    properties: [{ name: 'gwasuwon:linked', value: rules.debian[name]?.static ? 'static' : 'dynamic' }, { name: 'gwasuwon:debian:source', value: source }],
  };
}

export function programBom(service) {
  const components = linkedPackages(service).map(componentOf);
  const ref = `pkg:generic/gwasuwon/${service}@${VERSION}`;
  const digest = createHash('sha256').update(readFileSync(programOf(service))).digest('hex');
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX', specVersion: '1.5', serialNumber: `urn:uuid:${randomUUID()}`, version: 1,
    metadata: {
      timestamp: new Date().toISOString(), lifecycles: [{ phase: 'build' }],
      component: { type: 'application', 'bom-ref': ref, name: service, version: VERSION, purl: ref, hashes: [{ alg: 'SHA-256', content: digest }], licenses: licencesOf('Apache-2.0') },
    },
    components,
    dependencies: [{ ref, dependsOn: components.map((component) => component['bom-ref']) }, ...components.map((component) => ({ ref: component['bom-ref'], dependsOn: [] }))],
  };
}

export const allBoms = () => ({ npm: npmBom(), ...Object.fromEntries(SERVICES.map((service) => [service, programBom(service)])) });

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const folder = join(process.env.GWASUWON_VAR ?? join(ROOT, 'var'), 'sbom');
  mkdirSync(folder, { recursive: true });
  for (const [name, bom] of Object.entries(allBoms())) {
    const path = join(folder, `${name}.cdx.json`);
    writeFileSync(path, `${JSON.stringify(bom, null, 2)}\n`);
    console.log(`${path}  ${bom.components.length} components`);
  }
}
