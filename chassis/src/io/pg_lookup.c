// SPDX-License-Identifier: Apache-2.0
/*
 * Host names of the database, looked up without blocking before libpq sees them. A single host is given with all its
 * addresses, so that libpq tries one after the other; of several hosts each is given with its first. Looked up anew for
 * every connect: a fail-over moves the name.
 */
#include "pg_internal.h"

#include "ch/resolve.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define LIST_BYTES_MAX 2048

struct ch_pg_lookup {
    struct ch_pg_conn *conn;
    struct ch_resolver *resolver;
    int host; /* that is being looked up */
    struct ch_buf hosts, addresses;
};

void ch_pg_lookup_forget(struct ch_pg_conn *conn)
{
    struct ch_pg_lookup *lookup = conn->lookup;

    conn->lookup = NULL;
    if (!lookup)
        return;
    ch_resolver_free(lookup->resolver);
    ch_buf_release(&lookup->hosts);
    ch_buf_release(&lookup->addresses);
    free(lookup);
}

static void address_add(struct ch_pg_lookup *lookup, const char *host, const struct ch_address *address)
{
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;
    const void *number = any->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)any)->sin6_addr
                                                    : (const void *)&((const struct sockaddr_in *)any)->sin_addr;
    char text[INET6_ADDRSTRLEN];

    if (!inet_ntop(any->sa_family, number, text, sizeof(text)))
        return;
    if (lookup->hosts.len) {
        ch_buf_append_char(&lookup->hosts, ',');
        ch_buf_append_char(&lookup->addresses, ',');
    }
    ch_buf_append_cstr(&lookup->hosts, host);
    ch_buf_append_cstr(&lookup->addresses, text);
}

static void lookup_connect(struct ch_pg_lookup *lookup)
{
    struct ch_pg_conn *conn = lookup->conn;

    ch_buf_append_char(&lookup->hosts, '\0');
    ch_buf_append_char(&lookup->addresses, '\0');
    if (lookup->hosts.is_full || lookup->addresses.is_full) {
        ch_pg_conn_break(conn, "lookup failed");
        return;
    }
    conn->lookup = NULL; /* stays alive while libpq reads the lists */
    ch_pg_conn_connect(conn, lookup->hosts.data, lookup->addresses.data);
    ch_resolver_free(lookup->resolver);
    ch_buf_release(&lookup->hosts);
    ch_buf_release(&lookup->addresses);
    free(lookup);
}

static void on_resolved(void *arg, enum ch_err err, const struct ch_addresses *addresses)
{
    struct ch_pg_lookup *lookup = arg;
    struct ch_pg *pg = lookup->conn->pg;

    if (err) {
        ch_pg_conn_break(lookup->conn, "lookup failed");
        return;
    }
    for (int i = 0; i < (int)addresses->count && (i == 0 || pg->host_count == 1); i++)
        address_add(lookup, pg->hosts[lookup->host], &addresses->list[i]);
    if (++lookup->host < pg->host_count)
        ch_resolve_start(lookup->resolver, pg->hosts[lookup->host], 1, on_resolved, lookup); /* the URI has the port */
    else
        lookup_connect(lookup);
}

enum ch_err ch_pg_lookup_start(struct ch_pg_conn *conn)
{
    struct ch_pg_lookup *lookup = calloc(1, sizeof(*lookup));

    if (!lookup)
        return CH_ERR_NO_MEMORY;
    lookup->conn = conn;
    ch_buf_init(&lookup->hosts, LIST_BYTES_MAX);
    ch_buf_init(&lookup->addresses, LIST_BYTES_MAX);
    lookup->resolver = ch_resolver_new(conn->pg->loop);
    conn->lookup = lookup;
    if (!lookup->resolver)
        return CH_ERR_NO_MEMORY; /* the caller breaks the connection, which frees this */
    ch_resolve_start(lookup->resolver, conn->pg->hosts[0], 1, on_resolved, lookup);
    return CH_OK;
}
