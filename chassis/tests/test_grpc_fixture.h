// SPDX-License-Identifier: Apache-2.0
// What the tests of gRPC share: a server on a loop with a thread of its own, whose handlers do what the request says.
// Everything waits for an event with a bound of 10 s; nothing sleeps but handlers that are told to.
#ifndef CH_TEST_GRPC_FIXTURE_H
#define CH_TEST_GRPC_FIXTURE_H

#include "../src/io/grpc_wire.h"
#include "cases.h"
#include "catalog/v1/catalog.pb-c.h"
#include "ch/grpc.h"
#include "delivery/v1/delivery.pb-c.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS(count) ((int64_t)(count)*1000000)

// libevent's change list takes a closed descriptor out of its epoll set in the next turn, when another thread may have
// its number again. The kernel finds no such entry, and nothing happens; TSan sees a race for the number.
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:epoll_ctl\n";
}

static struct {
    struct ch_loop *loop;
    struct ch_grpc_server *server;
    pthread_t thread;
    sem_t mailed;
    int port;
    /* what the handlers saw */
    atomic_int started, cancelled, ended, before, after;
    _Atomic int64_t timeout_ns;
    char authorization[64];
    struct ch_trace trace;
} fx;

// ---- handlers ----

static inline enum ch_err fx_sleep(struct ch_ctx *ctx, int64_t duration_ns)
{
    int64_t until_ns = ch_now_ns() + duration_ns;
    enum ch_err err = ch_sleep_wait(until_ns < ctx->deadline_ns ? until_ns : ctx->deadline_ns);

    if (err == CH_ERR_CANCELLED)
        fx.cancelled++;
    return err ? err : until_ns < ctx->deadline_ns ? CH_OK : CH_ERR_DEADLINE;
}

// The first id is a command: "sleep <ms>", "fail <code>", "big <bytes>"; every id is answered by a SKU of that id.
static inline enum ch_err fx_get_skus(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__GetSkusRequest *request = in;
    Catalog__V1__GetSkusResponse *response = out;
    const char *first = request->n_sku_ids > 0 ? request->sku_ids[0] : "";
    enum ch_err err = CH_OK;

    fx.started++;
    fx.timeout_ns = call->ctx.deadline_ns - ch_now_ns();
    fx.trace = call->ctx.trace;
    (void)snprintf(fx.authorization, sizeof(fx.authorization), "%.*s", CH_STR_ARG(call->authorization));
    if (strncmp(first, "sleep ", 6) == 0)
        err = fx_sleep(&call->ctx, MS(atoi(first + 6)));
    if (strncmp(first, "fail ", 5) == 0) {
        call->ctx.detail = strcmp(first + 5, "stock_short") == 0 ? "부사 3kg: 100%만 남았습니다" : NULL;
        err = ch_fail(&call->ctx, grpc_code_to_err(ch_str_of(first + 5)), "/lines/0/unitPriceKrw", "range",
                      "0보다 커야 합니다");
    }
    response->n_skus = request->n_sku_ids;
    response->skus = ch_arena_array(call->ctx.arena, request->n_sku_ids + 1, sizeof(response->skus[0]));
    for (size_t i = 0; i < request->n_sku_ids; i++) {
        response->skus[i] = ch_arena_alloc(call->ctx.arena, sizeof(*response->skus[i]));
        catalog__v1__sku_snapshot__init(response->skus[i]);
        response->skus[i]->sku_id = request->sku_ids[i];
        response->skus[i]->available = (int32_t)i;
        if (strncmp(first, "big ", 4) == 0) {
            response->skus[i]->title = ch_arena_alloc(call->ctx.arena, (size_t)atoi(first + 4) + 1);
            memset(response->skus[i]->title, 'x', (size_t)atoi(first + 4));
        }
    }
    fx.ended++;
    return err;
}

// Sends events 1 .. after_sequence; then, when the order's id is "wait", waits for its deadline.
static inline enum ch_err fx_watch(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__WatchDeliveryRequest *request = in;
    Delivery__V1__DeliveryEvent event = DELIVERY__V1__DELIVERY_EVENT__INIT;
    Delivery__V1__WatchDeliveryResponse *response = out;
    enum ch_err err = CH_OK;

    fx.started++;
    response->event = &event;
    event.message = (char *)"a sentence of some length, so that ten thousand of them do not fit a window";
    for (int i = 1; !err && i <= request->after_sequence; i++) {
        event.sequence = i;
        err = ch_call_send_wait(call, &response->base);
    }
    if (!err && strcmp(request->order_id, "wait") == 0)
        err = fx_sleep(&call->ctx, MS(3600000));
    else if (err == CH_ERR_CANCELLED)
        fx.cancelled++;
    response->event = NULL;
    fx.ended++;
    return err;
}

