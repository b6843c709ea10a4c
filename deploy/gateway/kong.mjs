// SPDX-License-Identifier: Apache-2.0
// Kong's part of the description: the declarative file, and the include that limits clients before any plugin runs. Kong lets one
// rate-limiting plugin act on a request, so it counts accounts and nginx's own limit_req (Kong is an nginx) counts clients.
// Must never route by a prefix that holds more than the description's paths, nor let a request pass that its plugins could not check.

import { createPublicKey } from 'node:crypto';
import YAML from 'yaml';

import { pattern } from './description.mjs';

const HEAD = `# SPDX-License-Identifier: Apache-2.0
# Made by deploy/gateway/generate.mjs from routes.yaml: not edited by hand.
`;
const SEGMENT = '[^/;]+';
const ACCOUNT = 'X-Gwasuwon-Account';

// Whom a token speaks of, for the count of its account, as a header that no client can send. Not trusted here: jwt (priority 1450) refuses a
// forged token before rate-limiting (910) counts. pre-function runs first of all.
const ACCOUNT_OF_TOKEN = `local token = (kong.request.get_header("authorization") or ""):match("^[Bb][Ee][Aa][Rr][Ee][Rr] [^.]+%.([^.]+)%.[^.]+$")
local claims = token and ngx.decode_base64((token:gsub("%-", "+"):gsub("_", "/")) .. ("="):rep(-#token % 4))
local subject = claims and claims:match('"sub"%s*:%s*"([%w-]+)"')
kong.service.request.clear_header("${ACCOUNT}")
if subject then kong.service.request.set_header("${ACCOUNT}", subject) end
`;

const plugin = (name, config) => ({ name, config });

const tokenPlugins = () => [
  plugin('pre-function', { access: [ACCOUNT_OF_TOKEN] }),
  plugin('jwt', {
    header_names: ['authorization'],
    uri_param_names: [], // a token in an address ends in logs
    cookie_names: [],
    key_claim_name: 'kid',
    claims_to_verify: ['exp', 'nbf'],
    run_on_preflight: true,
  }),
];

const accountPlugin = ({ account }) => plugin('rate-limiting', { ...account, limit_by: 'header', header_name: ACCOUNT, policy: 'local', fault_tolerant: true, hide_client_headers: false, error_code: 429, error_message: 'too_many_requests' });

const bodyPlugin = (bytes) => plugin('request-size-limiting', { allowed_payload_size: bytes, size_unit: 'bytes', require_content_length: false });

const cachePlugin = () =>
  plugin('proxy-cache', {
    strategy: 'memory',
    memory: { dictionary_name: 'kong_db_cache' },
    request_method: ['GET', 'HEAD'],
    response_code: [200],
    content_type: ['application/json', 'image/jpeg', 'image/png', 'image/webp'],
    cache_control: true, // what the answer says; one with a token is never asked of it, nor stored
    vary_headers: ['Authorization'],
    cache_ttl: 1,
    response_headers: { age: true, 'X-Cache-Status': true, 'X-Cache-Key': false },
  });

function routeOf(row, text) {
  const limits = text.limits[row.class];
  const plugins = [bodyPlugin(text.bodies[row.body])];
  if (row.who === 'token') plugins.push(...tokenPlugins());
  if (row.who === 'token' && limits.account) plugins.push(accountPlugin(limits));
  if (row.cache) plugins.push(cachePlugin());
  return {
    name: row.name,
    protocols: ['https'],
    https_redirect_status_code: 308,
    methods: row.method === 'GET' ? ['GET', 'HEAD'] : [row.method],
    paths: [`~${pattern(row.path, SEGMENT).replaceAll('.', '\\.')}$`],
    strip_path: false,
    preserve_host: true,
    request_buffering: true,
    response_buffering: !row.isStream,
    plugins,
  };
}

// A stream needs a service of its own: Kong's timeouts belong to the service.
function serviceOf(name, to, read, routes, { upstreams, timeouts }) {
  const { host, port } = upstreams[to];
  return { name, protocol: 'http', host, port, connect_timeout: timeouts.connect, read_timeout: read, write_timeout: timeouts.ordinary, retries: 1, routes };
}

function surfaceService(name, { below, to, body, writes }, text) {
  const methods = writes ? ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'] : ['GET', 'HEAD'];
  const route = { name, protocols: ['https'], https_redirect_status_code: 308, methods, paths: [below], strip_path: false, preserve_host: true, request_buffering: true, response_buffering: true };
  const headers = [`Content-Security-Policy:${text.contentSecurity.pages}`];
  const plugins = [bodyPlugin(text.bodies[body ?? 'none']), plugin('response-transformer', { add: { headers: [...commonHeaders(text), ...headers] }, remove: { headers: ['Server', 'X-Powered-By'] } })];
  return serviceOf(to, to, text.timeouts.ordinary, [{ ...route, plugins }], text);
}

const commonHeaders = ({ headers, strictTransport }) => [...Object.entries(headers), ['Strict-Transport-Security', strictTransport]].map(([name, value]) => `${name}:${value}`);

