// SPDX-License-Identifier: Apache-2.0
// A load generator for HTTP/1.1 over many connections that stay open: closed (each client sends when it was answered)
// or open (requests are due at times of their own, by chance, whoever still waits). Exists because wrk only does the
// first, which hides what overload does to those who come, and because on one machine whatever the clients cost is
// taken from those they ask. In the open mode a latency counts from the time the request was due: a late generator or a
// lack of connections shows as latency. Must never drop or merge requests.
//
//   load HOST PORT closed CLIENTS WARM SECONDS FIRST < REQUESTS
//   load HOST PORT open RATE WARM SECONDS FIRST < REQUESTS
//
// REQUESTS: requests one after another, each followed by a zero byte; they are sent in turn, and each has nine '#' that
// are overwritten by a number of its own, from FIRST on. Prints a line for each request that was sent or due within
// SECONDS after the WARM ones: "STATUS MICROSECONDS", status 0 if the connection broke; at the end "late MICROSECONDS"
// for each time the generator found something due, "next NUMBER" and "cpu MICROSECONDS" that it used.
#include "ch/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <http_parser.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS   1000 // of the open mode
#define TICK_US       1000
#define NUMBER_MARK   "#########"
#define NUMBER_DIGITS 9
#define REQUESTS_MAX  4096
#define INPUT_MAX     (64 * 1024 * 1024)
#define STATUS_BROKEN 0
#define EXIT_USAGE    64

struct request {
    char *bytes;
    size_t len;
    char *number; // where it goes, within bytes
};

struct connection {
    int fd; // -1: to be opened with the next request
    struct event readable;
    http_parser parser;
    int64_t due_ns; // of the request under way
    bool is_asked, is_answered;
    struct connection *next_idle;
};

struct answer {
    int32_t status;
    int32_t took_us;
};

struct list {
    struct answer *all; // a row of lateness has only took_us
    size_t count, room;
};

static struct {
    struct event_base *base;
    struct sockaddr_in place;
    struct request requests[REQUESTS_MAX];
    size_t request_count;
    int64_t number;
    bool is_open;
    double rate;
    struct connection *idle;
    int busy;
    int64_t from_ns, until_ns, next_due_ns;
    struct list answers, late;
} load;

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void note(struct list *list, int status, int64_t took_ns)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 65536;
        list->all = realloc(list->all, list->room * sizeof(*list->all));
        if (!list->all)
            die("memory");
    }
    list->all[list->count++] = (struct answer){status, (int32_t)(took_ns / 1000)};
}

/* ---- one connection ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg);

static void connection_close(struct connection *connection)
{
    (void)event_del(&connection->readable);
    (void)close(connection->fd);
    connection->fd = -1;
}

static void connection_open(struct connection *connection)
{
    const int one = 1;

    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // Blocking while it connects, which takes the kernel microseconds on one machine; afterwards each recv is told not
    // to wait.
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&load.place, sizeof(load.place)) ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
        die("connect");
    if (event_assign(&connection->readable, load.base, connection->fd, EV_READ | EV_PERSIST, on_readable, connection) ||
        event_add(&connection->readable, NULL))
        die("event");
}

static void request_send(struct connection *connection, int64_t due_ns)
{
    struct request *request = &load.requests[(size_t)load.number % load.request_count];
    int64_t number = load.number++;

    if (connection->fd < 0)
        connection_open(connection);
    for (int digit = NUMBER_DIGITS - 1; digit >= 0; digit--, number /= 10)
        request->number[digit] = (char)('0' + number % 10);
    http_parser_init(&connection->parser, HTTP_RESPONSE);
    connection->parser.data = connection;
    connection->is_asked = true;
    connection->is_answered = false;
    connection->due_ns = due_ns;
    load.busy++;
    // A request fits into an empty socket's buffer. One that could not be sent is seen when the answer is read.
    (void)!send(connection->fd, request->bytes, request->len, MSG_NOSIGNAL);
}

static void answered(struct connection *connection, int status)
{
    const int64_t now_ns = ch_now_ns(), due_ns = connection->due_ns;

    connection->is_asked = false;
    load.busy--;
    if (due_ns >= load.from_ns && due_ns < load.until_ns && (load.is_open || now_ns < load.until_ns))
        note(&load.answers, status, now_ns - due_ns);
    if (!load.is_open && now_ns < load.until_ns) {
        request_send(connection, now_ns);
        return;
    }
    connection->next_idle = load.idle;
    load.idle = connection;
}

static int on_message_complete(http_parser *parser)
{
    struct connection *connection = parser->data;

    connection->is_answered = true;
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static const http_parser_settings settings = {.on_message_complete = on_message_complete};
    struct connection *connection = arg;
    http_parser *parser = &connection->parser;
    char bytes[16 * 1024];
    const ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    (void)what;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || !connection->is_asked ||
        http_parser_execute(parser, &settings, bytes, (size_t)got) != (size_t)got) {
        connection_close(connection);
        if (connection->is_asked)
            answered(connection, STATUS_BROKEN);
    } else if (connection->is_answered) {
        if (!http_should_keep_alive(parser))
            connection_close(connection);
        answered(connection, (int)parser->status_code);
    }
}

/* ---- when to send ---- */

