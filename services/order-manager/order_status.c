// SPDX-License-Identifier: Apache-2.0
// Which way an order may go, and who may send it there. What is not in the table does not happen.
#include "order.h"

const char *const order_status_names[] = {
    [ORDER_PLACED] = "PLACED",       [ORDER_PREPARING] = "PREPARING", [ORDER_SHIPPING] = "SHIPPING",
    [ORDER_DELIVERED] = "DELIVERED", [ORDER_CONFIRMED] = "CONFIRMED", [ORDER_CANCELLED] = "CANCELLED",
    [ORDER_STATUS_COUNT] = NULL,
};

static const struct {
    enum order_status from, to;
    unsigned who;
} transitions[] = {
    {ORDER_PLACED, ORDER_PREPARING, BY_FARM | BY_DELIVERY | BY_SYSTEM},
    {ORDER_PREPARING, ORDER_SHIPPING, BY_DELIVERY},
    {ORDER_SHIPPING, ORDER_DELIVERED, BY_DELIVERY},
    {ORDER_DELIVERED, ORDER_CONFIRMED, BY_BUYER | BY_SYSTEM},
    {ORDER_PLACED, ORDER_CANCELLED, BY_BUYER | BY_OPERATOR},
    {ORDER_PREPARING, ORDER_CANCELLED, BY_BUYER | BY_OPERATOR},
};

enum ch_err order_status_parse(struct ch_str name, enum order_status *ret_status)
{
    for (int i = 0; i < ORDER_STATUS_COUNT; i++)
        if (ch_str_is(name, order_status_names[i])) {
            *ret_status = (enum order_status)i;
            return CH_OK;
        }
    return CH_ERR_INVALID;
}

static const struct {
    enum order_actor actor;
    const char *name;
} actors[] = {
    {BY_BUYER, "buyer"}, {BY_FARM, "farm"}, {BY_OPERATOR, "operator"}, {BY_DELIVERY, "delivery"}, {BY_SYSTEM, "system"},
};
enum { ACTOR_COUNT = sizeof(actors) / sizeof(actors[0]) };

const char *order_actor_name(enum order_actor actor)
{
    for (size_t i = 0; i < ACTOR_COUNT; i++)
        if (actors[i].actor == actor)
            return actors[i].name;
    return "system";
}

enum order_actor order_actor_parse(struct ch_str name)
{
    for (size_t i = 0; i < ACTOR_COUNT; i++)
        if (ch_str_is(name, actors[i].name))
            return actors[i].actor;
    return BY_SYSTEM;
}

bool order_may_move(enum order_status from, enum order_status to, enum order_actor actor)
{
    for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
        if (transitions[i].from == from && transitions[i].to == to)
            return (transitions[i].who & actor) != 0;
    return false;
}

enum order_status order_step_towards(enum order_status from, enum order_status to, enum order_actor actor)
{
    // The way forward is a chain of neighbours in the enum; only cancelling leaves it.
    enum order_status next = to == ORDER_CANCELLED ? ORDER_CANCELLED : from + 1;

    if (from == to || next > to || !order_may_move(from, next, actor))
        return from;
    return next;
}