// What lies below /api/ and is no operation ends here: the pages' prefix would take it otherwise.
const NO_SUCH_PATH = { type: 'https://gwasuwon.example/problems/not_found', title: '찾을 수 없습니다', status: 404, detail: '이 주소에는 아무것도 없습니다.', code: 'not_found', traceId: null, errors: [] };
const restRoute = () => ({
  name: 'no_operation',
  protocols: ['https'],
  https_redirect_status_code: 308,
  paths: ['/api/'],
  strip_path: false,
  plugins: [plugin('request-termination', { status_code: 404, content_type: 'application/problem+json', body: JSON.stringify(NO_SUCH_PATH) })],
});

function globalPlugins(text) {
  return [
    plugin('correlation-id', { header_name: 'X-Correlation-Id', generator: 'uuid', echo_downstream: true }),
    plugin('response-transformer', { add: { headers: [...commonHeaders(text), `Content-Security-Policy:${text.contentSecurity.api}`] }, remove: { headers: ['Server', 'X-Powered-By'] } }),
  ];
}

// A JWKS as the credentials that Kong's jwt plugin looks up by kid. Without keys every token is refused.
function consumers(jwks) {
  const keys = jwks.keys.filter(({ kid, use, kty, crv }) => kid && (!use || use === 'sig') && (kty === 'RSA' || (kty === 'EC' && crv === 'P-256')));
  const secrets = keys.map((key) => ({ key: key.kid, algorithm: key.kty === 'RSA' ? 'RS256' : 'ES256', rsa_public_key: createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' }) }));
  return [{ username: 'gwasuwon-issuer', ...(secrets.length ? { jwt_secrets: secrets } : {}) }];
}

export function kong(text, jwks = { keys: [] }) {
  const services = ['fruit-catalog', 'order-manager', 'delivery-mock'].flatMap((to) => {
    const own = text.operations.filter((row) => row.to === to);
    const routesOf = (isStream) => own.filter((row) => row.isStream === isStream).map((row) => routeOf(row, text));
    const streams = routesOf(true);
    return [serviceOf(to, to, text.timeouts.ordinary, routesOf(false), text), ...(streams.length ? [serviceOf(`${to}-streams`, to, text.timeouts.stream, streams, text)] : [])];
  });
  const surfaces = Object.entries(text.surfaces).map(([name, surface]) => surfaceService(name, surface, text));
  const file = { _format_version: '3.0', _transform: true, services: [...services, ...surfaces], routes: [restRoute()], plugins: globalPlugins(text), consumers: consumers(jwks) };
  return `${HEAD}${YAML.stringify(file, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

// ---- clients -------------------------------------------------------------------------------------------------------------

// "POST /api/v1/orders" of this class, as a pattern of nginx.
function patternsOf(name, { operations, surfaces }) {
  const rows = operations.filter((row) => row.class === name).map((row) => `${row.method === 'GET' ? '(GET|HEAD)' : row.method} ${pattern(row.path, SEGMENT)}$`);
  for (const { below, reads, writes } of Object.values(surfaces)) {
    if (writes === name) rows.push(`(POST|PUT|DELETE) ${below}`);
    if (reads === name && below !== '/') rows.push(`(GET|HEAD) ${below}`);
  }
  return rows;
}

// For nginx_http_include of Kong: who is counted, by class. A client is an address, of IPv6 its /64.
export function clientZones(text) {
  const zone = (name, { client }) => {
    const variable = `client_${name.replaceAll('-', '_')}`;
    const rows = patternsOf(name, text).map((row) => `  "~^${row}" $client_key;\n`);
    const minute = client.minute ? `limit_req_zone $${variable} zone=${variable}_minute:16m rate=${client.minute}r/m;\n` : '';
    return `map "$request_method $uri" $${variable} {\n  default "";\n${rows.join('')}}\nlimit_req_zone $${variable} zone=${variable}_second:16m rate=${client.second}r/s;\n${minute}`;
  };
  return `${HEAD}# Kong's KONG_NGINX_HTTP_INCLUDE: how often a client may come, by class.

map $binary_remote_addr $client_key {
  "~^(?<client_net>[\\x00-\\xff]{8})[\\x00-\\xff]{8}$" $client_net;
  default $binary_remote_addr;
}
${Object.entries(text.limits).map(([name, limits]) => zone(name, limits)).join('')}`;
}

// For nginx_proxy_include of Kong.
export function clientLimits({ limits }) {
  const lines = Object.entries(limits).map(([name, { client }]) => {
    const variable = `client_${name.replaceAll('-', '_')}`;
    const minute = client.minute ? `limit_req zone=${variable}_minute burst=${client.minute} nodelay;\n` : '';
    return `limit_req zone=${variable}_second burst=${client.second} nodelay;\n${minute}`;
  });
  return `${HEAD}# Kong's KONG_NGINX_PROXY_INCLUDE: refuses who comes too often.

limit_req_status 429;
${lines.join('')}error_page 429 = /.problem/too-many-requests;
location = /.problem/too-many-requests {
  internal;
  default_type application/problem+json;
  add_header Retry-After 1 always;
  return 429 '{"type":"https://gwasuwon.example/problems/too_many_requests","title":"요청이 너무 많습니다","status":429,"detail":"잠시 후 다시 시도해 주세요.","code":"too_many_requests","traceId":"$request_id","errors":[]}';
}
`;
}
