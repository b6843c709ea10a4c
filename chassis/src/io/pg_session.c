// SPDX-License-Identifier: Apache-2.0
/*
 * What every session is opened with: connection parameters, settings, the chassis's own statements.
 * Host names are only named here, never looked up: libpq would block on them.
 */
#include "pg_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* sqlgen.py refuses these names in .sql files. */
const struct ch_query ch_pg_own_queries[CH_PG_OWN_COUNT] = {
    [-1 - CH_PG_BEGIN] = {"begin", "BEGIN", true},
    [-1 - CH_PG_COMMIT] = {"commit", "COMMIT", true},
    [-1 - CH_PG_ROLLBACK] = {"rollback", "ROLLBACK", true},
    [-1 - CH_PG_SETUP] = {"setup",
                          "SELECT set_config('statement_timeout', $1::text, false), "
                          "set_config('idle_in_transaction_session_timeout', $2::text, false), "
                          "set_config('TimeZone', $3::text, false), "
                          "set_config('client_min_messages', $4::text, false), "
                          "set_config('default_transaction_read_only', $5::text, false), "
                          "set_config('plan_cache_mode', $6::text, false), "
                          "set_config('enable_seqscan', $7::text, false), "
                          "set_config('enable_hashjoin', $7::text, false), "
                          "set_config('enable_mergejoin', $7::text, false)",
                          false},
};

/* The server's limit lies a little below ours: a slow statement then fails alone, with a certain outcome, and the
 * connection with all its other statements stays. */
void ch_pg_settings(bool is_read_only, int64_t timeout_ns, char timeout_text[CH_PG_TIMEOUT_TEXT],
                    const char *ret_values[CH_PG_SETTINGS])
{
    int64_t timeout_ms = timeout_ns / 1000000 * 9 / 10;

    (void)snprintf(timeout_text, CH_PG_TIMEOUT_TEXT, "%lldms", (long long)(timeout_ms > 0 ? timeout_ms : 1));
    ret_values[0] = timeout_text;
    ret_values[1] = "5s";
    ret_values[2] = "UTC";
    ret_values[3] = "warning";
    ret_values[4] = is_read_only ? "on" : "off";
    /* A batch written by arrays has one good plan, whatever its values, and planning it costs more than running it.
     * Reads with optional filters do gain by a plan of their own. */
    ret_values[5] = is_read_only ? "auto" : "force_generic_plan";
    /* Writes find their rows by key, one by one. A plan made while a table was small would read it all, by itself or
     * for a join, long after it has grown. */
    ret_values[6] = is_read_only ? "on" : "off";
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg; /* libpq would print it to stderr, values and all */
    (void)result;
}

PGconn *ch_pg_connect_start(const char *uri, const char *application_name, const char *host, const char *hostaddr,
                            int64_t timeout_ns)
{
    char user_timeout_ms[CH_PG_TIMEOUT_TEXT];
    /* What stands before dbname the URI may change; what stands after it may not. */
    const char *keys[] = {
        "gssencmode",       "dbname",     "client_encoding", "application_name",    "host",
        "hostaddr",         "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", NULL};
    const char *values[] = {"disable", uri, "UTF8", application_name, host, hostaddr, "1",
                            "10",      "5", "3",    user_timeout_ms,  NULL};
    PGconn *pq;

    (void)snprintf(user_timeout_ms, sizeof(user_timeout_ms), "%lld", (long long)(timeout_ns / 1000000 + 1000));
    pq = PQconnectStartParams(keys, values, 1);
    if (pq)
        (void)PQsetNoticeReceiver(pq, ignore_notice, NULL); /* returns the one before */
    return pq;
}

static bool is_numeric(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* One or several hosts with commas between; libpq wants an address for all of them or for none. */
static bool hosts_split(const char *list, char *ret_hosts[CH_PG_HOSTS_MAX], int *ret_count, const char **reterr_why)
{
    bool needs_lookup = false;
    int count = 0;

    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
        if (count == CH_PG_HOSTS_MAX) {
            *reterr_why = "too many hosts";
            return false;
        }
        ret_hosts[count] = strndup(at, strcspn(at, ","));
        if (!ret_hosts[count])
            return false;
        needs_lookup |= *at != '/' && *at != '@' && !is_numeric(ret_hosts[count]);
        count++;
    }
    *ret_count = needs_lookup ? count : 0;
    return true;
}

bool ch_pg_uri_hosts(const char *uri, char *ret_hosts[CH_PG_HOSTS_MAX], int *ret_count, const char **reterr_why)
{
    PQconninfoOption *options = PQconninfoParse(uri, NULL); /* its message would quote the URI, password and all */
    const char *host = NULL, *hostaddr = NULL;
    bool is_fine;

    *reterr_why = options ? "memory is short" : "malformed";
    *ret_count = 0;
    if (!options)
        return false;
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        host = strcmp(option->keyword, "host") ? host : option->val;
        hostaddr = strcmp(option->keyword, "hostaddr") ? hostaddr : option->val;
    }
    is_fine = !host || (hostaddr && *hostaddr) || hosts_split(host, ret_hosts, ret_count, reterr_why);
    PQconninfoFree(options);
    return is_fine;
}
