// SPDX-License-Identifier: Apache-2.0
// What comes out of a queue: the body as a CloudEvents envelope, or ('H' first) the headers of the AMQP frame. An
// envelope that was taken, written and read again is the same event; one that was refused says why.
#include "fuzz.h"

// Not a header: its reader of headers is private, and stays so.
#include "../../chassis/src/io/amqp_consume.c"

#include "../../chassis/src/app/events_internal.h"

#define TYPE "order.placed.v1"

// ---- envelopes ----

// Times are written in whole milliseconds.
static void check_again(const struct ch_event *event, struct ch_arena *arena)
{
    char *data = json_dumps(event->data, JSON_COMPACT);
    struct ch_event again = {0};
    json_t *root = NULL;
    char before[CH_TIME_TEXT], after[CH_TIME_TEXT];
    struct ch_buf out;

    MUST(data);
    ch_buf_init(&out, 8 * CH_EVENT_BODY_MAX);
    ch_envelope_write(&out, "order-manager", event, ch_str_of(data));
    MUST(!out.is_full &&
         ch_envelope_read(ch_buf_str(&out), TYPE, arena, &(struct ch_faults){0}, &root, &again) == CH_OK);
    ch_time_format(event->time_us, before);
    ch_time_format(again.time_us, after);
    MUST(ch_uuid_eq(event->id, again.id) && ch_str_eq(event->type, again.type) && strcmp(before, after) == 0);
    MUST(ch_str_eq(event->subject, again.subject) && ch_str_eq(event->traceparent, again.traceparent));
    MUST(json_equal(event->data, again.data));
    json_decref(root);
    ch_buf_release(&out);
    free(data);
}

static void check_envelope(struct ch_str body)
{
    struct fuzz_work work = {0};
    struct ch_ctx *ctx = fuzz_open(&work);
    struct ch_event event = {0};
    json_t *root = NULL;
    const enum ch_err err = ch_envelope_read(body, TYPE, ctx->arena, &ctx->faults, &root, &event);

    fuzz_check_faults(&ctx->faults);
    if (err) {
        MUST(err == CH_ERR_INVALID || err == CH_ERR_BAD_SYNTAX);
        MUST(ctx->faults.count > 0 && !root);
    } else {
        MUST(ctx->faults.count == 0 && json_is_object(event.data) && ch_str_is(event.type, TYPE));
        check_again(&event, ctx->arena);
    }
    json_decref(root);
    fuzz_close(&work);
}

// ---- headers ----

static void check_headers(struct ch_str bytes)
{
    struct ch_amqp_delivery delivery = {0};
    amqp_table_t table = {0};
    amqp_pool_t pool;
    size_t at = 0;

    init_amqp_pool(&pool, 4096);
    if (amqp_decode_table((amqp_bytes_t){bytes.len, (void *)(uintptr_t)bytes.data}, &pool, &table, &at) == 0) {
        read_headers(&table, &delivery);
        // Nobody sends on what is no traceparent.
        const struct ch_str checked = ch_traceparent_check(delivery.traceparent);
        MUST(checked.len == 0 || checked.len == CH_TRACEPARENT_TEXT - 1);
        for (size_t i = 0; i < delivery.traceparent.len; i++)
            (void)*(volatile const char *)(delivery.traceparent.data + i);
    }
    empty_amqp_pool(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ch_str bytes = {(const char *)data, len};

    if (len > 0 && data[0] == 'H')
        check_headers((struct ch_str){bytes.data + 1, len - 1});
    else
        check_envelope(bytes);
    return 0;
}
