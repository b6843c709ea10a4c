// SPDX-License-Identifier: Apache-2.0
// What the tests of a whole service share: a small one, run by the same program in a child process, and a client that
// speaks raw HTTP to it. Tokens are signed by a key made here. Every wait has a bound of 10 s and waits for an event.
#ifndef CH_SERVICE_FIXTURE_H
#define CH_SERVICE_FIXTURE_H

#include "cases.h"

#include "ch/app.h"

#include <arpa/inet.h>
#include <cjose/cjose.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 10000

struct child {
    pid_t pid;
    int out, err; // read ends
    int http_port, grpc_port, admin_port;
    char log[512 * 1024]; // what was read of stdout and stderr, so far
    size_t log_len;
};

static char token_dir[] = "/tmp/test_service_XXXXXX";
static cjose_jwk_t *token_key;

/* ---- tokens
 * ----------------------------------------------------------------------------------------------------------- */

static inline const char *path_in_dir(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", token_dir, name);
    return path;
}

static inline void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline int keys_setup(void **state)
{
    cjose_err error;
    char text[8192], *key;

    (void)state;
    assert_non_null(mkdtemp(token_dir));
    token_key = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error);
    assert_non_null(token_key);
    assert_true(cjose_jwk_set_kid(token_key, "k1", 2, &error));
    key = cjose_jwk_to_json(token_key, false, &error);
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", key);
    cjose_get_dealloc()(key);
    write_file(path_in_dir("jwks.json"), text);
    return 0;
}

static inline int keys_teardown(void **state)
{
    (void)state;
    (void)unlink(path_in_dir("jwks.json"));
    (void)unlink(path_in_dir("token"));
    (void)rmdir(token_dir);
    cjose_jwk_release(token_key);
    return 0;
}

/** "Bearer …" with these scopes, to be freed; `ttl_s` may lie in the past; `service` may be NULL. */
static inline char *bearer_of(const char *scopes, int64_t ttl_s, const char *service)
{
    json_t *header = json_pack("{s:s,s:s,s:s}", "alg", "RS256", "kid", "k1", "typ", "at+jwt");
    char claims[512], *text = NULL, own[64] = "";
    const char *compact;
    cjose_err error;

    if (service)
        (void)snprintf(own, sizeof(own), ",\"service\":\"%s\"", service);
    (void)snprintf(claims, sizeof(claims),
                   "{\"iss\":\"https://"
                   "issuer.test\",\"aud\":\"gwasuwon\",\"sub\":\"018f0000-0000-7000-8000-0000000000b1\",\"exp\":%lld,"
                   "\"iat\":1,\"jti\":\"1\",\"scope\":\"%s\"%s}",
                   (long long)(ch_wall_us() / 1000000 + ttl_s), scopes, own);
    cjose_jws_t *jws =
        cjose_jws_sign(token_key, (cjose_header_t *)header, (const uint8_t *)claims, strlen(claims), &error);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &compact, &error));
    assert_true(asprintf(&text, "Bearer %s", compact) > 0);
    cjose_jws_release(jws);
    json_decref(header);
    return text;
}

static inline char *bearer(const char *scopes, int64_t ttl_s)
{
    return bearer_of(scopes, ttl_s, NULL);
}

/* ---- the child
 * -------------------------------------------------------------------------------------------------------- */

/** Reads what the child said; false when it has closed both ends or the time is up. */
static inline bool child_read(struct child *child)
{
    struct pollfd fds[] = {{child->out, POLLIN, 0}, {child->err, POLLIN, 0}};

    if ((child->out < 0 && child->err < 0) || poll(fds, 2, WAIT_MS) <= 0)
        return false;
    for (int i = 0; i < 2; i++) {
        ssize_t got;

        if (!fds[i].revents)
            continue;
        got = read(fds[i].fd, child->log + child->log_len, sizeof(child->log) - 1 - child->log_len);
        if (got > 0) {
            child->log_len += (size_t)got;
            child->log[child->log_len] = '\0';
            continue;
        }
        (void)close(fds[i].fd);
        *(i == 0 ? &child->out : &child->err) = -1;
    }
    return true;
}

static inline const char *child_wait_for(struct child *child, const char *text)
{
    while (!strstr(child->log, text))
        if (!child_read(child))
            fail_msg("the service never said %s; it said: %s", text, child->log);
    return strstr(child->log, text);
}

