// SPDX-License-Identifier: Apache-2.0
// How a failure travels over gRPC and comes back as the same `enum ch_err`: status and sentence for everybody,
// google.rpc details for tools, the public code for our own client. Messages of google.rpc are encoded by hand: four
// small ones do not justify their schema. Must never send more than a peer's usual limit of 8 KiB for trailers, nor
// anything but the row, the detail and the named faults.
#include "grpc_wire.h"

#include <stdio.h>

#define MESSAGE_MAX  512  // bytes before escaping; escapes triple
#define DETAILS_MAX  3072 // before base64
#define ERROR_DOMAIN "gwasuwon.example"

#define TYPE_BAD_REQUEST "type.googleapis.com/google.rpc.BadRequest"
#define TYPE_ERROR_INFO  "type.googleapis.com/google.rpc.ErrorInfo"

enum ch_err grpc_code_to_err(struct ch_str code)
{
    for (int err = 1; err < CH_ERR_COUNT; err++)
        if (ch_str_is(code, ch_err_row((enum ch_err)err)->code))
            return (enum ch_err)err;
    return CH_OK;
}

/* ---- google.rpc.Status, written by hand ---- */

static void put_varint(struct ch_buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        ch_buf_append_char(out, (char)(value | 0x80));
    ch_buf_append_char(out, (char)value);
}

static void put_bytes(struct ch_buf *out, unsigned field, struct ch_str bytes)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len);
    ch_buf_append_str(out, bytes);
}

// "/lines/0/unitPriceKrw" as protobuf names it: "lines[0].unit_price_krw".
static void put_field_name(struct ch_buf *out, const char *pointer)
{
    while (*pointer) {
        bool is_step = *pointer == '/';
        bool is_index = is_step && pointer[1] >= '0' && pointer[1] <= '9';

        if (is_index) {
            size_t digits = strspn(pointer + 1, "0123456789");

            ch_buf_printf(out, "[%.*s]", (int)digits, pointer + 1);
            pointer += digits + 1;
            continue;
        }
        if (is_step && out->len > 0)
            ch_buf_append_char(out, '.');
        else if (*pointer >= 'A' && *pointer <= 'Z' && out->len > 0)
            ch_buf_append(out, (char[]){'_', (char)(*pointer | 0x20)}, 2);
        else if (!is_step)
            ch_buf_append_char(out, *pointer);
        pointer++;
    }
}

// google.rpc.BadRequest.FieldViolation: field = 1, description = 2, reason = 3.
static void put_violation(struct ch_buf *out, const struct ch_fault *fault)
{
    struct ch_buf name, violation;

    ch_buf_init(&name, DETAILS_MAX);
    ch_buf_init(&violation, DETAILS_MAX);
    put_field_name(&name, fault->pointer);
    put_bytes(&violation, 1, ch_buf_str(&name));
    put_bytes(&violation, 2, ch_str_of(fault->detail));
    put_bytes(&violation, 3, ch_str_of(fault->code));
    if (!violation.is_full && out->len + violation.len + 8 < DETAILS_MAX / 2) // later ones are left out
        put_bytes(out, 1, ch_buf_str(&violation));
    ch_buf_release(&name);
    ch_buf_release(&violation);
}

// google.protobuf.Any in google.rpc.Status.details = 3.
static void put_detail(struct ch_buf *out, const char *type, struct ch_str value)
{
    struct ch_buf any;

    ch_buf_init(&any, DETAILS_MAX);
    put_bytes(&any, 1, ch_str_of(type));
    put_bytes(&any, 2, value);
    put_bytes(out, 3, ch_buf_str(&any));
    ch_buf_release(&any);
}

static void put_status(struct ch_buf *out, const struct ch_ctx *ctx, const struct ch_err_row *row,
                       struct ch_str message)
{
    struct ch_buf inner;

