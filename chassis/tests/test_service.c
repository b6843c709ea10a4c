// SPDX-License-Identifier: Apache-2.0
// A whole service over HTTP: what its rows promise and what operators see. Run as "serve" the program is that service.
#include "service_rows.h"

/* ---- requests
 * --------------------------------------------------------------------------------------------------------- */

#define JSON   "Content-Type: application/json\r\n"
#define KEY    "Idempotency-Key: key-12345678\r\n"
#define CREATE "POST /api/things HTTP/1.1\r\n"
#define GOOD   "{\"name\":\"사과\",\"count\":2}"

enum token { NONE, GOOD_TOKEN, OTHER_SCOPE, EXPIRED, NOISE };

static const struct {
    const char *name, *head, *body;
    enum token token;
    int status;
    const char *wanted[3]; // in the answer
} cases[] = {
    {"plain",
     "GET /api/things/a%20b HTTP/1.1\r\n",
     "",
     NONE,
     200,
     {"{\"id\":\"a b\",\"loopState\":42}", "ETag: \"7\""}},
    {"not modified", "GET /api/things/1 HTTP/1.1\r\nIf-None-Match: W/\"7\"\r\n", "", NONE, 304, {"ETag: \"7\""}},
    {"no such path",
     "GET /api/nothing HTTP/1.1\r\n",
     "",
     NONE,
     404,
     {"application/problem+json", "\"code\":\"not_found\"", "\"traceId\":\""}},
    {"slash at the end", "GET /api/things/1/ HTTP/1.1\r\n", "", NONE, 404, {0}},
    {"wrong method",
     "DELETE /api/things/1 HTTP/1.1\r\n",
     "",
     NONE,
     405,
     {"Allow: GET, HEAD, OPTIONS", "\"code\":\"method_not_allowed\""}},
    {"OPTIONS", "OPTIONS /api/things HTTP/1.1\r\n", "", NONE, 204, {"Allow: POST, OPTIONS"}},
    {"bad encoding", "GET /api/things/%zz HTTP/1.1\r\n", "", NONE, 400, {"\"code\":\"malformed_request\""}},
    {"trace goes on",
     "GET /api/none HTTP/1.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
     "",
     NONE,
     404,
     {"\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\""}},
    {"no token",
     CREATE JSON KEY,
     GOOD,
     NONE,
     401,
     {"WWW-Authenticate: Bearer\r\n", "\"code\":\"unauthenticated\"", "\"errors\":[]"}},
    {"noise for a token",
     CREATE JSON KEY,
     GOOD,
     NOISE,
     401,
     {"WWW-Authenticate: Bearer error=\"invalid_token\"", "\"pointer\":\"Authorization\""}},
    {"expired", CREATE JSON KEY, GOOD, EXPIRED, 401, {"\"code\":\"expired\""}},
    {"noise on a public path", "GET /api/things/1 HTTP/1.1\r\n", "", NOISE, 401, {0}},
    {"token on a public path", "GET /api/things/1 HTTP/1.1\r\n", "", GOOD_TOKEN, 200, {0}},
    {"other scope", CREATE JSON KEY, GOOD, OTHER_SCOPE, 403, {"\"code\":\"forbidden\""}},
    {"created",
     CREATE JSON KEY,
     GOOD,
     GOOD_TOKEN,
     201,
     {"Location: /api/things/1", "\"key\":\"key-12345678\"", "\"sub\":\"018f0000-0000-7000-8000-0000000000b1\""}},
    {"charset", CREATE "Content-Type: application/JSON; charset=UTF-8\r\n" KEY, GOOD, GOOD_TOKEN, 201, {0}},
    {"no key", CREATE JSON, GOOD, GOOD_TOKEN, 400, {"\"pointer\":\"Idempotency-Key\",\"code\":\"required\""}},
    {"short key",
     CREATE JSON "Idempotency-Key: short\r\n",
     GOOD,
     GOOD_TOKEN,
     400,
     {"\"pointer\":\"Idempotency-Key\",\"code\":\"format\""}},
    {"space in the key",
     CREATE JSON "Idempotency-Key: long enough\r\n",
     GOOD,
     GOOD_TOKEN,
     400,
     {"\"code\":\"format\""}},
    {"faults of the body",
     CREATE JSON KEY,
     "{\"name\":\"\",\"more\":1}",
     GOOD_TOKEN,
     400,
     {"\"pointer\":\"/name\",\"code\":\"length\"", "\"pointer\":\"/count\",\"code\":\"required\"",
      "\"pointer\":\"/more\",\"code\":\"unknown\""}},
    {"no JSON", CREATE JSON KEY, "{", GOOD_TOKEN, 400, {"\"code\":\"malformed_request\"", "\"code\":\"syntax\""}},
    {"empty body", CREATE JSON KEY, "", GOOD_TOKEN, 400, {"\"code\":\"malformed_request\""}},
    {"other type",
     CREATE "Content-Type: text/plain\r\n" KEY,
     GOOD,
     GOOD_TOKEN,
     415,
     {"\"pointer\":\"Content-Type\",\"code\":\"enum\""}},
    {"no type", CREATE KEY, GOOD, GOOD_TOKEN, 415, {0}},
    {"other charset", CREATE "Content-Type: application/json; charset=euc-kr\r\n" KEY, GOOD, GOOD_TOKEN, 415, {0}},
    {"raw type", "POST /api/uploads HTTP/1.1\r\nContent-Type: image/png\r\n", "12345", NONE, 200, {"\r\n\r\n5"}},
    {"a bug",
     "GET /api/bug HTTP/1.1\r\n",
     "",
     NONE,
     500,
     {"\"code\":\"internal\"", "\"detail\":\"서버 내부 오류입니다\""}},
    {"too late", "GET /api/late HTTP/1.1\r\n", "", NONE, 504, {"\"code\":\"deadline_exceeded\""}},
};

