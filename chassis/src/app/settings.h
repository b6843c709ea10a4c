// SPDX-License-Identifier: Apache-2.0
/**
 * @file settings.h
 * @brief The settings every service has, and the reading of both tables (the chassis's and the service's) from the
 * environment.
 *
 * Written once, before any thread starts; read-only afterwards. A secret's value is never printed, not even when it is
 * wrong.
 */
#ifndef CH_APP_SETTINGS_H
#define CH_APP_SETTINGS_H

#include "ch/app.h"

#include <stdio.h>

struct ch_settings {
    const char *listen_address;
    int64_t http_port, grpc_port, admin_port;
    int64_t loops;
    const char *postgres_uri, *rabbitmq_uri;
    int64_t db_timeout_ms, db_readers, db_writers;
    const char *jwt_jwks, *jwt_issuer, *jwt_audience;
    const char *issuer_ca_file;
    const char *service_token_file;
    const char *token_url, *client_id, *client_secret_file, *token_scope;
    const char *personal_keys_file;
    const char *otlp_endpoint;
    const char *log_level;
    double trace_sample_ratio;
    int64_t request_timeout_ms, drain_wait_ms, drain_timeout_ms;
    int64_t fibers_max, requests_max, streams_max;
    int64_t outbox_keep_h, inbox_keep_h, retention_interval_s, retention_rows;
    int64_t http_connections_max, http_buffered_max_bytes, http_idle_timeout_ms;
};
extern struct ch_settings ch_settings;
extern const struct ch_config_row ch_settings_rows[]; /**< ends with a NULL name */

/** Reads both tables. Every bad variable gets one line on `errors`: its name and its rule. Returns their number. */
int ch_config_read(const struct ch_service *service, FILE *errors);
/** Reads one table into `config`; `getter` is getenv but in tests. */
int ch_config_read_rows(const struct ch_config_row *rows, void *config, char *(*getter)(const char *), FILE *errors);

/** What values a row takes, in English. */
void ch_config_rule_text(const struct ch_config_row *row, char *text, size_t size);
void ch_config_help(const struct ch_service *service, FILE *out); /**< every row: name, default, range, help */
/** Value as it may be shown, in `text` or a literal: secrets are "***", a URI's password too. */
const char *ch_config_shown(const struct ch_config_row *row, const void *config, char *text, size_t size);
int ch_config_print(const struct ch_service *service, FILE *out); /**< NAME=shown value, a line each; an exit code */
void ch_config_write_json(struct ch_jw *jw, const struct ch_service *service); /**< one object: name and shown value */
void ch_config_log(const struct ch_service *service);                          /**< one log event */

/** What the service's tables ask for. */
bool ch_service_needs_database(const struct ch_service *service);
bool ch_service_needs_tokens(const struct ch_service *service); /**< some route or rpc names a scope */

#endif
