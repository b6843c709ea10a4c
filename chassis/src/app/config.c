// SPDX-License-Identifier: Apache-2.0
// Settings from the environment, by tables. One row is the parser, the help text and the dump
// (config_show.c). It must never print a secret, and never let a service start with a value that its row does not
// allow.
#include "settings.h"

#include "ch/amqp.h"
#include "ch/resolve.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <math.h>
#include <stdlib.h>

struct ch_settings ch_settings;

#define AT(member) offsetof(struct ch_settings, member)

const struct ch_config_row ch_settings_rows[] = {
    {"LISTEN_ADDRESS", CH_CONFIG_STR, AT(listen_address), "127.0.0.1", 2, 45, "address of all three listeners", 0},
    {"HTTP_PORT", CH_CONFIG_INT, AT(http_port), "8080", 0, 65535, "REST; 0 takes a free port", 0},
    {"GRPC_PORT", CH_CONFIG_INT, AT(grpc_port), "9090", 0, 65535, "gRPC; 0 takes a free port", 0},
    {"ADMIN_PORT", CH_CONFIG_INT, AT(admin_port), "9901", 0, 65535,
     "health, metrics, requests in flight; 0 takes a free port", 0},
    {"LOOPS", CH_CONFIG_INT, AT(loops), "1", 0, 64, "threads that serve; 0: one a core", 0},
    {"POSTGRES_URI", CH_CONFIG_STR, AT(postgres_uri), NULL, 0, 1024, "libpq URI of the service's own role",
     CH_CONFIG_SECRET_IN_URI},
    {"DB_TIMEOUT_MS", CH_CONFIG_INT, AT(db_timeout_ms), "900", 10, 60000, "longest wait for one statement", 0},
    {"DB_READERS", CH_CONFIG_INT, AT(db_readers), "1", 1, 16, "shared, pipelined connections a loop", 0},
    {"DB_WRITERS", CH_CONFIG_INT, AT(db_writers), "4", 1, 64, "exclusive connections a loop", 0},
    {"RABBITMQ_URI", CH_CONFIG_STR, AT(rabbitmq_uri), NULL, 0, 1024, "amqp://user:password@host:port/vhost",
     CH_CONFIG_SECRET_IN_URI},
    {"OUTBOX_KEEP_H", CH_CONFIG_INT, AT(outbox_keep_h), "72", 1, 87600, "hours that a sent event is kept", 0},
    {"INBOX_KEEP_H", CH_CONFIG_INT, AT(inbox_keep_h), "336", 1, 87600,
     "hours that the id of an applied event is kept; an event that comes again later has its effect again", 0},
    {"RETENTION_INTERVAL_S", CH_CONFIG_INT, AT(retention_interval_s), "60", 1, 86400,
     "seconds between two looks for what was kept long enough", 0},
    {"RETENTION_ROWS", CH_CONFIG_INT, AT(retention_rows), "500", 1, 10000, "rows forgotten in one transaction", 0},
    {"JWT_JWKS", CH_CONFIG_STR, AT(jwt_jwks), NULL, 0, 1024, "key set of the issuer: a file, or http(s)://", 0},
    {"JWT_ISSUER", CH_CONFIG_STR, AT(jwt_issuer), NULL, 0, 255, "iss that tokens must have", 0},
    {"JWT_AUDIENCE", CH_CONFIG_STR, AT(jwt_audience), "gwasuwon", 1, 255, "aud that tokens must have", 0},
    {"ISSUER_CA_FILE", CH_CONFIG_STR, AT(issuer_ca_file), NULL, 0, 1024,
     "PEM of the authorities trusted for JWT_JWKS and TOKEN_URL; empty: the system's", 0},
    {"SERVICE_TOKEN_FILE", CH_CONFIG_STR, AT(service_token_file), NULL, 0, 1024,
     "token this service shows to others; read again when the file changes", 0},
    {"TOKEN_URL", CH_CONFIG_STR, AT(token_url), NULL, 0, 1024,
     "the issuer's token endpoint: http(s)://; instead of SERVICE_TOKEN_FILE, with CLIENT_ID and CLIENT_SECRET_FILE",
     0},
    {"CLIENT_ID", CH_CONFIG_STR, AT(client_id), NULL, 0, 255, "this service at TOKEN_URL", 0},
    {"CLIENT_SECRET_FILE", CH_CONFIG_STR, AT(client_secret_file), NULL, 0, 1024,
     "its secret, on the first line; read for each request of a token", 0},
    {"TOKEN_SCOPE", CH_CONFIG_STR, AT(token_scope), "internal", 1, 255, "scope asked for at TOKEN_URL", 0},
    {"PERSONAL_KEYS_FILE", CH_CONFIG_STR, AT(personal_keys_file), NULL, 0, 1024,
     "keys that personal data is sealed with, by services that store such; read again when the file changes", 0},
    {"OTLP_ENDPOINT", CH_CONFIG_STR, AT(otlp_endpoint), NULL, 0, 255,
     "http://host:4318 for traces; empty: none are sent", 0},
    {"TRACE_SAMPLE_RATIO", CH_CONFIG_DOUBLE, AT(trace_sample_ratio), "1", 0, 1,
     "share of the traces begun here that are kept", 0},
    {"LOG_LEVEL", CH_CONFIG_STR, AT(log_level), "info", 1, 8, "error, warn, info or debug", 0},
    {"REQUEST_TIMEOUT_MS", CH_CONFIG_INT, AT(request_timeout_ms), "5000", 10, 600000,
     "deadline of a request without its own", 0},
    {"DRAIN_WAIT_MS", CH_CONFIG_INT, AT(drain_wait_ms), "500", 0, 120000,
     "not ready, but still serving, before the drain", 0},
    {"DRAIN_TIMEOUT_MS", CH_CONFIG_INT, AT(drain_timeout_ms), "5000", 0, 600000,
     "longest drain; then work is cancelled", 0},
    {"FIBERS_MAX", CH_CONFIG_INT, AT(fibers_max), "4096", 64, 100000, "fibers a loop", 0},
    {"REQUESTS_MAX", CH_CONFIG_INT, AT(requests_max), "1000", 1, 100000,
     "most requests and calls in flight a loop; the limit found by measuring is mostly lower; more are shed (503)", 0},
    {"STREAMS_MAX", CH_CONFIG_INT, AT(streams_max), "1000", 1, 100000, "open event streams a loop; more are shed (503)",
     0},
    {"HTTP_CONNECTIONS_MAX", CH_CONFIG_INT, AT(http_connections_max), "10000", 1, 100000, "HTTP connections a loop", 0},
    {"HTTP_BUFFERED_MAX_BYTES", CH_CONFIG_INT, AT(http_buffered_max_bytes), "67108864", 1048576, 4294967296.0,
     "bytes of bodies held at once a loop", 0},
    {"HTTP_IDLE_TIMEOUT_MS", CH_CONFIG_INT, AT(http_idle_timeout_ms), "75000", 100, 3600000,
     "idle HTTP connections are closed after it", 0},
    {0},
};

