// SPDX-License-Identifier: Apache-2.0
// The life of a whole service: how it starts or refuses to, what it does when there is too much, how it ends. Run as
// "serve" the program is that service.
#include "service_rows.h"

static struct child child;

/* ---- load and the end
 * ----------------------------------------------------------------------------------------------------- */

#define ONE_LOOP "LOOPS=1"

static void test_service__sheds_what_is_too_much(void **state)
{
    static const char *const settings[] = {ONE_LOOP, "REQUESTS_MAX=2", NULL};
    static struct answer answer;
    int waiting[2];

    (void)state;
    child_start(&child, settings);
    waiting[0] = ask(child.http_port, "GET /api/wait HTTP/1.1\r\n", "");
    waiting[1] = ask(child.http_port, "GET /api/wait HTTP/1.1\r\n", "");
    http_until(child.admin_port, "GET /requests HTTP/1.1\r\n", "\"step\":\"wait for the drain\"", &answer);
    http_until(child.admin_port, "GET /metrics HTTP/1.1\r\n", "work_in_flight{loop=\"0\"} 2", &answer);

    http(child.http_port, "GET /api/things/1 HTTP/1.1\r\n", "", &answer);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.text, "Retry-After: "));
    assert_non_null(strstr(answer.text, "\"code\":\"overloaded\""));
    http(child.http_port, "GET /api/cheap/1 HTTP/1.1\r\n", "", &answer);
    assert_int_equal(answer.status, 200);
    http(child.admin_port, "GET /readyz HTTP/1.1\r\n", "", &answer);
    assert_int_equal(answer.status, 200);

    assert_int_equal(kill(child.pid, SIGTERM), 0);
    for (int i = 0; i < 2; i++) {
        read_answer(waiting[i], &answer);
        assert_int_equal(answer.status, 200);
    }
    assert_int_equal(child_exit_code(&child), 0);
}

static void test_drain__answers_what_it_has_begun(void **state)
{
    static const char *const settings[] = {ONE_LOOP, "DRAIN_WAIT_MS=1000", NULL};
    static struct answer answer;
    static const char get[] = "GET /api/things/1 HTTP/1.1\r\nHost: test\r\n\r\n";
    int waiting, streaming, idle, kept;

    (void)state;
    child_start(&child, settings);
    idle = connect_to(child.http_port);
    kept = connect_to(child.http_port);
    waiting = ask(child.http_port, "GET /api/wait HTTP/1.1\r\n", "");
    streaming = ask(child.http_port, "GET /api/stream HTTP/1.1\r\n", "");
    http_until(child.admin_port, "GET /requests HTTP/1.1\r\n", "/api/wait", &answer);
    http_until(child.admin_port, "GET /requests HTTP/1.1\r\n", "/api/stream", &answer);

    assert_int_equal(kill(child.pid, SIGTERM), 0);
    http_until(child.admin_port, "GET /readyz HTTP/1.1\r\n", "draining", &answer);
    assert_int_equal(answer.status, 503);
    http(child.http_port, "GET /api/things/1 HTTP/1.1\r\n", "",
         &answer); // still served: who routes here may not know yet
    assert_int_equal(answer.status, 200);
    assert_int_equal(write(kept, get, sizeof(get) - 1), sizeof(get) - 1);
    read_answer(kept, &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.text, "\r\nConnection: close\r\n")); // its next request goes elsewhere
    read_answer(waiting, &answer);
    assert_int_equal(answer.status, 200);
    read_answer(streaming, &answer);
    assert_non_null(strstr(answer.text, "data: 1"));
    read_answer(idle, &answer);
    assert_int_equal(answer.status, 0);
    assert_int_equal(child_exit_code(&child), 0);
    assert_non_null(strstr(child.log, "\"event\":\"drain.done\""));
}

static void test_drain__cancels_what_does_not_end(void **state)
{
    static const char *const settings[] = {ONE_LOOP, "DRAIN_TIMEOUT_MS=50", NULL};
    static struct answer answer;
    int hanging;

    (void)state;
    child_start(&child, settings);
    hanging = ask(child.http_port, "GET /api/never HTTP/1.1\r\n", "");
    http_until(child.admin_port, "GET /requests HTTP/1.1\r\n", "/api/never", &answer);
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    read_answer(hanging, &answer);
    assert_int_equal(answer.status, 503);
    assert_int_equal(child_exit_code(&child), 0);
    assert_non_null(strstr(child.log, "\"event\":\"drain.cancelled\""));
}

static void test_drain__ends_at_once_by_a_second_signal(void **state)
{
    static const char *const settings[] = {ONE_LOOP, "DRAIN_WAIT_MS=120000", NULL};

    (void)state;
    child_start(&child, settings);
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    (void)child_wait_for(&child, "\"event\":\"drain.started\"");
    assert_int_equal(kill(child.pid, SIGINT), 0);
    assert_int_equal(child_exit_code(&child), 130);
}

/* ---- starting
 * ----------------------------------------------------------------------------------------------------------- */

