// SPDX-License-Identifier: Apache-2.0
// What /metrics shows. Label values come from small closed sets: routes, methods, outcomes; never from what a client sent.

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export const registry = new Registry();
collectDefaultMetrics({ register: registry });

const registers = [registry];
export const requests = new Histogram({
  name: 'http_server_request_duration_seconds', help: 'Requests by route and status', registers,
  labelNames: ['http_route', 'http_request_method', 'http_response_status_code'], buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
});
export const statements = new Histogram({
  name: 'db_client_operation_duration_seconds', help: 'Statements by name', registers, labelNames: ['db_query_name', 'outcome'],
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
});
export const signIns = new Counter({ name: 'identity_sign_ins_total', help: 'Sign-ins by outcome: ok, refused, locked, limited, busy', registers, labelNames: ['outcome'] });
export const changes = new Counter({ name: 'identity_changes_total', help: 'What accounts went through: signed_up, password_changed, password_reset, session_ended, closed', registers, labelNames: ['what'] });
export const tokens = new Counter({ name: 'identity_tokens_total', help: 'Token requests by grant and outcome', registers, labelNames: ['grant', 'outcome'] });
export const reuses = new Counter({ name: 'identity_refresh_reuses_total', help: 'Refresh tokens that came twice: their family was revoked', registers });
export const keyChanges = new Counter({ name: 'identity_key_changes_total', help: 'Changes of the signing key that were taken up', registers });
export const hashWaits = new Gauge({ name: 'identity_password_checks_waiting', help: 'Passwords that wait to be checked, of known browsers and of strangers', registers, labelNames: ['lane'] });
export const hashWaited = new Histogram({
  name: 'identity_password_wait_seconds', help: 'How long passwords waited for their turn, of known browsers and of strangers', registers,
  labelNames: ['lane'], buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5],
});
