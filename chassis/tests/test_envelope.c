// SPDX-License-Identifier: Apache-2.0
// Which envelopes are taken, and that every refusal says why: it is all that the log tells of a dead letter. That
// nothing is written of which a text is missing.
#include "request_fixture.h"

#include "ch/audit.h"

#include "../src/app/events_internal.h"

#define ID   "\"id\":\"018f0000-0000-7000-8000-000000000001\""
#define REST "\"source\":\"/gwasuwon/x\",\"time\":\"2026-11-23T00:00:00Z\""
#define HEAD "{\"specversion\":\"1.0\"," ID "," REST ","

static const struct {
    const char *name, *body;
    enum ch_err want;
    const char *faults;
} cases[] = {
    {"good", HEAD "\"type\":\"a.v1\",\"data\":{}}", CH_OK, ""},
    {"unknown attributes", HEAD "\"type\":\"a.v1\",\"data\":{},\"more\":1}", CH_OK, ""},
    {"an array", "[]", CH_ERR_INVALID, " type"},
    {"a text", "\"x\"", CH_ERR_INVALID, " type"},
    {"other type", HEAD "\"type\":\"b.v1\",\"data\":{}}", CH_ERR_INVALID, "/type enum"},
    {"no data", HEAD "\"type\":\"a.v1\"}", CH_ERR_INVALID, "/data type"},
    {"no attributes", "{\"data\":{}}", CH_ERR_INVALID,
     "/specversion required; /id required; /source required; /type required; /time required"},
    {"no JSON", "{", CH_ERR_BAD_SYNTAX, " syntax"},
};

static void test_envelope__refusal_is_named(void **state)
{
    (void)state;
    FOR_EACH(it, cases)
    {
        struct request_fixture fixture;
        struct ch_event event = {0};
        json_t *root = NULL;

        request_open(&fixture, "", NULL, NULL);
        CHECK(it->name, ch_envelope_read(ch_str_of(it->body), "a.v1", fixture.x.arena, &fixture.req.ctx.faults, &root,
                                         &event) == it->want);
        CHECK_TEXT(it->name, faults_text(&fixture.req.ctx), it->faults);
        json_decref(root);
        request_close(&fixture);
    }
}

static void test_envelope__comes_back_without_what_it_has_not(void **state)
{
    const struct ch_event sent = {.id = {{1}}, .type = CH_STR("a.v1"), .time_us = 1000};
    struct request_fixture fixture;
    struct ch_event got = {0};
    json_t *root = NULL;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    ch_envelope_write(&fixture.req.body, "x", &sent, CH_STR("{}"));
    assert_int_equal(
        ch_envelope_read(ch_buf_str(&fixture.req.body), "a.v1", fixture.x.arena, &fixture.req.ctx.faults, &root, &got),
        CH_OK);
    assert_null(got.subject.data);
    assert_null(got.traceparent.data);
    assert_int_equal(got.time_us, 1000);
    json_decref(root);
    request_close(&fixture);
}

static void test_outbox_and_audit__refuse_a_text_without_memory(void **state)
{
    const struct ch_audit entry = {.action = "test.act"};
    struct request_fixture fixture;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    struct ch_tx tx = {.ctx = &fixture.req.ctx, .is_failed = true};
    assert_int_equal(ch_outbox_add(&tx, "a.v1", (struct ch_str){0}, CH_STR("{}")), CH_ERR_NO_MEMORY);
    assert_int_equal(ch_outbox_add(&tx, "a.v1", CH_STR("subject"), (struct ch_str){0}), CH_ERR_NO_MEMORY);
    assert_int_equal(ch_audit_add(&tx, 0, &entry), CH_ERR_NO_MEMORY);
    assert_int_equal(ch_audit_wait(&fixture.req.ctx, 0, &entry), CH_ERR_NO_MEMORY);
    request_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__refusal_is_named),
        cmocka_unit_test(test_envelope__comes_back_without_what_it_has_not),
        cmocka_unit_test(test_outbox_and_audit__refuse_a_text_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