static inline enum ch_err fx_before(struct ch_call *call, void *arg)
{
    (void)arg;
    fx.before++;
    return ch_str_is(call->authorization, "Bearer bad") ? CH_ERR_UNAUTHENTICATED : CH_OK;
}

static inline void fx_after(struct ch_call *call, enum ch_err result, void *arg)
{
    (void)call;
    (void)result;
    (void)arg;
    fx.after++;
}

#define GET_SKUS "/catalog.v1.CatalogService/GetSkus"
#define WATCH    "/delivery.v1.DeliveryService/WatchDelivery"

static const struct ch_rpc fx_rpcs[] = {
    CH_RPC(GET_SKUS, 0, fx_get_skus, catalog__v1__get_skus_request, catalog__v1__get_skus_response),
    CH_RPC_STREAM(WATCH, 0, fx_watch, delivery__v1__watch_delivery_request, delivery__v1__watch_delivery_response),
    {0},
};
static const struct ch_rpc *const fx_tables[] = {fx_rpcs, NULL};

// ---- the server's life ----

static inline void *fx_thread(void *arg)
{
    (void)arg;
    ch_loop_run(fx.loop);
    return NULL;
}

static inline void fx_listen(int port)
{
    const struct ch_grpc_server_options options = {
        .tables = fx_tables,
        .before = fx_before,
        .after = fx_after,
        .default_timeout_ns = MS(5000),
        .connections_max = 20,
        .streams_max = 100,
    };

    // Beside the server that drains, as a loop beside another: one process cannot take over a port from itself.
    const struct ch_listen where = {.address = "127.0.0.1", .port = port, .is_joining = fx.server != NULL};

    assert_int_equal(ch_grpc_server_new(fx.loop, &where, &options, &fx.server), CH_OK);
    fx.port = ch_grpc_server_port(fx.server);
}

static inline int fx_start(void **state)
{
    const struct ch_loop_options options = {.name = "grpc", .fibers_max = 2000};

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.loop = ch_loop_new(&options);
    if (!fx.loop || sem_init(&fx.mailed, 0, 0))
        return -1;
    fx_listen(0);
    return pthread_create(&fx.thread, NULL, fx_thread, NULL);
}

struct fx_mail {
    struct ch_mail mail;
    void (*fn)(void *arg);
    void *arg;
};

static inline void fx_on_mail(struct ch_loop *where, void *arg)
{
    struct fx_mail *mail = arg;

    (void)where;
    mail->fn(mail->arg);
    (void)sem_post(&fx.mailed);
}

// Runs `fn` on the server's loop and waits for it.
static inline void fx_on_loop(void (*fn)(void *arg), void *arg)
{
    struct fx_mail mail = {.fn = fn, .arg = arg};

    mail.mail = (struct ch_mail){.fn = fx_on_mail, .arg = &mail};
    ch_loop_post(fx.loop, &mail.mail);
    (void)sem_wait(&fx.mailed);
}

static inline void fx_do_kill(void *arg)
{
    (void)arg;
    ch_grpc_server_free(fx.server);
    fx.server = NULL;
}

static inline void fx_do_listen(void *arg)
{
    fx_listen(*(int *)arg);
}

static inline void fx_do_drain(void *arg)
{
    (void)arg;
    ch_grpc_server_drain(fx.server);
}

static inline void fx_do_count(void *arg)
{
    *(size_t *)arg = ch_grpc_server_streams(fx.server);
}

static inline size_t fx_streams(void)
{
    size_t count;

    fx_on_loop(fx_do_count, &count);
    return count;
}

// Until the handlers have counted so far. Turns the server's loop meanwhile: it is idle or works on just that.
static inline void fx_wait_for(atomic_int *counter, int want)
{
    int64_t end_ns = ch_now_ns() + MS(10000);

    while (*counter < want && ch_now_ns() < end_ns)
        (void)fx_streams();
    assert_int_equal(*counter, want);
}

static inline void fx_wait_idle(void)
{
    int64_t end_ns = ch_now_ns() + MS(10000);

    while (fx_streams() > 0 && ch_now_ns() < end_ns)
        ;
    assert_int_equal(fx_streams(), 0);
}

static inline int fx_stop(void **state)
{
    (void)state;
    if (fx.server)
        fx_on_loop(fx_do_kill, NULL);
    ch_loop_stop(fx.loop);
    (void)pthread_join(fx.thread, NULL);
    ch_loop_free(fx.loop);
    (void)sem_destroy(&fx.mailed);
    return 0;
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, fx_start, fx_stop)

#endif