/** `settings`: NAME=value, NULL-terminated. */
static inline void child_spawn(struct child *child, const char *const *settings, const char *option)
{
    int out[2], err[2];

    *child = (struct child){0};
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(err), 0);
    (void)fflush(NULL);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        (void)dup2(out[1], 1);
        (void)dup2(err[1], 2);
        (void)close(out[0]);
        (void)close(err[0]);
        for (; *settings; settings++)
            (void)putenv((char *)(uintptr_t)*settings);
        (void)execl("/proc/self/exe", "service", "serve", option, NULL);
        _exit(127);
    }
    (void)close(out[1]);
    (void)close(err[1]);
    child->out = out[0];
    child->err = err[0];
}

static inline int child_exit_code(struct child *child)
{
    int status;

    while (child_read(child))
        ;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    assert_non_null(at);
    return atoi(at + strlen(name));
}

/** Starts it with free ports and waits until it is ready. `extra` may be NULL. */
static inline void child_start(struct child *child, const char *const *extra)
{
    char jwks[160], token[160];
    const char *settings[24] = {
        "HTTP_PORT=0", "GRPC_PORT=0", "ADMIN_PORT=0", "LOOPS=2", "JWT_ISSUER=https://issuer.test", "DRAIN_WAIT_MS=0"};
    int count = 6;
    const char *line;

    (void)snprintf(jwks, sizeof(jwks), "JWT_JWKS=%s/jwks.json", token_dir);
    (void)snprintf(token, sizeof(token), "SERVICE_TOKEN_FILE=%s/token", token_dir);
    settings[count++] = jwks;
    write_file(path_in_dir("token"), "abc.def.ghi\n");
    settings[count++] = token;
    for (; extra && *extra; extra++)
        settings[count++] = *extra;
    child_spawn(child, settings, NULL);
    line = child_wait_for(child, "\"service.listening\"");
    while (!strchr(line, '\n'))
        assert_true(child_read(child));
    child->http_port = number_after(line, "\"http_port\":");
    child->grpc_port = number_after(line, "\"grpc_port\":");
    child->admin_port = number_after(line, "\"admin_port\":");
    (void)child_wait_for(child, "\"service.ready\"");
}

static inline void child_stop(struct child *child)
{
    assert_int_equal(kill(child->pid, SIGTERM), 0);
    const int code = child_exit_code(child);
    if (code != 0) {
        // Whole: cmocka cuts a message at 1 KiB, and a sanitizer's report stands last.
        (void)fprintf(stderr, "%s\n", child->log);
        fail_msg("exit code %d", code);
    }
}

/* ---- HTTP
 * ------------------------------------------------------------------------------------------------------------- */

struct answer {
    int status;
    char text[64 * 1024]; // head and body
    const char *body;
};

static inline int connect_to(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/** Reads until the other end closes. */
static inline void read_answer(int fd, struct answer *ret_answer)
{
    size_t len = 0;
    ssize_t got;

    while ((got = recv(fd, ret_answer->text + len, sizeof(ret_answer->text) - 1 - len, 0)) > 0)
        len += (size_t)got;
    ret_answer->text[len] = '\0';
    ret_answer->status = len > 12 ? atoi(ret_answer->text + 9) : 0;
    ret_answer->body = strstr(ret_answer->text, "\r\n\r\n");
    ret_answer->body = ret_answer->body ? ret_answer->body + 4 : "";
    (void)close(fd);
}

/** `head`: request line and headers, each ended by CRLF; Host, Connection and Content-Length are added. */
static inline int ask(int port, const char *head, const char *body)
{
    int fd = connect_to(port);
    char *text;

    assert_true(asprintf(&text, "%sHost: test\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", head,
                         strlen(body), body) > 0);
    send_text(fd, text);
    free(text);
    return fd;
}

static inline void http(int port, const char *head, const char *body, struct answer *ret_answer)
{
    read_answer(ask(port, head, body), ret_answer);
}

/** Asks again until the body holds `text`. */
static inline void http_until(int port, const char *head, const char *text, struct answer *ret_answer)
{
    const int64_t until_ns = ch_now_ns() + WAIT_MS * INT64_C(1000000);

    do
        http(port, head, "", ret_answer);
    while (!strstr(ret_answer->body, text) && ch_now_ns() < until_ns);
    assert_non_null(strstr(ret_answer->body, text));
}

#endif
