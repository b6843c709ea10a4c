// SPDX-License-Identifier: Apache-2.0
// Host names on a loop, by evdns: the one asynchronous resolver that needs no thread. An evdns base is made for each
// lookup and freed before the next, never from inside its own callback. It must never call `fn` for a lookup that was
// forgotten.
#include "ch/resolve.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/thread.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX 16

const char *ch_resolv_conf = "/etc/resolv.conf";

/** One question; freed by its own callback, which libevent always calls, even for what was forgotten. */
struct lookup {
    struct ch_resolver *resolver; /**< NULL: forgotten */
    int port;
};

struct ch_resolver {
    struct ch_loop *loop;
    struct evdns_base *dns;
    struct lookup *lookup;  /**< in progress */
    struct event *answered; /**< brings an answer that came at once out of ch_resolve_start */
    struct ch_addresses addresses;
    enum ch_err err;
    ch_resolve_fn *fn;
    void *arg;
};

// evdns draws transaction ids from a generator that all loops share; libevent locks it only when it was told of
// threads.
__attribute__((constructor)) static void libevent_has_threads(void)
{
    (void)evthread_use_pthreads();
}

/* ---- addresses ---- */

enum ch_err ch_address_split(struct ch_str text, char ret_host[256], int *ret_port)
{
    const char *colon = memrchr(text.data ? text.data : "", ':', text.len);
    struct ch_str host, port;
    int64_t number;

    if (!colon)
        return CH_ERR_INVALID;
    host = (struct ch_str){text.data, (size_t)(colon - text.data)};
    port = (struct ch_str){colon + 1, text.len - host.len - 1};
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = (struct ch_str){host.data + 1, host.len - 2};
    if (host.len == 0 || host.len > 255 || memchr(host.data, ' ', host.len) || ch_str_to_int64(port, &number) ||
        number < 1 || number > 65535)
        return CH_ERR_INVALID;
    memcpy(ret_host, host.data, host.len);
    ret_host[host.len] = '\0';
    *ret_port = (int)number;
    return CH_OK;
}

void ch_addresses_next(struct ch_str *list, struct ch_str *ret_text)
{
    const char *comma = memchr(list->data, ',', list->len);
    const size_t len = comma ? (size_t)(comma - list->data) : list->len;

    *ret_text = (struct ch_str){list->data, len};
    *list = comma ? (struct ch_str){comma + 1, list->len - len - 1} : (struct ch_str){0};
}

bool ch_addresses_are_valid(const char *list)
{
    struct ch_str rest = ch_str_of(list), text;
    char host[256];
    int port, count = 0;

    do {
        ch_addresses_next(&rest, &text);
        if (++count > LIST_MAX || ch_address_split(text, host, &port))
            return false;
    } while (rest.data);
    return true;
}

bool ch_address_of_number(const char *host, int port, struct ch_address *ret_address)
{
    struct ch_address address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address.storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address.storage;

    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        address.len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        address.len = sizeof(*v6);
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

/* ---- lookups ---- */

static void on_answered(evutil_socket_t fd, short events, void *arg)
{
    struct ch_resolver *resolver = arg;

    (void)fd;
    (void)events;
    resolver->fn(resolver->arg, resolver->err, resolver->err ? NULL : &resolver->addresses);
}

static void answer(struct ch_resolver *resolver, enum ch_err err)
{
    resolver->err = err;
    event_active(resolver->answered, EV_TIMEOUT, 0);
}

static void take_addresses(struct ch_addresses *addresses, const struct evutil_addrinfo *list)
{
    addresses->count = 0;
    for (; list && addresses->count < CH_ADDRESSES_MAX; list = list->ai_next) {
        struct ch_address *address = &addresses->list[addresses->count];

        if (list->ai_addrlen > sizeof(address->storage))
            continue;
        memcpy(&address->storage, list->ai_addr, list->ai_addrlen);
        address->len = (socklen_t)list->ai_addrlen;
        addresses->count++;
    }
}

static void on_addresses(int result, struct evutil_addrinfo *list, void *arg)
{
    struct lookup *lookup = arg;
    struct ch_resolver *resolver = lookup->resolver;

    if (resolver) {
        resolver->lookup = NULL;
        take_addresses(&resolver->addresses, result == 0 ? list : NULL);
        answer(resolver, resolver->addresses.count > 0 ? CH_OK : CH_ERR_UNAVAILABLE);
    }
    if (list)
        evutil_freeaddrinfo(list);
    free(lookup);
}

// What is in progress will not be heard of again.
static void forget(struct ch_resolver *resolver)
{
    if (resolver->lookup)
        resolver->lookup->resolver = NULL;
    resolver->lookup = NULL;
    if (resolver->answered)
        (void)event_del(resolver->answered);
    if (resolver->dns)
        evdns_base_free(resolver->dns, 1); // its requests fail, and so free their lookups
    resolver->dns = NULL;
}

struct ch_resolver *ch_resolver_new(struct ch_loop *loop)
{
    struct ch_resolver *resolver = calloc(1, sizeof(*resolver));

    if (!resolver)
        return NULL;
    resolver->loop = loop;
    resolver->answered = event_new(ch_loop_base(loop), -1, 0, on_answered, resolver);
    if (resolver->answered)
        return resolver;
    free(resolver);
    return NULL;
}

void ch_resolver_free(struct ch_resolver *resolver)
{
    if (!resolver)
        return;
    forget(resolver);
    event_free(resolver->answered);
    free(resolver);
}

void ch_resolve_start(struct ch_resolver *resolver, const char *host, int port, ch_resolve_fn *fn, void *arg)
{
    const struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    char service[8];

    forget(resolver);
    resolver->fn = fn;
    resolver->arg = arg;
    if (ch_address_of_number(host, port, &resolver->addresses.list[0])) {
        resolver->addresses.count = 1;
        answer(resolver, CH_OK);
        return;
    }
    resolver->lookup = calloc(1, sizeof(*resolver->lookup));
    resolver->dns = evdns_base_new(ch_loop_base(resolver->loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!resolver->lookup || !resolver->dns) {
        free(resolver->lookup);
        resolver->lookup = NULL;
        answer(resolver, CH_ERR_UNAVAILABLE);
        return;
    }
    resolver->lookup->resolver = resolver;
    (void)snprintf(service, sizeof(service), "%d", port); // fits
    // Without a resolv.conf there is still /etc/hosts. The request is cancelled by freeing its base.
    (void)evdns_base_resolv_conf_parse(resolver->dns, DNS_OPTIONS_ALL, ch_resolv_conf);
    (void)evdns_getaddrinfo(resolver->dns, host, service, &hints, on_addresses, resolver->lookup);
}

/* ---- waiting ---- */

struct waiting {
    struct ch_wait wait;
    struct ch_addresses *ret_addresses;
};

static void on_resolved(void *arg, enum ch_err err, const struct ch_addresses *addresses)
{
    struct waiting *waiting = arg;

    if (!err)
        *waiting->ret_addresses = *addresses;
    ch_wake(&waiting->wait, err);
}

enum ch_err ch_resolve_wait(struct ch_loop *loop, const char *host, int port, int64_t deadline_ns,
                            struct ch_addresses *ret_addresses)
{
    struct ch_resolver *resolver = ch_resolver_new(loop);
    struct waiting waiting = {.ret_addresses = ret_addresses};
    enum ch_err err;

    if (!resolver)
        return CH_ERR_NO_MEMORY;
    ch_resolve_start(resolver, host, port, on_resolved, &waiting);
    err = ch_wait(&waiting.wait, deadline_ns);
    ch_resolver_free(resolver);
    return err;
}
