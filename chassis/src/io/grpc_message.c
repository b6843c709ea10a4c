// SPDX-License-Identifier: Apache-2.0
// Protobuf messages from outside: checked on their bytes first, then unpacked into the request's arena. protobuf-c
// alone would cut a string at a NUL and pass bad UTF-8 on to PostgreSQL, which refuses it late; here the field is named
// to the caller. Must never recurse deeper than GRPC_DEPTH_MAX nor hold more than the arena's limit, whatever the bytes
// say.
#include "grpc_wire.h"

#define GRPC_DEPTH_MAX 32

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct reader {
    const uint8_t *at, *end;
};

/** One message being walked, and the way to it from the outermost. */
struct walk {
    const struct walk *parent;
    const ProtobufCMessageDescriptor *type;
    const uint8_t *start, *end;
    const ProtobufCFieldDescriptor *field; /**< looked at now */
    const uint8_t *field_at;               /**< its tag */
    int depth;
};

/** One field on the wire. */
struct item {
    uint32_t number;
    enum wire wire;
    struct ch_str bytes; /**< WIRE_BYTES */
};

static bool read_varint(struct reader *in, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (int shift = 0; shift < 70 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;

        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool read_item(struct reader *in, struct item *ret_item)
{
    uint64_t tag, len = 0;

    if (!read_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 >= 1u << 29)
        return false;
    ret_item->number = (uint32_t)(tag >> 3);
    ret_item->wire = (enum wire)(tag & 7);
    ret_item->bytes = (struct ch_str){0};
    switch (ret_item->wire) {
    case WIRE_VARINT:
        return read_varint(in, &tag);
    case WIRE_64:
        len = 8;
        break;
    case WIRE_32:
        len = 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(in, &len))
            return false;
        break;
    default:
        return false;
    }
    if (len > (uint64_t)(in->end - in->at))
        return false;
    ret_item->bytes = (struct ch_str){(const char *)in->at, (size_t)len};
    in->at += len;
    return true;
}

/* ---- naming a field: only when it is faulty ---- */

// How often the field came before the place where it is looked at now.
static int field_index(const struct walk *walk)
{
    struct reader in = {walk->start, walk->end};
    struct item item;
    int index = 0;

    while (in.at < walk->field_at && read_item(&in, &item))
        index += item.number == walk->field->id;
    return index;
}

// "/lines/0/sku_id"
static void write_pointer(const struct walk *walk, struct ch_buf *out)
{
    if (!walk)
        return;
    write_pointer(walk->parent, out);
    ch_buf_append_char(out, '/');
    ch_buf_append_cstr(out, walk->field->name);
    if (walk->field->label == PROTOBUF_C_LABEL_REPEATED) {
        ch_buf_append_char(out, '/');
        ch_buf_append_int64(out, field_index(walk));
    }
}

static enum ch_err fail_encoding(struct ch_ctx *ctx, const struct walk *walk)
{
    struct ch_buf pointer;
    enum ch_err err;
    const char *text;

    ch_buf_init(&pointer, 1024);
    write_pointer(walk, &pointer);
    text = ch_arena_strdup(ctx->arena, ch_buf_str(&pointer));
    err = ch_fail(ctx, CH_ERR_INVALID, text, "encoding", "NUL이 없는 UTF-8 문자열이어야 합니다");
    ch_buf_release(&pointer);
    return err;
}

/* ---- checking ---- */

static enum ch_err check_message(struct ch_ctx *ctx, struct walk *walk)
{
    struct reader in = {walk->start, walk->end};
    struct item item;

    if (walk->depth > GRPC_DEPTH_MAX)
        return CH_ERR_BAD_SYNTAX;
    while (in.at < in.end) {
        walk->field_at = in.at;
        if (!read_item(&in, &item))
            return CH_ERR_BAD_SYNTAX;
        if (item.wire != WIRE_BYTES)
            continue;
        walk->field = protobuf_c_message_descriptor_get_field(walk->type, item.number);
        if (!walk->field)
            continue;
        if (walk->field->type == PROTOBUF_C_TYPE_STRING && !ch_utf8_is_valid(item.bytes))
            return fail_encoding(ctx, walk);
        if (walk->field->type == PROTOBUF_C_TYPE_MESSAGE) {
            const uint8_t *start = (const uint8_t *)item.bytes.data;
            struct walk inner = {.parent = walk,
                                 .type = walk->field->descriptor,
                                 .start = start,
                                 .end = start + item.bytes.len,
                                 .depth = walk->depth + 1};
            enum ch_err err = check_message(ctx, &inner);

            if (err)
                return err;
        }
    }
    return CH_OK;
}

/* ---- unpacking ---- */

struct arena_source {
    struct ch_arena *arena;
    bool is_full;
};

static void *arena_take(void *arg, size_t size)
{
    struct arena_source *source = arg;
    void *memory = ch_arena_alloc(source->arena, size);

    source->is_full |= !memory;
    return memory;
}

static void arena_leave(void *arg, void *memory)
{
    (void)arg;
    (void)memory; // goes with the arena
}

enum ch_err grpc_unpack(struct ch_ctx *ctx, const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                        ProtobufCMessage **ret_message)
{
    struct walk walk = {.type = type, .start = bytes, .end = bytes + len};
    struct arena_source source = {.arena = ctx->arena};
    ProtobufCAllocator allocator = {.alloc = arena_take, .free = arena_leave, .allocator_data = &source};
    enum ch_err err = check_message(ctx, &walk);
    ProtobufCMessage *message;

    if (!err) {
        message = protobuf_c_message_unpack(type, &allocator, len, bytes);
        if (message) {
            *ret_message = message;
            return CH_OK;
        }
        err = source.is_full ? CH_ERR_TOO_LARGE : CH_ERR_BAD_SYNTAX;
    }
    if (err == CH_ERR_BAD_SYNTAX)
        ctx->detail = "malformed message";
    return err;
}

enum ch_err grpc_pack(struct ch_buf *out, const ProtobufCMessage *message, size_t max_bytes)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    char *room;

    if (len > max_bytes)
        return CH_ERR_TOO_LARGE;
    room = ch_buf_reserve(out, GRPC_PREFIX + len);
    if (!room)
        return CH_ERR_TOO_LARGE;
    grpc_prefix_write(room, len);
    (void)protobuf_c_message_pack(message, (uint8_t *)room + GRPC_PREFIX); // its size is known
    out->len += GRPC_PREFIX + len;
    return CH_OK;
}
