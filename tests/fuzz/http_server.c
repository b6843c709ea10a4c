// SPDX-License-Identifier: Apache-2.0
// A connection as a client has it: bytes in, replies out. The input is sent whole and then in pieces (its first byte
// says how large); both conversations must be the same. Every reply is well-formed, nothing follows a refusal, and the
// server keeps nothing of a connection that has ended.
#include "fuzz_loop.h"

#include "../../chassis/src/io/http_internal.h"

#include <strings.h>

enum { BODY_MAX = 8 * 1024, REPLIES_MAX = 4096 };

static struct ch_http_server *server;

// The reply says what the server understood.
static void echo(struct ch_http_exchange *x, void *arg)
{
    const struct ch_http_header extra[] = {
        {CH_STR("X-Method"), CH_STR("")}, {CH_STR("X-Path"), x->path}, {CH_STR("X-Query"), x->query}};
    struct ch_http_header method[3];

    (void)arg;
    memcpy(method, extra, sizeof(method));
    method[0].value = x->method == CH_HEAD ? CH_STR("HEAD") : CH_STR("other");
    MUST(x->body.len <= BODY_MAX);
    ch_http_reply(x, 200, "text/plain", method, 3, x->body);
}

static void server_start(void)
{
    struct ch_http_limits limits = ch_http_limits_default;

    limits.body_max = BODY_MAX;
    MUST(ch_http_server_new(fuzz_loop_new(), &(struct ch_listen){.address = "127.0.0.1"}, &limits, echo, NULL,
                            &server) == CH_OK);
}

static void server_open(int fd)
{
    static const struct sockaddr_in address = {.sin_family = AF_INET};

    ch_http_conn_new(server, fd, (const struct sockaddr *)&address, false);
}

// ---- the client ----

struct input {
    struct ch_str bytes;
    size_t piece;
};

static void talk(struct fuzz_client *client)
{
    const struct input *input = client->arg;

    if (fuzz_send(client, input->bytes.data, input->bytes.len, input->piece))
        (void)shutdown(client->fd, SHUT_WR); // fails when the server was first
    fuzz_take_rest(client);
}

static struct ch_str field(struct ch_str head, const char *name)
{
    struct ch_str rest = head;

    while (rest.len > 0) {
        struct ch_str line = fuzz_cut(&rest, '\n');
        const struct ch_str key = fuzz_cut(&line, ':');

        if (ch_str_ieq(key, ch_str_of(name)) && line.len >= 2)
            return (struct ch_str){line.data + 1, line.len - 2}; // " value\r"
    }
    return (struct ch_str){0};
}

// Takes one reply off; what must not differ between two conversations goes to `out`.
static bool read_reply(struct ch_str *rest, struct ch_buf *out)
{
    const char *end = memmem(rest->data, rest->len, "\r\n\r\n", 4);
    int64_t length = 0;

    MUST(end && rest->len > 12 && memcmp(rest->data, "HTTP/1.1 ", 9) == 0);
    const struct ch_str head = {rest->data, (size_t)(end - rest->data) + 4};
    const struct ch_str status = {head.data + 9, 3}, method = field(head, "X-Method");
    *rest = (struct ch_str){head.data + head.len, rest->len - head.len};
    if (status.data[0] == '1') // comes only when the body is not there yet
        return true;
    MUST(ch_str_to_int64(field(head, "Content-Length"), &length) == CH_OK && length >= 0);
    ch_buf_append_str(out, status);
    ch_buf_append_str(out, field(head, "X-Path"));
    ch_buf_append_str(out, field(head, "X-Query"));
    if (!method.data) { // a refusal: the last word, a problem
        MUST(ch_str_ieq(field(head, "Connection"), CH_STR("close")) && status.data[0] >= '4');
        MUST(ch_str_is(field(head, "Content-Type"), "application/problem+json"));
        MUST(rest->len == 0 || rest->len == (size_t)length); // none for HEAD
        if (rest->len > 0) {
            json_t *problem = json_loadb(rest->data, rest->len, JSON_REJECT_DUPLICATES, NULL);
            MUST(json_is_string(json_object_get(problem, "code")));
            json_decref(problem);
        }
        return false;
    }
    length = ch_str_is(method, "HEAD") ? 0 : length;
    MUST((size_t)length <= rest->len);
    ch_buf_append(out, rest->data, (size_t)length);
    *rest = (struct ch_str){rest->data + length, rest->len - (size_t)length};
    return !ch_str_ieq(field(head, "Connection"), CH_STR("close")) || rest->len > 0;
}

static void converse(struct ch_str bytes, size_t piece, struct ch_buf *ret_said)
{
    const struct input input = {bytes, piece};
    struct fuzz_client client = {.talk = talk, .arg = &input};

    fuzz_converse(&client, server_open);
    MUST(ch_http_server_connections(server) == 0 && server->held == 0 && !server->dead);
    MUST(ch_loop_fibers(fuzz_loop) == 0);
    struct ch_str rest = ch_buf_str(&client.got);
    ch_buf_init(ret_said, 64 * 1024 * 1024);
    while (rest.len > 0 && read_reply(&rest, ret_said))
        ;
    ch_buf_release(&client.got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ch_str bytes = {(const char *)data + 1, len - 1};
    struct ch_buf whole, pieces;

    if (!server)
        server_start();
    if (len == 0 || len > 64 * 1024)
        return 0;
    converse(bytes, bytes.len + 1, &whole);
    converse(bytes, bytes.len > 4096 ? 512 : 1 + data[0] % 32, &pieces);
    MUST(ch_str_eq(ch_buf_str(&whole), ch_buf_str(&pieces)));
    ch_buf_release(&whole);
    ch_buf_release(&pieces);
    return 0;
}
