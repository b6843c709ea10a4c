// SPDX-License-Identifier: Apache-2.0
// What every request goes through: headers, a page for what failed, one metric, one log line. Must never log what a person typed, nor a
// path with an id in it.

import { Unavailable } from './db.mjs';
import { log } from './log.mjs';
import { requests } from './metrics.mjs';
import * as views from './pages/views.mjs';

const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'same-origin', // not less: a form then says Origin: null
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Cache-Control': 'no-store',
};

// Chromium holds a redirect after a form against form-action, so the place that a sign-in leads back to has to be in it.
export function setPolicy(ctx, formTarget = '') {
  ctx.set('Content-Security-Policy', `default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'${formTarget && ` ${formTarget}`}; base-uri 'none'; frame-ancestors 'none'`);
}

export function answerFault(ctx, status, ...names) {
  ctx.status = status;
  ctx.type = 'html';
  ctx.body = views.fault(status, ...names);
}

function onError(ctx, error) {
  if (error instanceof Unavailable) return answerFault(ctx, 503);
  if (error.expose && error.status) return answerFault(ctx, error.status, error.name);
  log.error('http.failed', { route: ctx.state.route ?? null, error: error.name, reason: error.message, at: error.stack?.split('\n')[1]?.trim() });
  return answerFault(ctx, 500);
}

function record(ctx, began) {
  const seconds = (performance.now() - began) / 1000;
  const route = ctx.state.route ?? ctx.oidc?.route ?? 'none';
  requests.observe({ http_route: route, http_request_method: ctx.method, http_response_status_code: ctx.status }, seconds);
  log.info('http.request', { route, method: ctx.method, status: ctx.status, seconds: Number(seconds.toFixed(4)), request_id: /^[\w-]{1,64}$/.exec(ctx.get('x-request-id'))?.[0] });
}

export const frame = () => async (ctx, next) => {
  const began = performance.now();
  ctx.set(HEADERS);
  setPolicy(ctx);
  try {
    await next();
    if (ctx.status === 404 && !ctx.body) answerFault(ctx, 404);
  } catch (error) {
    onError(ctx, error);
  }
  if (ctx.status === 503) ctx.set('Retry-After', '1');
  record(ctx, began);
};
