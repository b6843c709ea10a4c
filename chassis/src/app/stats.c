// SPDX-License-Identifier: Apache-2.0
// Metrics of requests and calls. Each loop keeps the series it has met, so that counting one takes no lock. Labels must
// come from tables: a path or a method that a client made up never becomes one.
#include "loop_state.h"

#include "health.h"

#include <stdio.h>
#include <stdlib.h>

static const struct ch_metric http_duration = {
    .name = "http_server_request_duration_seconds",
    .type = CH_HISTOGRAM,
    .help = "From the complete request to its reply",
    .labels = {"route", "method", "code"},
};
static const struct ch_metric rpc_duration = {
    .name = "rpc_server_call_duration_seconds",
    .type = CH_HISTOGRAM,
    .help = "From the start of a gRPC call to its status",
    .labels = {"method", "code"},
};
static const struct ch_metric in_flight = {.name = "work_in_flight",
                                           .type = CH_GAUGE,
                                           .help = "Requests, calls and other work now running",
                                           .labels = {"loop"}};
static const struct ch_metric requests_limit = {.name = "requests_limit",
                                                .type = CH_GAUGE,
                                                .help =
                                                    "Requests and calls that a loop takes on at once, at the moment",
                                                .labels = {"loop"}};
static const struct ch_metric requests_in_flight = {.name = "requests_in_flight",
                                                    .type = CH_GAUGE,
                                                    .help = "Requests and calls in flight by what is shed first",
                                                    .labels = {"class"}};
static const struct ch_metric fibers = {
    .name = "loop_fibers", .type = CH_GAUGE, .help = "Fibers alive", .labels = {"loop"}};
static const struct ch_metric dependency_up = {
    .name = "dependency_up", .type = CH_GAUGE, .help = "1 when it is there", .labels = {"dependency"}};
static const struct ch_metric keys_age = {
    .name = "auth_keys_age_seconds", .type = CH_GAUGE, .help = "Since the issuer's key set was read well; -1: never."};
static const struct ch_metric service_ready = {
    .name = "service_ready", .type = CH_GAUGE, .help = "1 when /readyz says so"};

#define CELLS_MAX 16 /**< outcomes a route remembers; the rest are looked up each time */

struct ch_route_series {
    struct {
        struct ch_series *series;
        int status;
        enum ch_http_method method;
    } cells[CELLS_MAX];
    int count;
};

struct ch_rpc_series {
    struct ch_series *by_err[CH_ERR_COUNT];
};

enum ch_err ch_stats_init(struct ch_loop_state *state)
{
    const struct ch_rpc *rpcs = state->process->service->rpcs;
    size_t rpc_count = 0;

    while (rpcs && rpcs[rpc_count].path)
        rpc_count++;
    state->route_series = calloc(ch_route_table_count(state->routes) + 1, sizeof(*state->route_series));
    state->rpc_series = calloc(rpc_count + 1, sizeof(*state->rpc_series));
    state->route_usual = calloc(ch_route_table_count(state->routes) + 1, sizeof(*state->route_usual));
    state->rpc_usual = calloc(rpc_count + 1, sizeof(*state->rpc_usual));
    return state->route_series && state->rpc_series && state->route_usual && state->rpc_usual ? CH_OK
                                                                                              : CH_ERR_NO_MEMORY;
}

void ch_stats_release(struct ch_loop_state *state)
{
    free(state->route_series);
    free(state->rpc_series);
    free(state->route_usual);
    free(state->rpc_usual);
    state->route_usual = state->rpc_usual = NULL;
    state->route_series = NULL;
    state->rpc_series = NULL;
}

static struct ch_series *request_series(const char *route, enum ch_http_method method, int status)
{
    char code[12];

    (void)snprintf(code, sizeof(code), "%d", status); // an int fits
    return ch_series_get(&http_duration, (const char *const[]){route, ch_http_method_name(method), code});
}

void ch_stats_request(struct ch_loop_state *state, const struct ch_route *route, enum ch_http_method method, int status,
                      int64_t duration_ns)
{
    const size_t index = route ? ch_route_index(state->routes, route) : ch_route_table_count(state->routes);
    struct ch_route_series *known = &state->route_series[index];
    struct ch_series *series;

    for (int i = 0; i < known->count; i++) {
        if (known->cells[i].status == status && known->cells[i].method == method) {
            ch_observe_ns(known->cells[i].series, duration_ns);
            return;
        }
    }
    series = request_series(route ? route->path : "unmatched", method, status);
    if (known->count < CELLS_MAX) {
        known->cells[known->count].series = series;
        known->cells[known->count].status = status;
        known->cells[known->count].method = method;
        known->count++;
    }
    ch_observe_ns(series, duration_ns);
}

void ch_stats_rpc(struct ch_loop_state *state, const struct ch_rpc *rpc, enum ch_err result, int64_t duration_ns)
{
    struct ch_series **series = &state->rpc_series[rpc - state->process->service->rpcs].by_err[result];

    if (!*series)
        *series = ch_series_get(&rpc_duration, (const char *const[]){rpc->path, ch_err_row(result)->code});
    ch_observe_ns(*series, duration_ns);
}

void ch_stats_on_scrape(void *arg)
{
    const struct ch_process *process = arg;
    struct ch_health_row row;
    char loop[12];

    for (int i = 0; i < process->loop_count; i++) {
        const char *const labels[] = {loop};

        (void)snprintf(loop, sizeof(loop), "%d", i); // an int fits
        ch_gauge_set(ch_series_get(&in_flight, labels), (int64_t)atomic_load(&process->loops[i].in_flight_shown));
        ch_gauge_set(ch_series_get(&requests_limit, labels), (int64_t)atomic_load(&process->loops[i].shed.limit));
        ch_gauge_set(ch_series_get(&fibers, labels), (int64_t)ch_loop_fibers(process->loops[i].loop));
    }
    for (int class = 0; class < CH_SHED_CLASSES; class ++) {
        size_t count = 0;

        for (int i = 0; i < process->loop_count; i++)
            count += atomic_load(&process->loops[i].shed.in_flight[class]);
        ch_gauge_set(ch_series_get(&requests_in_flight, (const char *const[]){ch_shed_class_names[class], NULL}),
                     (int64_t)count);
    }
    if (process->keys)
        ch_gauge_set(ch_series_get(&keys_age, NULL), ch_keys_age_s(process->keys));
    for (int i = 0; ch_health_at(i, &row); i++)
        ch_gauge_set(ch_series_get(&dependency_up, (const char *const[]){row.name}), row.is_up);
    ch_gauge_set(ch_series_get(&service_ready, NULL), ch_health_is_ready());
}
