// SPDX-License-Identifier: Apache-2.0
// The local nginx's part of the description: a location for each path, and the policies that stack/edge reads. Values between @ signs
// are filled in by stack/gateway.sh. Must never route by a prefix that holds more than the description's paths.

import { pattern } from './description.mjs';

const HEAD = `# SPDX-License-Identifier: Apache-2.0
# Made by deploy/gateway/generate.mjs from routes.yaml: not edited by hand.
`;
const REQUEST_HEADERS = `add_header Content-Security-Policy $content_security_policy always;
add_header Strict-Transport-Security $strict_transport always;
add_header X-Request-Id $request_id always;
add_header X-Correlation-Id $correlation_id always;
`;
const SEGMENT = '[^/;]+'; // no path parameter of ours holds a semicolon: what others take for a parameter's end is no path here

// The cache of the second has the second in its key: what was stored in one is not found in the next.
const CACHES = { second: '$cache_second', long: 'long' };

function locationOf({ path, rows }, { bodies, timeouts }) {
  const cache = rows.find((row) => row.cache)?.cache;
  const lines = [
    `access_by_lua_block { require("edge").enter("${path}") }`,
    `client_max_body_size ${Math.max(...rows.map((row) => bodies[row.body]))};`,
    `proxy_pass http://${rows[0].to};`,
  ];
  if (cache) lines.push(`proxy_cache ${cache};`, `proxy_cache_key "${CACHES[cache]} $request_method $request_uri";`, 'open_file_cache max=2048 inactive=10s;');
  if (rows.some((row) => row.isStream)) lines.push('proxy_buffering off;', `proxy_read_timeout ${timeouts.stream / 1000}s;`);
  if (rows.some((row) => row.isRetried)) lines.push('proxy_next_upstream error non_idempotent;');
  const place = path.includes('{') ? `~ "^${pattern(path, SEGMENT)}$"` : `= ${path}`;
  return `  location ${place} {\n${lines.map((line) => `    ${line}\n`).join('')}  }\n`;
}

// Nested below its first noun, so that a request meets a few patterns and not all.
export function apiLocations(text) {
  const nouns = new Map();
  for (const entry of text.paths) {
    const [prefix] = /^\/api\/v1\/[a-z-]+/.exec(entry.path);
    nouns.set(prefix, [...(nouns.get(prefix) ?? []), entry]);
  }
  const groups = [...nouns].map(([prefix, entries]) => `location ${prefix} {\n${entries.map((entry) => locationOf(entry, text)).join('')}  return 404;\n}\n`);
  return `${HEAD}\n${groups.join('')}location = /api { return 404; }\nlocation /api/ { return 404; }\n`;
}

const ownName = (header) => `$own_${header.toLowerCase().replaceAll('-', '_')}`;

// identity says some of the headers itself, its own way; the rest are added, so that each stands once.
export function authLocations({ surfaces: { identity }, bodies, timeouts, headers }) {
  const lines = Object.keys(headers).map((name) => `  add_header ${name} ${ownName(name)} always;\n`);
  return `${HEAD}# identity: its pages and endpoints. It checks its callers itself.

location ${identity.below} {
  access_by_lua_block { require("edge").enter("${identity.below}") }
  client_max_body_size ${bodies[identity.body]};
  proxy_read_timeout ${timeouts.ordinary / 1000}s;
  proxy_cookie_flags ~ secure;
  proxy_hide_header Content-Security-Policy;
  proxy_hide_header Strict-Transport-Security;
  proxy_hide_header X-Powered-By;
${lines.join('')}${REQUEST_HEADERS.replaceAll(/^/gm, '  ').trimEnd()}
  proxy_pass http://identity;
}
`;
}

// What stack/edge/edge.lua reads: limits by class, and who may what by path and method.
export function policy({ limits, paths, surfaces }) {
  const rowOf = (who, name) => ({ who, class: name });
  const routes = Object.fromEntries(
    paths.map(({ path, rows }) => {
      const methods = Object.fromEntries(rows.map((row) => [row.method, rowOf(row.who, row.class)]));
      if (methods.GET) methods.HEAD = methods.GET;
      methods.OPTIONS = rowOf('anyone', 'read'); // the service names its methods; nothing is granted to other origins
      return [path, methods];
    }),
  );
  const { below, reads, writes } = surfaces.identity;
  routes[below] = { GET: rowOf('anyone', reads), HEAD: rowOf('anyone', reads), OPTIONS: rowOf('anyone', reads), POST: rowOf('anyone', writes), PUT: rowOf('anyone', writes), DELETE: rowOf('anyone', writes) };
  return `${JSON.stringify({ limits, routes }, null, 1)}\n`;
}

const ID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}';
const PAGE = '[a-z]+(?:[._-][a-z]+){0,5}'; // outside of /api/

// What the log shows of a path: words that are the contract's or a page's, and ids. Of anything else, which may be somebody's name or number, only that it was there.
function loggedPath(paths) {
  const words = [...new Set(paths.flatMap(({ path }) => path.split('/').slice(3)).filter((word) => /^[a-z]/.test(word)))];
  const one = (segment) => `(?:/(?:${segment})(?=[/?]|$))*`;
  const known = `(?:/api/v1(?=[/?]|$)${one(`${words.join('|')}|${ID}`)}|(?!/api/)${one(PAGE)})`;
  return `map $request_uri $logged_path {
  default "/*";
  "~^(?<path_whole>${known}/?)(?:[?]|$)" $path_whole;
  "~^(?<path_known>${known})" "$path_known/*";
}
`;
}

// Values that depend on the request: for the http block.
export function maps({ contentSecurity, strictTransport, headers, paths }) {
  const own = Object.entries(headers).map(([name, value]) => `map $upstream_http_${name.toLowerCase().replaceAll('-', '_')} ${ownName(name)} { default ""; "" "${value}"; }\n`);
  return `${HEAD}
# Not for names of this machine: a browser would refuse every other program on localhost.
map "$https $host" $strict_transport {
  default "";
  "~^on (localhost|.*\\.localhost|[0-9.]+|\\[.*)$" "";
  "~^on " "${strictTransport}";
}
# identity says itself where its forms may lead; when it says nothing it gets what pages get.
map $upstream_http_content_security_policy $auth_content_security {
  default $upstream_http_content_security_policy;
  "" "${contentSecurity.pages}";
}
${loggedPath(paths)}${own.join('')}map $uri $content_security_policy {
  default "${contentSecurity.pages}";
  "~^/docs/" "${contentSecurity.docs}";
  "~^/auth/" $auth_content_security;
  "~^/(api|\\.problem)/" "${contentSecurity.api}";
}
# A caller's name for what it is doing, if it is one; else the request's own.
map $http_x_correlation_id $correlation_id {
  default $request_id;
  "~^(?<caller_correlation>[A-Za-z0-9._-]{8,64})$" $caller_correlation;
}
map $msec $cache_second { "~^(?<this_second>[0-9]+)" $this_second; }
# Who says so gets a fresh answer (RFC 9111 5.2.1).
map $http_cache_control $wants_fresh { default ""; "~*(no-cache|no-store|max-age=0)" 1; }
`;
}

export function headerLines({ headers }) {
  const lines = Object.entries(headers).map(([name, value]) => `add_header ${name} "${value}" always;\n`);
  return `${HEAD}# Included wherever a location answers by itself: add_header in a location drops what stands above it.
${lines.join('')}${REQUEST_HEADERS}add_header X-Cache-Status $upstream_cache_status always;
`;
}
