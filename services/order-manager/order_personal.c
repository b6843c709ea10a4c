// SPDX-License-Identifier: Apache-2.0
// Personal data between the struct, JSON and its sealed form. It must never put any of it into a log or an error.
#include "order_personal.h"

#include "ch/seal.h"

#define GAP            '\x01' // never in JSON: control characters are escaped
#define PURPOSE        "orders.personal"
#define NOTE_PURPOSE   "orders.cancellation_note"
#define PERSONAL_MAX   (16 * 1024)
#define GIFT_OF_NOBODY "\"recipient\":null,\"giftMessage\":\"\""

static struct ch_str or_empty(struct ch_str s)
{
    return s.data ? s : CH_STR("");
}

void personal_write(struct ch_jw *jw, const struct recipient *to, struct ch_str gift_message)
{
    ch_jw_key(jw, "recipient");
    if (!to->name.data) {
        ch_jw_null(jw);
    } else {
        ch_jw_object(jw);
        ch_jw_kstr(jw, "name", to->name);
        ch_jw_kstr(jw, "phone", to->phone);
        ch_jw_kstr(jw, "postcode", to->postcode);
        ch_jw_kstr(jw, "address1", to->address1);
        ch_jw_kstr(jw, "address2", or_empty(to->address2));
        ch_jw_kstr(jw, "doorNote", or_empty(to->door_note));
        if (to->is_masked)
            ch_jw_kbool(jw, "masked", true);
        ch_jw_object_end(jw);
    }
    ch_jw_kstr(jw, "giftMessage", or_empty(gift_message));
}

void personal_write_gap(struct ch_jw *jw)
{
    static const char gap[] = {GAP};

    ch_jw_raw(jw, (struct ch_str){gap, 1});
}

enum ch_err personal_encode(struct ch_arena *arena, struct order *order)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, PERSONAL_MAX);
    ch_jw_init(&jw, &text);
    ch_jw_object(&jw);
    personal_write(&jw, &order->recipient, order->gift_message);
    ch_jw_object_end(&jw);
    order->personal = ch_buf_take(&text, arena);
    return order->personal.data ? CH_OK : CH_ERR_NO_MEMORY;
}

enum ch_err personal_seal(struct ch_arena *arena, const struct order *order, struct ch_str *ret_sealed)
{
    return ch_seal_copy(arena, PURPOSE, order->order_id, order->personal, ret_sealed);
}

// A value that does not open is a fault of the keys or of whoever wrote to the table: somebody has to look.
static enum ch_err open_value(struct ch_arena *arena, const char *purpose, struct ch_uuid order_id,
                              struct ch_str sealed, struct ch_str *ret_plain)
{
    const enum ch_err err = ch_unseal_copy(arena, purpose, order_id, sealed, ret_plain);

    if (err != CH_ERR_UNAVAILABLE && err != CH_ERR_INVALID)
        return err;
    ch_log(CH_LOG_ERROR, NULL, err == CH_ERR_INVALID ? "personal.does_not_open" : "personal.key_unknown",
           CH_LU("order_id", order_id), CH_LI("key", ch_sealed_key_id(sealed)), CH_LS("purpose", purpose));
    return err == CH_ERR_INVALID ? CH_ERR_INTERNAL : CH_ERR_UNAVAILABLE;
}

enum ch_err personal_open(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str sealed,
                          struct ch_str *ret_json)
{
    return open_value(arena, PURPOSE, order_id, sealed, ret_json);
}

enum ch_err personal_seal_note(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str note,
                               struct ch_str *ret_sealed)
{
    return ch_seal_copy(arena, NOTE_PURPOSE, order_id, note.len ? note : (struct ch_str){0}, ret_sealed);
}

enum ch_err personal_open_note(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str sealed,
                               struct ch_str *ret_note)
{
    return open_value(arena, NOTE_PURPOSE, order_id, sealed, ret_note);
}

// ---- JSON back to the struct

#define IN(member) offsetof(struct recipient, member)
static const struct ch_field recipient_fields[] = {
    {"name", CH_FIELD_STR, IN(name)},
    {"phone", CH_FIELD_STR, IN(phone)},
    {"postcode", CH_FIELD_STR, IN(postcode)},
    {"address1", CH_FIELD_STR, IN(address1)},
    {"address2", CH_FIELD_STR, IN(address2)},
    {"doorNote", CH_FIELD_STR, IN(door_note)},
    {0},
};
static const struct ch_field personal_fields[] = {
    {"recipient", CH_FIELD_OBJECT, offsetof(struct order, recipient), .fields = recipient_fields},
    {"giftMessage", CH_FIELD_STR, offsetof(struct order, gift_message), .flags = CH_F_MULTILINE},
    {0},
};

enum ch_err personal_decode(struct ch_arena *arena, struct ch_str json, struct order *order)
{
    struct ch_faults faults; // of ours, not of a caller's input: nobody is told
    json_t *parsed;
    enum ch_err err;

    if (!json.data)
        return CH_OK;
    ch_faults_init(&faults, arena);
    err = ch_json_parse(json, &faults, &parsed);
    if (err)
        return CH_ERR_INTERNAL;
    err = ch_json_bind(parsed, personal_fields, "", &faults, order, NULL);
    json_decref(parsed);
    return err == CH_ERR_INVALID ? CH_ERR_INTERNAL : err;
}

enum ch_err personal_fill_gap(struct ch_arena *arena, struct ch_str gapped, struct ch_str json,
                              struct ch_str *ret_reply)
{
    const struct ch_str members =
        json.data ? (struct ch_str){json.data + 1, json.len - 2} : CH_STR(GIFT_OF_NOBODY); // without its braces
    const char *gap = memchr(gapped.data, GAP, gapped.len);
    char *reply = gap ? ch_arena_alloc(arena, gapped.len + members.len) : NULL;

    if (!gap)
        return CH_ERR_INTERNAL;
    if (!reply)
        return CH_ERR_NO_MEMORY;
    const size_t before = (size_t)(gap - gapped.data), after = gapped.len - before - 1;
    memcpy(reply, gapped.data, before);
    memcpy(reply + before, members.data, members.len);
    memcpy(reply + before + members.len, gap + 1, after);
    *ret_reply = (struct ch_str){reply, before + members.len + after}; // the zeroed byte after it ends it
    return CH_OK;
}
