// SPDX-License-Identifier: Apache-2.0
// The OpenAPI files as a judge: finds the operation of a request and checks the answer against it, strictly: a field that the
// contract does not name is a fault too. Must never change what it judges, nor know a rule that stands not in the contract.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import YAML from 'yaml';

import { ROOT, SERVICES } from './stack.mjs';

export const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];
export const contracts = Object.fromEntries(
  SERVICES.map((name) => [name, YAML.parse(readFileSync(join(ROOT, 'contracts/openapi', `${name}.yaml`), 'utf8'), { merge: true })]),
);

const follow = (doc, node) => {
  while (node?.$ref) node = node.$ref.slice(2).split('/').reduce((at, part) => at[part.replaceAll('~1', '/').replaceAll('~0', '~')], doc);
  return node;
};

const escape = (part) => part.replaceAll('~', '~0').replaceAll('/', '~1');

// Every object that lists its properties takes no others; an allOf becomes the one object it means.
function closed(doc, node) {
  if (Array.isArray(node)) return node.map((item) => closed(doc, item));
  if (node === null || typeof node !== 'object') return node;
  if (node.allOf) {
    const parts = node.allOf.map((part) => follow(doc, part)).flatMap((part) => (part.allOf ? part.allOf.map((inner) => follow(doc, inner)) : [part]));
    return closed(doc, {
      type: 'object',
      required: parts.flatMap((part) => part.required ?? []),
      properties: Object.assign({}, ...parts.map((part) => part.properties)),
    });
  }
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, key === 'example' || key === 'examples' ? value : closed(doc, value)]));
  const isObject = copy.type === 'object' && copy.properties && copy.additionalProperties === undefined;
  return isObject ? { ...copy, additionalProperties: false } : copy;
}

const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false, logger: false });
addFormats(ajv);
for (const [name, doc] of Object.entries(contracts)) ajv.addSchema(closed(doc, doc), name);

const compiled = new Map();
function validator(name, path) {
  const ref = `${name}#/${path.map((part) => encodeURIComponent(escape(part))).join('/')}`;
  if (!compiled.has(ref)) compiled.set(ref, ajv.compile({ $ref: ref }));
  return compiled.get(ref);
}

// Every operation of the three contracts: { service, method, path, operation, operationId, match }.
export const operations = Object.entries(contracts).flatMap(([name, doc]) =>
  Object.entries(doc.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({
      service: name,
      method: method.toUpperCase(),
      path,
      operation: item[method],
      operationId: item[method].operationId,
      match: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`),
    })),
  ),
);

export const operationOf = (method, pathname) => operations.find((row) => row.method === method && row.match.test(pathname));

// Where the schema of this answer stands: the file, and the keys that lead to it without a $ref on the way.
function schemaPlace({ service, operation, path, method }, status, type) {
  const doc = contracts[service];
  const key = operation.responses[status] ? String(status) : 'default';
  let at = ['paths', path, method.toLowerCase(), 'responses', key];
  let node = operation.responses[key];
  if (!node) throw new Error(`${operation.operationId} documents no ${status}`);
  if (node.$ref) {
    at = node.$ref.slice(2).split('/');
    node = follow(doc, node);
  }
  const media = node.content?.[type];
  if (!media) throw new Error(`${operation.operationId} documents for ${status} no body of type "${type}", only: ${Object.keys(node.content ?? {}).join(', ') || 'none'}`);
  return [...at, 'content', type, 'schema'];
}

export const seen = new Map(); // operationId -> statuses that a test has met

// Throws when the answer is not what the contract says. `body` is text.
export function checkAnswer(method, pathname, status, type, body) {
  const row = operationOf(method, pathname);
  if (!row) return; // not ours: an unknown path, or a method it has not
  if (!seen.has(row.operationId)) seen.set(row.operationId, new Set());
  seen.get(row.operationId).add(status);
  const place = (what) => new Error(`${method} ${pathname} answered ${status} against its contract: ${what}`);
  if (body.length === 0 || method === 'HEAD') {
    const node = follow(contracts[row.service], row.operation.responses[status]);
    if (!node) throw place('the status is not documented');
    if (node.content && method !== 'HEAD') throw place('the body is missing');
    return;
  }
  const essence = type.split(';')[0].trim();
  let where;
  try {
    where = schemaPlace(row, status, essence);
  } catch (error) {
    throw place(error.message);
  }
  if (!/json$/.test(essence)) return;
  const validate = validator(row.service, where);
  if (!validate(JSON.parse(body))) throw place(`${ajv.errorsText(validate.errors, { separator: '; ' })}\n${body}`);
}

export const checkProblem = (serviceName, body) => {
  const validate = validator(serviceName, ['components', 'schemas', 'Problem']);
  if (!validate(body)) throw new Error(`not a problem of ${serviceName}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(body)}`);
};