static void test_start__refuses_bad_settings_all_at_once(void **state)
{
    static const char *const settings[] = {"HTTP_PORT=70000",
                                           "TEST_BOXES=11",
                                           "LOG_LEVEL=loud",
                                           "JWT_ISSUER=",
                                           "JWT_JWKS=/nowhere/at-all",
                                           "OTLP_ENDPOINT=ftp://x",
                                           "POSTGRES_URI=mysql://u:geheim@h/",
                                           NULL};
    static const char *const wanted[] = {"HTTP_PORT: must be an integer from 0 to 65535",
                                         "TEST_BOXES: must be an integer from 1 to 10",
                                         "LOG_LEVEL: must be error, warn, info or debug",
                                         "JWT_ISSUER: is required",
                                         "JWT_JWKS: must be",
                                         "OTLP_ENDPOINT: must be",
                                         "POSTGRES_URI: must be"};

    (void)state;
    child_spawn(&child, settings, NULL);
    assert_int_equal(child_exit_code(&child), 78);
    FOR_EACH(it, wanted) CHECK(*it, strstr(child.log, *it));
    assert_null(strstr(child.log, "geheim"));
}

static void test_start__refuses_a_key_file_without_keys(void **state)
{
    const char *settings[] = {
        "JWT_ISSUER=https://issuer.test", "JWT_JWKS=/dev/null", "HTTP_PORT=0", "GRPC_PORT=0", "ADMIN_PORT=0", NULL};

    (void)state;
    child_spawn(&child, settings, NULL);
    assert_int_equal(child_exit_code(&child), 78);
    assert_non_null(strstr(child.log, "JWT_JWKS: must"));
}

// The holder is the service itself, with two loops: what its loops share, another process must not get a part of.
static void test_start__says_which_port_is_taken(void **state)
{
    static struct child holder;
    static const char *const names[] = {"HTTP_PORT", "GRPC_PORT", "ADMIN_PORT"};
    char jwks[160], setting[32], wanted[64];

    (void)state;
    (void)snprintf(jwks, sizeof(jwks), "JWT_JWKS=%s/jwks.json", token_dir);
    child_start(&holder, NULL);
    const int ports[] = {holder.http_port, holder.grpc_port, holder.admin_port};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *settings[] = {
            "JWT_ISSUER=https://issuer.test", jwks, "LOOPS=2", "HTTP_PORT=0", "GRPC_PORT=0", "ADMIN_PORT=0", NULL};

        (void)snprintf(setting, sizeof(setting), "%s=%d", names[i], ports[i]);
        (void)snprintf(wanted, sizeof(wanted), "%s: port %d is taken", names[i], ports[i]);
        settings[3 + i] = setting;
        child_spawn(&child, settings, NULL);
        (void)child_wait_for(&child, wanted);
        assert_int_equal(child_exit_code(&child), 71);
    }
    child_stop(&holder);
}

static void test_start__says_that_an_address_is_not_ours(void **state)
{
    char jwks[160];
    const char *settings[] = {"JWT_ISSUER=https://issuer.test",
                              jwks,
                              "LISTEN_ADDRESS=192.0.2.1",
                              "HTTP_PORT=0",
                              "GRPC_PORT=0",
                              "ADMIN_PORT=0",
                              NULL};

    (void)state;
    (void)snprintf(jwks, sizeof(jwks), "JWT_JWKS=%s/jwks.json", token_dir);
    child_spawn(&child, settings, NULL);
    assert_int_equal(child_exit_code(&child), 71);
    assert_non_null(strstr(child.log, "LISTEN_ADDRESS: 192.0.2.1"));
}

static const struct {
    const char *option;
    int code;
    const char *wanted[3];
} options[] = {
    {"--help",
     0,
     {"test-service: answers tests", "10 routes over HTTP",
      "TEST_BOXES\n      how many boxes\n      an integer from 1 to 10; default 5"}},
    {"--version", 0, {"test-service " GW_VERSION "\n"}},
    {"--check-config", 0, {"TEST_PASSWORD=***", "TEST_BOXES=5"}},
    {"--nonsense", 64, {"usage: test-service"}},
};

static void test_start__answers_options(void **state)
{
    char jwks[160];
    const char *settings[] = {"JWT_ISSUER=https://issuer.test", jwks, NULL};

    (void)state;
    (void)snprintf(jwks, sizeof(jwks), "JWT_JWKS=%s/jwks.json", token_dir);
    FOR_EACH(it, options)
    {
        child_spawn(&child, settings, it->option);
        CHECK(it->option, child_exit_code(&child) == it->code);
        for (size_t i = 0; i < COUNT_OF(it->wanted) && it->wanted[i]; i++)
            if (!strstr(child.log, it->wanted[i]))
                fail_msg("case \"%s\": no %s in %s", it->option, it->wanted[i], child.log);
        CHECK(it->option, !strstr(child.log, "hunter2") || strcmp(it->option, "--help") == 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest lives[] = {
        cmocka_unit_test(test_service__sheds_what_is_too_much),
        cmocka_unit_test(test_drain__answers_what_it_has_begun),
        cmocka_unit_test(test_drain__cancels_what_does_not_end),
        cmocka_unit_test(test_drain__ends_at_once_by_a_second_signal),
        cmocka_unit_test(test_start__refuses_bad_settings_all_at_once),
        cmocka_unit_test(test_start__refuses_a_key_file_without_keys),
        cmocka_unit_test(test_start__says_which_port_is_taken),
        cmocka_unit_test(test_start__says_that_an_address_is_not_ours),
        cmocka_unit_test(test_start__answers_options),
    };

    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve(argc > 2 ? argv[2] : NULL);
    return cmocka_run_group_tests(lives, keys_setup, keys_teardown);
}