static char *tokens[NOISE + 1];
static struct child child;

static void test_service__keeps_what_its_rows_promise(void **state)
{
    static struct answer answer;

    (void)state;
    FOR_EACH(it, cases)
    {
        char *head;

        assert_true(asprintf(&head, "%s%s%s%s", it->head, it->token ? "Authorization: " : "",
                             it->token ? tokens[it->token] : "", it->token ? "\r\n" : "") > 0);
        http(child.http_port, head, it->body, &answer);
        free(head);
        if (answer.status != it->status)
            fail_msg("case \"%s\": %s", it->name, answer.text);
        for (size_t i = 0; i < COUNT_OF(it->wanted) && it->wanted[i]; i++)
            if (!strstr(answer.text, it->wanted[i]))
                fail_msg("case \"%s\": no %s in %s", it->name, it->wanted[i], answer.text);
        CHECK(it->name, !strstr(answer.text, "password of the database"));
    }
}

static void test_service__limits_bodies_by_row(void **state)
{
    static char body[301 * 1024 + 1];
    static struct answer answer;

    (void)state;
    memset(body, 'x', sizeof(body) - 1);
    body[300 * 1024] = '\0';
    http(child.http_port, "POST /api/uploads HTTP/1.1\r\n", body, &answer);
    assert_int_equal(answer.status, 200);
    http(child.http_port, "POST /api/small HTTP/1.1\r\n" JSON, body, &answer);
    assert_int_equal(answer.status, 413);
    assert_non_null(strstr(answer.body, "\"code\":\"payload_too_large\""));
    body[300 * 1024] = 'x';
    http(child.http_port, "POST /api/uploads HTTP/1.1\r\n", body, &answer);
    assert_int_equal(answer.status, 413);
}

static void test_service__answers_head_without_a_body(void **state)
{
    static struct answer answer;

    (void)state;
    http(child.http_port, "HEAD /api/things/1 HTTP/1.1\r\n", "", &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.text, "Content-Length: 25\r\n"));
    assert_string_equal(answer.body, "");
}

