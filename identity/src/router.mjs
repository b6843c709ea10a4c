// SPDX-License-Identifier: Apache-2.0
// The table of this service's own pages: method, path, handler. Reads forms, and refuses those that another site sent. What is not in the
// table is the provider's.

import { networkOf } from './limits.mjs';

const BODY_MAX = 8192;

// One row: 'POST /interaction/:uid/signup'.
function compile([key, handler]) {
  const [method, path] = key.split(' ');
  const names = [];
  const pattern = path.replace(/:(\w+)/g, (_, name) => names.push(name) && '([A-Za-z0-9_-]{1,64})');
  return { method, path, handler, names, pattern: new RegExp(`^${pattern}$`) };
}

async function readForm(ctx) {
  if (!ctx.is('urlencoded')) ctx.throw(400, 'not a form');
  const chunks = [];
  let size = 0;
  for await (const chunk of ctx.req) {
    size += chunk.length;
    if (size > BODY_MAX) ctx.throw(413, 'too large');
    chunks.push(chunk);
  }
  const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
  return (name) => form.get(name) ?? '';
}

// A browser says where a form came from; who does not say is refused.
const isOwnForm = (ctx, origin) => ctx.get('origin') === origin || (!ctx.get('origin') && ctx.get('sec-fetch-site') === 'same-origin');

// makeRouter(table, origin): Koa's middleware.
export function makeRouter(table, origin) {
  const rows = Object.entries(table).map(compile);
  return async (ctx, next) => {
    const method = ctx.method === 'HEAD' ? 'GET' : ctx.method;
    const matching = rows.filter((row) => row.pattern.test(ctx.path));
    const row = matching.find((one) => one.method === method);
    if (!row) {
      if (matching.length) ctx.throw(405, 'method');
      return next();
    }
    ctx.state.route = row.path;
    const values = row.pattern.exec(ctx.path).slice(1);
    ctx.state.params = Object.fromEntries(row.names.map((name, index) => [name, values[index]]));
    if (method === 'POST') {
      if (!isOwnForm(ctx, origin)) ctx.throw(403, 'another origin');
      ctx.state.field = await readForm(ctx);
    }
    return row.handler(ctx);
  };
}

// The address that the gateway saw. An IPv6 network of 64 bits is one client: whoever has one has all of its addresses.
export const clientOf = (ctx) => networkOf(ctx.get('x-forwarded-for').split(',').pop().trim() || ctx.req.socket.remoteAddress);

export function show(ctx, page, status = 200) {
  ctx.status = status;
  ctx.type = 'html';
  ctx.body = page;
}

export function seeOther(ctx, to) {
  ctx.redirect(to);
  ctx.status = 303;
}
