// SPDX-License-Identifier: Apache-2.0
// DeliveryMock over REST: contracts/openapi/delivery-mock.yaml. The stream of events stands in stream.c.
#include "delivery.h"
#include "delivery_store.h"
#include "stream.h"
#include "tables.h"

static enum ch_err reply_delivery(struct ch_request *req, const struct delivery *delivery)
{
    struct ch_jw jw;

    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "deliveryId", delivery->delivery_id);
    ch_jw_kuuid(&jw, "orderId", delivery->order_id);
    ch_jw_kcstr(&jw, "status", delivery_status_names[delivery->status]);
    ch_jw_kstr(&jw, "carrier", delivery->carrier);
    ch_jw_kstr(&jw, "invoiceNo", delivery->invoice_no);
    ch_jw_ktime(&jw, "createdAt", delivery->created_at_us);
    ch_jw_ktime(&jw, "updatedAt", delivery->updated_at_us);
    ch_jw_key(&jw, "events");
    ch_jw_array(&jw);
    for (size_t i = 0; i < delivery->event_count; i++)
        tracking_event_write(&jw, &delivery->events[i]);
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err delivery_detail(struct ch_request *req)
{
    struct delivery delivery;
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &order_id);
    if (err)
        return err;
    err = delivery_get_wait(&req->ctx, order_id, &delivery);
    if (err)
        return err;
    return reply_delivery(req, &delivery);
}

struct advance_input {
    int to;
};
static const char *const targets[] = {"ON_ROUTE", "DELIVERED", NULL};
static const enum delivery_status target_statuses[] = {DELIVERY_ON_ROUTE, DELIVERY_DELIVERED};
static const struct ch_field advance_fields[] = {
    {"to", CH_FIELD_ENUM, offsetof(struct advance_input, to), .names = targets},
    {0},
};

static enum ch_err delivery_advance(struct ch_request *req)
{
    struct advance_input input;
    struct delivery delivery;
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &order_id);
    if (err)
        return err;
    err = ch_body_bind(req, advance_fields, &input, NULL);
    if (err)
        return err;
    err = delivery_advance_wait(&req->ctx, order_id, target_statuses[input.to], &delivery);
    if (err)
        return err;
    return reply_delivery(req, &delivery);
}

// ---- the simulation's levers
// -------------------------------------------------------------------------------------------

static enum ch_err reply_simulation(struct ch_request *req, const struct simulation *simulation)
{
    struct ch_jw jw;

    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kbool(&jw, "paused", simulation->is_paused);
    ch_jw_key(&jw, "speed");
    ch_jw_double(&jw, simulation->speed);
    ch_jw_kint(&jw, "readyMeanS", simulation->ready_mean_s);
    ch_jw_kint(&jw, "routeMeanS", simulation->route_mean_s);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err simulation_get(struct ch_request *req)
{
    struct simulation simulation;
    enum ch_err err;

    err = simulation_get_wait(&req->ctx, &simulation);
    if (err == CH_ERR_NOT_FOUND)
        return CH_ERR_UNAVAILABLE; // the very first moment after the first start
    if (err)
        return err;
    return reply_simulation(req, &simulation);
}

enum { MEAN_MAX_S = 604800 };
static const double speed_min = 0.1;

static const struct ch_field simulation_fields[] = {
    {"paused", CH_FIELD_BOOL, offsetof(struct simulation, is_paused)},
    {"speed", CH_FIELD_NUMBER, offsetof(struct simulation, speed), .min = 0, .max = 1000},
    {"readyMeanS", CH_FIELD_INT, offsetof(struct simulation, ready_mean_s), .min = 1, .max = MEAN_MAX_S},
    {"routeMeanS", CH_FIELD_INT, offsetof(struct simulation, route_mean_s), .min = 1, .max = MEAN_MAX_S},
    {0},
};

static enum ch_err simulation_put(struct ch_request *req)
{
    struct simulation simulation;
    enum ch_err err;

    err = ch_body_bind(req, simulation_fields, &simulation, NULL);
    if (err)
        return err;
    if (simulation.speed < speed_min)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "/speed", "range", "0.1에서 1000 사이여야 합니다");
    err = simulation_set_wait(&req->ctx, &simulation);
    if (err)
        return err;
    return reply_simulation(req, &simulation);
}

const struct ch_route routes[] = {
    {CH_GET, "/api/v1/deliveries/{orderId}", CH_ORDERS_READ, delivery_detail, "delivery_detail"},
    {CH_GET, "/api/v1/deliveries/{orderId}/events", CH_ORDERS_READ, delivery_events, "delivery_events",
     CH_ROUTE_STREAM},
    {CH_POST, "/api/v1/deliveries/{orderId}/advance", CH_DELIVERIES_WRITE, delivery_advance, "delivery_advance"},
    {CH_GET, "/api/v1/simulation", CH_DELIVERIES_WRITE, simulation_get, "simulation_get"},
    {CH_PUT, "/api/v1/simulation", CH_DELIVERIES_WRITE, simulation_put, "simulation_put"},
    {0},
};