/* ---- the admin port
 * ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *head, *body;
    int status;
    const char *wanted[3];
} admin_cases[] = {
    {"alive", "GET /livez HTTP/1.1\r\n", "", 200, {"\"alive\""}},
    {"ready",
     "GET /readyz HTTP/1.1\r\n",
     "",
     200,
     {"\"status\":\"ready\"", "\"keys\":{\"status\":\"up\",\"required\":true}", "\"loops\":"}},
    {"version",
     "GET /version HTTP/1.1\r\n",
     "",
     200,
     {"\"service\":\"test-service\"", "\"version\":\"" GW_VERSION "\""}},
    {"settings",
     "GET /config HTTP/1.1\r\n",
     "",
     200,
     {"\"TEST_BOXES\":\"5\"", "\"TEST_PASSWORD\":\"***\"", "\"LOOPS\":\"2\""}},
    {"level", "GET /log-level HTTP/1.1\r\n", "", 200, {"{\"level\":\"info\"}"}},
    {"level, text", "PUT /log-level HTTP/1.1\r\n", "debug\n", 200, {"{\"level\":\"debug\"}"}},
    {"level, JSON", "PUT /log-level HTTP/1.1\r\n" JSON, "{\"level\":\"info\"}", 200, {"{\"level\":\"info\"}"}},
    {"level, wrong", "PUT /log-level HTTP/1.1\r\n", "loud", 400, {"\"pointer\":\"/level\",\"code\":\"enum\""}},
    {"nothing in flight", "GET /requests HTTP/1.1\r\n", "", 200, {"{\"items\":["}},
    {"unknown", "GET /secrets HTTP/1.1\r\n", "", 404, {"\"code\":\"not_found\""}},
    {"wrong method", "POST /livez HTTP/1.1\r\n", "", 405, {"Allow: GET, HEAD, OPTIONS"}},
    {"metrics of requests",
     "GET /metrics HTTP/1.1\r\n",
     "",
     200,
     {"text/plain; version=0.0.4",
      "http_server_request_duration_seconds_count{route=\"/api/things/{thingId}\",method=\"GET\",code=\"200\"}",
      "route=\"unmatched\",method=\"GET\",code=\"404\""}},
    {"metrics of the service",
     "GET /metrics HTTP/1.1\r\n",
     "",
     200,
     {"service_ready 1", "dependency_up{dependency=\"keys\"} 1", "job_runs_total{job=\"sweep\",outcome=\"ok\"}"}},
};

static void test_admin__shows_operators_what_they_need(void **state)
{
    static struct answer answer;

    (void)state;
    FOR_EACH(it, admin_cases)
    {
        http(child.admin_port, it->head, it->body, &answer);
        if (answer.status != it->status)
            fail_msg("case \"%s\": %s", it->name, answer.text);
        for (size_t i = 0; i < COUNT_OF(it->wanted) && it->wanted[i]; i++)
            if (!strstr(answer.text, it->wanted[i]))
                fail_msg("case \"%s\": no %s in %s", it->name, it->wanted[i], answer.text);
        CHECK(it->name, !strstr(answer.text, "hunter2"));
    }
}

static void test_log__tells_requests_without_what_they_carry(void **state)
{
    static struct answer answer;

    (void)state;
    http(child.http_port, "GET /api/things/personal-name?phone=010 HTTP/1.1\r\n", "", &answer);
    http(child.http_port, "GET /api/never-heard-of HTTP/1.1\r\n", "", &answer);
    (void)child_wait_for(&child, "\"event\":\"http.request\"");
    (void)child_wait_for(&child, "\"route\":\"unmatched\"");
    (void)child_wait_for(&child, "\"event\":\"http.failed\"");
    assert_null(strstr(child.log, "personal-name"));
    assert_null(strstr(child.log, "phone"));
    assert_null(strstr(child.log, "hunter2"));
    assert_null(strstr(child.log, "abc.def.ghi"));
    assert_null(strstr(child.log, "readyz"));
}

static int start(void **state)
{
    static const char *const settings[] = {"REQUEST_TIMEOUT_MS=200", NULL};

    assert_int_equal(keys_setup(state), 0);
    tokens[GOOD_TOKEN] = bearer("orders:read orders:write", 600);
    tokens[OTHER_SCOPE] = bearer("orders:read", 600);
    tokens[EXPIRED] = bearer("orders:write", -600);
    tokens[NOISE] = strdup("Bearer noise");
    child_start(&child, settings);
    return 0;
}

static int stop(void **state)
{
    child_stop(&child);
    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        free(tokens[i]);
    return keys_teardown(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest requests[] = {
        cmocka_unit_test(test_service__keeps_what_its_rows_promise),
        cmocka_unit_test(test_service__limits_bodies_by_row),
        cmocka_unit_test(test_service__answers_head_without_a_body),
        cmocka_unit_test(test_admin__shows_operators_what_they_need),
        cmocka_unit_test(test_log__tells_requests_without_what_they_carry),
    };

    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve(argc > 2 ? argv[2] : NULL);
    return cmocka_run_group_tests(requests, start, stop);
}