/* ---- rules that a range cannot say
 * ------------------------------------------------------------------------------------ */

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_address(const char *text)
{
    struct in6_addr address;

    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_log_level(const char *text)
{
    enum ch_log_level level;

    return ch_log_level_parse(ch_str_of(text), &level) == CH_OK;
}

static bool is_postgres_uri(const char *text)
{
    PQconninfoOption *options;

    if (!*text)
        return true;
    if (!begins(text, "postgresql://") && !begins(text, "postgres://"))
        return false;
    options = PQconninfoParse(text, NULL);
    PQconninfoFree(options);
    return options != NULL;
}

static bool is_amqp_uri(const char *text)
{
    return !*text || ch_amqp_check_uri(text) == CH_OK;
}

static bool is_http_uri(const char *text)
{
    return !*text || begins(text, "http://") || begins(text, "https://");
}

static bool is_readable_file(const char *text)
{
    FILE *file = *text ? fopen(text, "re") : NULL;

    if (!file)
        return !*text;
    (void)fclose(file); // was only opened to see that it can be
    return true;
}

static bool is_file_or_http(const char *text)
{
    return strstr(text, "://") ? is_http_uri(text) : is_readable_file(text);
}

// RFC 6749 3.3, narrower: it goes into a form as it is.
static bool is_scope_list(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789:_.-";

    for (;;) {
        const size_t len = strspn(text, letters);

        if (len == 0 || text[len] == '\0')
            return len > 0;
        if (text[len] != ' ')
            return false;
        text += len + 1;
    }
}

static const struct rule {
    const char *name;
    size_t offset;
    bool (*is_allowed)(const char *text);
    const char *rule;
} rules[] = {
    {"LISTEN_ADDRESS", AT(listen_address), is_address, "an IPv4 or IPv6 address, e.g. 127.0.0.1 or ::"},
    {"LOG_LEVEL", AT(log_level), is_log_level, "error, warn, info or debug"},
    {"POSTGRES_URI", AT(postgres_uri), is_postgres_uri, "postgresql://…"},
    {"RABBITMQ_URI", AT(rabbitmq_uri), is_amqp_uri, "amqp://user:password@host:port/vhost"},
    {"JWT_JWKS", AT(jwt_jwks), is_file_or_http, "a readable file, http://… or https://…"},
    {"ISSUER_CA_FILE", AT(issuer_ca_file), is_readable_file, "a readable file"},
    {"SERVICE_TOKEN_FILE", AT(service_token_file), is_readable_file, "a readable file"},
    {"TOKEN_URL", AT(token_url), is_http_uri, "http://… or https://…"},
    {"CLIENT_SECRET_FILE", AT(client_secret_file), is_readable_file, "a readable file"},
    {"TOKEN_SCOPE", AT(token_scope), is_scope_list, "names of a-z, digits, : _ . and - with single spaces between"},
    {"PERSONAL_KEYS_FILE", AT(personal_keys_file), is_readable_file, "a readable file"},
    {"OTLP_ENDPOINT", AT(otlp_endpoint), is_http_uri, "http://… or https://…"},
};

bool ch_service_needs_database(const struct ch_service *service)
{
    return service->queries && service->queries[0].name;
}

bool ch_service_needs_tokens(const struct ch_service *service)
{
    for (const struct ch_route *route = service->routes; route && route->path; route++)
        if (route->scope)
            return true;
    for (const struct ch_rpc *rpc = service->rpcs; rpc && rpc->path; rpc++)
        if (rpc->scope)
            return true;
    return false;
}

/** Which variables a service of this shape cannot do without. */
static const struct need {
    const char *name;
    size_t offset;
    bool (*is_needed)(const struct ch_service *service);
} needs[] = {
    {"POSTGRES_URI", AT(postgres_uri), ch_service_needs_database},
    {"RABBITMQ_URI", AT(rabbitmq_uri), ch_service_needs_database},
    {"JWT_JWKS", AT(jwt_jwks), ch_service_needs_tokens},
    {"JWT_ISSUER", AT(jwt_issuer), ch_service_needs_tokens},
};

/** Which variables say the same, or half of it. */
static const struct pair {
    const char *name;
    size_t offset;
    const char *other;
    size_t other_offset;
    bool needs_other; /**< false: excludes it */
} pairs[] = {
    {"TOKEN_URL", AT(token_url), "SERVICE_TOKEN_FILE", AT(service_token_file), false},
    {"TOKEN_URL", AT(token_url), "CLIENT_ID", AT(client_id), true},
    {"TOKEN_URL", AT(token_url), "CLIENT_SECRET_FILE", AT(client_secret_file), true},
};

/* ---- reading
 * ---------------------------------------------------------------------------------------------------------- */

void ch_config_rule_text(const struct ch_config_row *row, char *text, size_t size)
{
    const char *kind = row->type == CH_CONFIG_INT ? "an integer" : row->type == CH_CONFIG_DOUBLE ? "a number" : "text";

    if (row->type == CH_CONFIG_BOOL)
        (void)snprintf(text, size, "true or false");
    else if (row->min == 0 && row->max == 0)
        (void)snprintf(text, size, "%s", kind);
    else if (row->type == CH_CONFIG_STR)
        (void)snprintf(text, size, "%s of %.0f to %.0f bytes", kind, row->min, row->max);
    else
        (void)snprintf(text, size, "%s from %.15g to %.15g", kind, row->min, row->max);
}

static bool is_in_range(const struct ch_config_row *row, double value)
{
    return (row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max);
}

static bool read_value(const struct ch_config_row *row, const char *text, void *member)
{
    char *end;

    switch (row->type) {
    case CH_CONFIG_STR:
        if (!is_in_range(row, (double)strlen(text)) && *text) // absent: what CH_CONFIG_REQUIRED is for
            return false;
        *(const char **)member = text;
        return true;
    case CH_CONFIG_INT: {
        int64_t value = 0;

        if (ch_str_to_int64(ch_str_of(text), &value) || !is_in_range(row, (double)value))
            return false;
        *(int64_t *)member = value;
        return true;
    }
    case CH_CONFIG_DOUBLE: {
        double value = strtod(text, &end);

        if (*text == '\0' || *end != '\0' || !isfinite(value) || !is_in_range(row, value))
            return false;
        *(double *)member = value;
        return true;
    }
    case CH_CONFIG_BOOL:
        *(bool *)member = strcmp(text, "true") == 0;
        return *(bool *)member || strcmp(text, "false") == 0;
    }
    return false;
}

static bool read_row(const struct ch_config_row *row, void *config, char *(*getter)(const char *), FILE *errors)
{
    const char *given = getter(row->name), *zero = row->type == CH_CONFIG_STR    ? ""
                                                   : row->type == CH_CONFIG_BOOL ? "false"
                                                                                 : "0";
    char rule[128];

    if (given && !*given)
        given = NULL;
    if (!given && (row->flags & CH_CONFIG_REQUIRED) && !row->fallback) {
        fprintf(errors, "%s: is required: %s\n", row->name, row->help);
        return false;
    }
    const bool has_default = given || row->fallback;
    if (read_value(row,
                   given           ? given
                   : row->fallback ? row->fallback
                                   : zero,
                   (char *)config + row->offset) ||
        !has_default)
        return true;
    ch_config_rule_text(row, rule, sizeof(rule));
    if (row->flags || row->type == CH_CONFIG_STR) // may hold a secret, or be long
        fprintf(errors, "%s: must be %s\n", row->name, rule);
    else
        fprintf(errors, "%s: must be %s, not \"%.40s\"\n", row->name, rule, given);
    return false;
}

int ch_config_read_rows(const struct ch_config_row *rows, void *config, char *(*getter)(const char *), FILE *errors)
{
    int faults = 0;

    for (const struct ch_config_row *row = rows; row && row->name; row++)
        faults += !read_row(row, config, getter, errors);
    return faults;
}

#define TEXT_AT(config, offset) (*(const char *const *)((const char *)(config) + (offset)))

// The variable that a peer's addresses come from must name hosts and ports.
static int check_peers(const struct ch_service *service, FILE *errors)
{
    int faults = 0;

    for (const struct ch_config_row *row = service->config_rows; row && row->name; row++) {
        for (const struct ch_peer_row *peer = service->peers; peer && peer->name; peer++) {
            const char *text = TEXT_AT(service->config, peer->address_offset);

            if (row->offset != peer->address_offset || !text || ch_addresses_are_valid(text)) // NULL: already reported
                continue;
            fprintf(errors, "%s: must be host:port, or several with commas between\n", row->name);
            faults++;
        }
    }
    return faults;
}

static int check_pairs(FILE *errors)
{
    int faults = 0;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *text = TEXT_AT(&ch_settings, pairs[i].offset),
                   *other = TEXT_AT(&ch_settings, pairs[i].other_offset);

        if (!text || !other || !*text || (*other != '\0') == pairs[i].needs_other)
            continue;
        fprintf(errors, "%s: %s %s\n", pairs[i].name, pairs[i].needs_other ? "is nothing without" : "excludes",
                pairs[i].other);
        faults++;
    }
    return faults;
}

int ch_config_read(const struct ch_service *service, FILE *errors)
{
    int faults = ch_config_read_rows(ch_settings_rows, &ch_settings, getenv, errors);

    faults += ch_config_read_rows(service->config_rows, service->config, getenv, errors);
    faults += check_peers(service, errors);
    faults += check_pairs(errors);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const char *text = TEXT_AT(&ch_settings, rules[i].offset);

        if (!text || rules[i].is_allowed(text))
            continue;
        fprintf(errors, "%s: must be %s\n", rules[i].name, rules[i].rule);
        faults++;
    }
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        const char *text = TEXT_AT(&ch_settings, needs[i].offset);

        if ((text && *text) || !needs[i].is_needed(service))
            continue;
        fprintf(errors, "%s: is required by this service\n", needs[i].name);
        faults++;
    }
    return faults;
}
