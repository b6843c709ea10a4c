// SPDX-License-Identifier: Apache-2.0
// CloudEvents 1.0 in structured mode: written for the relay, read strictly for the consumers. Attributes that we do not
// know are ignored, as the specification asks; those we know must be right. It must never look into `data`: that is the
// handler's.
#include "events_internal.h"

#include <stdio.h>

void ch_envelope_write(struct ch_buf *out, const char *service, const struct ch_event *event, struct ch_str data)
{
    char source[128];
    struct ch_jw jw;

    (void)snprintf(source, sizeof(source), "/gwasuwon/%s", service); // names of services are short
    ch_jw_init(&jw, out);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "specversion", "1.0");
    ch_jw_kuuid(&jw, "id", event->id);
    ch_jw_kcstr(&jw, "source", source);
    ch_jw_kstr(&jw, "type", event->type);
    if (event->subject.data) // an attribute that is not there is left out: null is no text
        ch_jw_kstr(&jw, "subject", event->subject);
    ch_jw_ktime(&jw, "time", event->time_us);
    ch_jw_kcstr(&jw, "datacontenttype", "application/json");
    if (event->traceparent.data)
        ch_jw_kstr(&jw, "traceparent", event->traceparent);
    ch_jw_key(&jw, "data");
    ch_jw_raw(&jw, data);
    ch_jw_object_end(&jw);
}

struct envelope {
    int version, content;
    struct ch_str source;
    struct ch_event event;
};

static const char *const versions[] = {"1.0", NULL};
static const char *const contents[] = {"application/json", NULL};

#define AT(member) offsetof(struct envelope, member)

static const struct ch_field attributes[] = {
    {"specversion", CH_FIELD_ENUM, AT(version), .names = versions},
    {"id", CH_FIELD_UUID, AT(event.id)},
    {"source", CH_FIELD_STR, AT(source), .min = 1, .max = 200},
    {"type", CH_FIELD_STR, AT(event.type), .min = 1, .max = 100},
    {"subject", CH_FIELD_STR, AT(event.subject), .flags = CH_F_OPTIONAL, .min = 1, .max = 200},
    {"time", CH_FIELD_TIME, AT(event.time_us)},
    {"datacontenttype", CH_FIELD_ENUM, AT(content), .flags = CH_F_OPTIONAL, .names = contents},
    {"traceparent", CH_FIELD_STR, AT(event.traceparent), .flags = CH_F_OPTIONAL, .max = 128},
    {0},
};

// The attributes of the table alone, for the binding to check.
static json_t *known_attributes(json_t *root)
{
    json_t *known = json_object();

    for (const struct ch_field *field = attributes; known && field->name; field++) {
        json_t *value = json_object_get(root, field->name);
        if (value && json_object_set(known, field->name, value) != 0) {
            json_decref(known);
            return NULL;
        }
    }
    return known;
}

static enum ch_err bind_attributes(json_t *root, const char *type, struct ch_faults *faults, struct ch_event *ret_event)
{
    struct envelope envelope = {0};

    if (!json_is_object(root)) {
        ch_faults_add(faults, "", "type", "객체여야 합니다");
        return CH_ERR_INVALID;
    }
    json_t *data = json_object_get(root, "data");
    json_t *known = known_attributes(root);
    enum ch_err err = known ? ch_json_bind(known, attributes, "", faults, &envelope, NULL) : CH_ERR_NO_MEMORY;

    json_decref(known);
    if (err)
        return err;
    if (!ch_str_is(envelope.event.type, type)) {
        ch_faults_add(faults, "/type", "enum", "%s", type);
        return CH_ERR_INVALID;
    }
    if (!json_is_object(data)) {
        ch_faults_add(faults, "/data", "type", "객체여야 합니다");
        return CH_ERR_INVALID;
    }
    envelope.event.data = data;
    *ret_event = envelope.event;
    return CH_OK;
}

enum ch_err ch_envelope_read(struct ch_str body, const char *type, struct ch_arena *arena, struct ch_faults *faults,
                             json_t **ret_root, struct ch_event *ret_event)
{
    json_t *root;

    ch_faults_init(faults, arena);
    if (body.len > CH_EVENT_BODY_MAX)
        return CH_ERR_TOO_LARGE;
    enum ch_err err = ch_json_parse(body, faults, &root);
    if (err)
        return err;
    err = bind_attributes(root, type, faults, ret_event);
    if (err) {
        json_decref(root);
        return err;
    }
    *ret_root = root;
    return CH_OK;
}