    ch_buf_init(&inner, DETAILS_MAX);
    put_varint(out, 1 << 3); // code, a varint
    put_varint(out, (uint64_t)row->grpc_status);
    put_bytes(out, 2, message);
    for (const struct ch_fault *fault = ctx->faults.first; fault; fault = fault->next)
        put_violation(&inner, fault);
    if (inner.len > 0)
        put_detail(out, TYPE_BAD_REQUEST, ch_buf_str(&inner));
    ch_buf_reset(&inner);
    put_bytes(&inner, 1, ch_str_of(row->code)); // google.rpc.ErrorInfo: reason = 1, domain = 2
    put_bytes(&inner, 2, CH_STR(ERROR_DOMAIN));
    put_detail(out, TYPE_ERROR_INFO, ch_buf_str(&inner));
    ch_buf_release(&inner);
}

/* ---- trailers ---- */

// Cut at a character's end.
static struct ch_str message_of(const struct ch_ctx *ctx, const struct ch_err_row *row)
{
    struct ch_str text = ch_str_of(ctx->detail ? ctx->detail : row->title);

    if (text.len > MESSAGE_MAX)
        for (text.len = MESSAGE_MAX; text.len > 0 && ((unsigned char)text.data[text.len] & 0xc0) == 0x80;)
            text.len--;
    return text;
}

static struct ch_str encoded_message(struct ch_arena *arena, struct ch_str message)
{
    struct ch_buf out;

    ch_buf_init(&out, 3 * MESSAGE_MAX);
    grpc_percent_encode(&out, message);
    return ch_buf_take(&out, arena);
}

static struct ch_str encoded_details(const struct ch_ctx *ctx, const struct ch_err_row *row, struct ch_str message)
{
    struct ch_buf status, out;

    ch_buf_init(&status, DETAILS_MAX);
    ch_buf_init(&out, 2 * DETAILS_MAX);
    put_status(&status, ctx, row, message);
    grpc_base64(&out, status.data, status.is_full ? 0 : status.len);
    ch_buf_release(&status);
    return ch_buf_take(&out, ctx->arena);
}

size_t grpc_trailers(struct ch_ctx *ctx, enum ch_err err, nghttp2_nv ret_trailers[GRPC_TRAILERS_MAX])
{
    const struct ch_err_row *row = ch_err_row(err);
    struct ch_str message, text;
    char *number;
    size_t count = 0;

    if (err == CH_OK) {
        ret_trailers[0] = GRPC_NV("grpc-status", "0");
        return 1;
    }
    number = ch_arena_printf(ctx->arena, "%d", row->grpc_status);
    ret_trailers[count++] =
        number ? GRPC_NV_STR("grpc-status", ch_str_of(number), 0) : GRPC_NV("grpc-status", "8"); // arena is full
    ret_trailers[count++] = GRPC_NV_STR("gwasuwon-code", ch_str_of(row->code), 0);
    message = message_of(ctx, row);
    text = encoded_message(ctx->arena, message);
    if (text.data)
        ret_trailers[count++] = GRPC_NV_STR("grpc-message", text, NGHTTP2_NV_FLAG_NONE);
    text = encoded_details(ctx, row, message);
    if (text.data && text.len > 0)
        ret_trailers[count++] = GRPC_NV_STR("grpc-status-details-bin", text, NGHTTP2_NV_FLAG_NONE);
    return count;
}

enum ch_err grpc_status_err(struct ch_ctx *ctx, const struct grpc_status *status)
{
    struct ch_str message;

    if (status->status == CH_GRPC_OK)
        return CH_OK;
    if (!status->ours || ch_err_row(status->ours)->grpc_status != status->status)
        return ch_err_from_grpc(status->status);
    message = grpc_percent_decode(ctx->arena, status->message);
    if (message.len > 0 && ch_utf8_is_valid(message) && !ch_str_is(message, ch_err_row(status->ours)->title))
        ctx->detail = message.data;
    return status->ours;
}
