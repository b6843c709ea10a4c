// SPDX-License-Identifier: Apache-2.0
/**
 * @file resolve.h
 * @brief Host names to addresses without blocking a loop: libevent's evdns with resolv.conf, search domains and
 * /etc/hosts.
 *
 * A resolver belongs to one loop and does one lookup at a time. It reads resolv.conf and hosts anew for each lookup, so
 * that a changed file needs no restart.
 */
#ifndef CH_RESOLVE_H
#define CH_RESOLVE_H

#include "ch/run.h"

#include <sys/socket.h>

#define CH_ADDRESSES_MAX 32

/** A socket address, ready for connect(2). */
struct ch_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/** What a lookup found, in the order to try; more than CH_ADDRESSES_MAX are cut off. */
struct ch_addresses {
    struct ch_address list[CH_ADDRESSES_MAX];
    size_t count;
};

/** "host:port", "[::1]:port". The host goes to `ret_host` without brackets. CH_ERR_INVALID: no port, port 0 or past
 * 65535, host empty or too long. */
CH_MUST_CHECK enum ch_err ch_address_split(struct ch_str text, char ret_host[256], int *ret_port);
/** Cuts the first address off a list "host:port,host:port"; `list` is what remains, data NULL after the last. */
void ch_addresses_next(struct ch_str *list, struct ch_str *ret_text);
/** Is it such a list, of 1 to 16 addresses? */
bool ch_addresses_are_valid(const char *list);
/** A numeric address needs no lookup: false when it is none. */
bool ch_address_of_number(const char *host, int port, struct ch_address *ret_address);

/** "/etc/resolv.conf"; a test with a name server of its own points elsewhere, before the first lookup. */
extern const char *ch_resolv_conf;

struct ch_resolver;
/** Called on the loop, outside a fiber, never from inside ch_resolve_start. CH_ERR_UNAVAILABLE: unknown name or no
 * answer. */
typedef void ch_resolve_fn(void *arg, enum ch_err err, const struct ch_addresses *addresses);

struct ch_resolver *ch_resolver_new(struct ch_loop *loop); /**< NULL when memory is short */
void ch_resolver_free(struct ch_resolver *resolver);       /**< a lookup in progress is forgotten: `fn` is not called */
/** Starts a lookup; one that was in progress is forgotten. The caller bounds its wait; libevent gives up after 5 s and
 * 3 attempts a server. */
void ch_resolve_start(struct ch_resolver *resolver, const char *host, int port, ch_resolve_fn *fn, void *arg);

/** On a fiber: looks up and parks until the answer. */
CH_MUST_CHECK enum ch_err ch_resolve_wait(struct ch_loop *loop, const char *host, int port, int64_t deadline_ns,
                                          struct ch_addresses *ret_addresses);

#endif