// Exponential gaps: requests come by chance, at `rate` a second.
static int64_t gap_ns(void)
{
    return (int64_t)(-log(1 - drand48()) * 1e9 / load.rate);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    const int64_t now_ns = ch_now_ns();

    (void)fd;
    (void)what;
    (void)arg;
    if (load.is_open && load.next_due_ns <= now_ns && load.next_due_ns < load.until_ns)
        note(&load.late, 0, now_ns - load.next_due_ns);
    while (load.is_open && load.idle && load.next_due_ns <= now_ns && load.next_due_ns < load.until_ns) {
        struct connection *connection = load.idle;

        load.idle = connection->next_idle;
        request_send(connection, load.next_due_ns);
        load.next_due_ns += gap_ns();
    }
    if (now_ns >= load.until_ns && !load.busy && (!load.is_open || load.next_due_ns >= load.until_ns))
        (void)event_base_loopbreak(load.base); // fails only without a base
}

/* ---- start and end ---- */

static void read_requests(void)
{
    char *input = malloc(INPUT_MAX + 1);

    if (!input)
        die("memory");
    const size_t len = fread(input, 1, INPUT_MAX, stdin);
    input[len] = '\0';
    for (size_t at = 0; at < len && load.request_count < REQUESTS_MAX;) {
        struct request *request = &load.requests[load.request_count++];

        request->bytes = input + at;
        request->len = strlen(request->bytes);
        request->number = strstr(request->bytes, NUMBER_MARK);
        at += request->len + 1;
        if (!request->number) {
            (void)fprintf(stderr, "load: a request without %s\n", NUMBER_MARK);
            exit(EXIT_USAGE);
        }
    }
    if (!load.request_count) {
        (void)fputs("load: no requests on standard input\n", stderr);
        exit(EXIT_USAGE);
    }
}

static int64_t cpu_us(void)
{
    struct rusage used;

    if (getrusage(RUSAGE_SELF, &used))
        die("getrusage");
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static void print_all(void)
{
    for (size_t i = 0; i < load.answers.count; i++)
        (void)printf("%d %d\n", load.answers.all[i].status, load.answers.all[i].took_us);
    for (size_t i = 0; i < load.late.count; i++)
        (void)printf("late %d\n", load.late.all[i].took_us);
    (void)printf("next %lld\ncpu %lld\n", (long long)load.number, (long long)cpu_us());
}

static void run(int connections, double warm_s, double seconds)
{
    const struct timeval every = {.tv_usec = TICK_US};
    struct connection *all = calloc((size_t)connections, sizeof(*all));
    struct event *tick = event_new(load.base, -1, EV_PERSIST, on_tick, NULL);
    const int64_t start_ns = ch_now_ns();

    if (!all || !tick || event_add(tick, &every))
        die("start");
    load.from_ns = start_ns + (int64_t)(warm_s * 1e9);
    load.until_ns = load.from_ns + (int64_t)(seconds * 1e9);
    load.next_due_ns = start_ns;
    for (int i = 0; i < connections; i++) {
        all[i].fd = -1;
        all[i].next_idle = load.idle;
        load.idle = &all[i];
    }
    for (int i = 0; i < connections && !load.is_open; i++) {
        load.idle = all[i].next_idle;
        request_send(&all[i], start_ns);
    }
    (void)event_base_dispatch(load.base); // what it did is seen in what is printed
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        (void)fputs("usage: load HOST PORT closed|open CLIENTS|RATE WARM SECONDS FIRST < REQUESTS\n", stderr);
        return EXIT_USAGE;
    }
    load.place = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    load.is_open = strcmp(argv[3], "open") == 0;
    load.rate = atof(argv[4]);
    load.number = atoll(argv[7]);
    load.base = event_base_new();
    if (inet_pton(AF_INET, argv[1], &load.place.sin_addr) != 1 || load.rate <= 0 || !load.base) {
        (void)fputs("load: HOST is an IPv4 address, CLIENTS or RATE above 0\n", stderr);
        return EXIT_USAGE;
    }
    srand48((long)load.number + 1);
    read_requests();
    run(load.is_open ? CONNECTIONS : (int)load.rate, atof(argv[5]), atof(argv[6]));
    print_all();
    return EXIT_SUCCESS;
}
