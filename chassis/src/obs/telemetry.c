// SPDX-License-Identifier: Apache-2.0
// The telemetry thread: takes log lines and finished spans from bounded queues so that no loop ever waits for stdout or
// a collector. One thread, nothing in it blocks: stdout is written only when it takes a piece, transfers run beside it.
// What does not fit is dropped and counted, never waited for. While the thread does not run (start, end, unit tests)
// lines are written directly.

#include "obs_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GATHER_NS ((int64_t)5 * 1000 * 1000) // lines of 5 ms leave together: at most 200 wake-ups a second

struct bytes {
    char *data;
    size_t len;
};

/** Producers fill `fill`; the thread swaps it with `out` and writes that. */
static struct {
    pthread_mutex_t lock;
    bool is_open;
    struct bytes fill;
    /* the thread's own */
    struct bytes out;
    size_t out_done;
    int64_t due_ns; // when to swap; 0: nothing gathers
    bool is_pipe;   // stdout takes pieces of PIPE_BUF without blocking when poll says so
    bool is_stuck;  // stdout took nothing when last asked
} logs = {.lock = PTHREAD_MUTEX_INITIALIZER};

/** Ring of finished spans: [first, first + count). */
static struct {
    pthread_mutex_t lock;
    struct obs_span *ring;
    size_t first, count;
} spans = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
    pthread_t id;
    bool is_running;
    int wake_fd;
    atomic_bool is_stopping;
    int64_t stop_deadline_ns; // written before is_stopping
} thread = {.wake_fd = -1};

static atomic_bool are_spans_on;
static struct obs_identity self;

static const struct ch_metric dropped_metric = {
    "telemetry_dropped_total", CH_COUNTER, "Log lines and spans that were lost.", {"kind"}};
static const char *const drop_names[OBS_DROPS] = {[OBS_DROP_LOG] = "log", [OBS_DROP_SPAN] = "span"};
static _Atomic(struct ch_series *) dropped[OBS_DROPS];

__attribute__((constructor(101))) static void name_at_load(void)
{
    (void)snprintf(self.service, sizeof(self.service), "%s", program_invocation_short_name);
}

const struct obs_identity *obs_identity(void)
{
    return &self;
}

void obs_dropped(enum obs_drop kind, int64_t n)
{
    struct ch_series *series = atomic_load_explicit(&dropped[kind], memory_order_acquire);
    if (!series) {
        series = ch_series_get(&dropped_metric, &drop_names[kind]);
        atomic_store_explicit(&dropped[kind], series, memory_order_release);
    }
    ch_count(series, n);
}

static void wake(void)
{
    const uint64_t one = 1;
    ssize_t done = write(thread.wake_fd, &one, sizeof(one));
    (void)done; // full means that the thread is awake already
}

/* ---- log lines: producers ---- */

/** Whole text to stdout, blocking; a reader that went away raises no signal. */
static void write_directly(const char *text, size_t len)
{
    sigset_t pipe_only, old, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(STDOUT_FILENO, text + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&out, 1, 1000); // whatever it says, write tells the truth
        } else if (errno != EINTR) {
            if (errno == EPIPE && !sigismember(&pending, SIGPIPE))
                (void)sigtimedwait(&pipe_only, NULL, &(struct timespec){0}); // takes back our own signal
            obs_dropped(OBS_DROP_LOG, 1);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void obs_log_put(const char *line, size_t len)
{
    pthread_mutex_lock(&logs.lock);
    if (!logs.is_open) {
        pthread_mutex_unlock(&logs.lock);
        write_directly(line, len);
        return;
    }
    size_t before = logs.fill.len;
    bool is_full = before + len > OBS_LOG_QUEUE_MAX;
    if (!is_full) {
        memcpy(logs.fill.data + before, line, len);
        logs.fill.len = before + len;
    }
    pthread_mutex_unlock(&logs.lock);
    const size_t half = OBS_LOG_QUEUE_MAX / 2;
    if (is_full)
        obs_dropped(OBS_DROP_LOG, 1);
    else if (before == 0 || (before < half && before + len >= half))
        wake();
}

/* ---- log lines: the thread ---- */

static void drop_rest_of_out(void)
{
    int64_t lines = 0;
    for (size_t i = logs.out_done; i < logs.out.len; i++)
        lines += logs.out.data[i] == '\n';
    obs_dropped(OBS_DROP_LOG, lines);
    logs.out.len = logs.out_done = 0;
}

/** Bytes of the whole lines that one write may take. */
static size_t next_piece(void)
{
    const char *from = logs.out.data + logs.out_done;
    size_t left = logs.out.len - logs.out_done;
    if (!logs.is_pipe || left <= OBS_LINE_MAX)
        return left;
    return (size_t)((const char *)memrchr(from, '\n', OBS_LINE_MAX) + 1 - from);
}

/** Writes what stdout takes now. */
static void logs_write(void)
{
    logs.is_stuck = false;
    while (logs.out_done < logs.out.len) {
        struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
        if (logs.is_pipe && poll(&out, 1, 0) == 0) {
            logs.is_stuck = true;
            return;
        }
        ssize_t n = write(STDOUT_FILENO, logs.out.data + logs.out_done, next_piece());
        if (n > 0) {
            logs.out_done += (size_t)n;
        } else if (errno == EAGAIN) {
            logs.is_stuck = true;
            return;
        } else if (errno != EINTR) {
            drop_rest_of_out();
        }
    }
    logs.out.len = logs.out_done = 0;
}

/** Swaps the buffers when it is time. True when there is something to write. */
static bool logs_swap(int64_t now_ns, bool is_stopping)
{
    pthread_mutex_lock(&logs.lock);
    if (logs.fill.len == 0)
        logs.due_ns = 0;
    else if (logs.due_ns == 0)
        logs.due_ns = now_ns + GATHER_NS;
    bool is_due =
        logs.fill.len != 0 && (is_stopping || now_ns >= logs.due_ns || logs.fill.len >= OBS_LOG_QUEUE_MAX / 2);
    if (is_due) {
        struct bytes full = logs.fill;
        logs.fill = (struct bytes){logs.out.data, 0};
        logs.out = full;
        logs.due_ns = 0;
    }
    pthread_mutex_unlock(&logs.lock);
    return is_due;
}

/** Returns when it wants to be called again at the latest. */
static int64_t logs_step(int64_t now_ns, bool is_stopping)
{
    do {
        logs_write();
        if (logs.is_stuck)
            return INT64_MAX; // poll tells when stdout takes more
    } while (logs_swap(now_ns, is_stopping));
    return logs.due_ns ? logs.due_ns : INT64_MAX;
}

/** From here lines are written directly. False: there came one more meanwhile, unless `is_late`: then it is dropped. */
static bool logs_close(bool is_late)
{
    if (is_late)
        drop_rest_of_out();
    pthread_mutex_lock(&logs.lock);
    if (is_late) {
        struct bytes full = logs.fill;
        logs.fill = (struct bytes){logs.out.data, 0};
        logs.out = full;
    }
    bool is_closed = logs.fill.len == 0;
    logs.is_open = !is_closed;
    pthread_mutex_unlock(&logs.lock);
    if (is_late)
        drop_rest_of_out();
    return is_closed;
}

/* ---- spans ---- */

bool obs_spans_are_on(void)
{
    return atomic_load_explicit(&are_spans_on, memory_order_relaxed);
}

struct obs_span *obs_span_claim(void)
{
    pthread_mutex_lock(&spans.lock);
    if (spans.ring && spans.count < OBS_SPANS_MAX)
        return &spans.ring[(spans.first + spans.count) % OBS_SPANS_MAX];
    pthread_mutex_unlock(&spans.lock);
    obs_dropped(OBS_DROP_SPAN, 1);
    return NULL;
}

void obs_span_commit(void)
{
    size_t count = ++spans.count;
    pthread_mutex_unlock(&spans.lock);
    if (count == 1 || count == OBS_BATCH_SPANS)
        wake();
}

size_t obs_spans_waiting(void)
{
    pthread_mutex_lock(&spans.lock);
    size_t count = spans.count;
    pthread_mutex_unlock(&spans.lock);
    return count;
}

const struct obs_span *obs_span_peek(size_t index)
{
    return &spans.ring[(spans.first + index) % OBS_SPANS_MAX]; // only this thread moves `first`
}

void obs_spans_release(size_t count)
{
    pthread_mutex_lock(&spans.lock);
    spans.first = (spans.first + count) % OBS_SPANS_MAX;
    spans.count -= count;
    pthread_mutex_unlock(&spans.lock);
}

/* ---- the thread ---- */

static void wait_until(int64_t due_ns)
{
    struct pollfd fds[] = {{.fd = thread.wake_fd, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = POLLOUT}};
    int64_t wait_ms = due_ns == INT64_MAX ? 60000 : (due_ns - ch_now_ns() + 999999) / 1000000;
    int timeout_ms = wait_ms < 0 ? 0 : wait_ms > 60000 ? 60000 : (int)wait_ms;
    otlp_poll(fds, logs.is_stuck ? 2 : 1, timeout_ms);
    if (fds[0].revents & POLLIN) {
        uint64_t count;
        ssize_t done = read(thread.wake_fd, &count, sizeof(count));
        (void)done; // only empties it
    }
}

static void *telemetry_main(void *arg)
{
    (void)arg;
    (void)pthread_setname_np(pthread_self(), "telemetry"); // only for ps
    for (;;) {
        bool is_stopping = atomic_load_explicit(&thread.is_stopping, memory_order_acquire);
        int64_t now_ns = ch_now_ns();
        int64_t due_ns = logs_step(now_ns, is_stopping);
        int64_t otlp_due_ns = otlp_step(now_ns, is_stopping);
        if (otlp_due_ns < due_ns)
            due_ns = otlp_due_ns;
        if (is_stopping) {
            bool is_late = now_ns >= thread.stop_deadline_ns;
            bool is_done = otlp_is_idle() && !logs.is_stuck;
            if ((is_done || is_late) && logs_close(is_late))
                break;
            if (is_done)
                continue;
            if (thread.stop_deadline_ns < due_ns)
                due_ns = thread.stop_deadline_ns;
        }
        wait_until(due_ns);
    }
    otlp_give_up();
    return NULL;
}

static void release_all(void)
{
    pthread_mutex_lock(&logs.lock);
    logs.is_open = false;
    free(logs.fill.data);
    free(logs.out.data);
    logs.fill = logs.out = (struct bytes){0};
    logs.out_done = 0;
    logs.due_ns = 0;
    pthread_mutex_unlock(&logs.lock);
    pthread_mutex_lock(&spans.lock);
    int64_t late = (int64_t)spans.count; // ended while the thread did
    free(spans.ring);
    spans.ring = NULL;
    spans.first = spans.count = 0;
    pthread_mutex_unlock(&spans.lock);
    obs_dropped(OBS_DROP_SPAN, late);
    otlp_close();
}

static enum ch_err start_thread(void)
{
    sigset_t all, old;
    sigfillset(&all); // signals are for others; SIGPIPE most of all
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failure = pthread_create(&thread.id, NULL, telemetry_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failure)
        return CH_ERR_LIMIT;
    return CH_OK;
}

static enum ch_err open_queues(const char *endpoint)
{
    struct stat out;
    logs.fill.data = malloc(OBS_LOG_QUEUE_MAX);
    logs.out.data = malloc(OBS_LOG_QUEUE_MAX);
    if (thread.wake_fd < 0) // kept for the life of the process: a late producer may still wake it
        thread.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!logs.fill.data || !logs.out.data || thread.wake_fd < 0)
        return CH_ERR_NO_MEMORY;
    logs.is_pipe = fstat(STDOUT_FILENO, &out) == 0 && (S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode));
    logs.is_stuck = false;
    enum ch_err err = otlp_open(endpoint);
    if (err || !otlp_is_on())
        return err;
    spans.ring = calloc(OBS_SPANS_MAX, sizeof(*spans.ring));
    return spans.ring ? CH_OK : CH_ERR_NO_MEMORY;
}

enum ch_err ch_obs_start(const struct ch_obs_options *options)
{
    if (thread.is_running)
        return CH_ERR_CONFLICT;
    (void)snprintf(self.service, sizeof(self.service), "%s", options->service ? options->service : "");
    (void)snprintf(self.version, sizeof(self.version), "%s", options->version ? options->version : "");
    (void)snprintf(self.instance, sizeof(self.instance), "%s", options->instance ? options->instance : "");
    self.sample_ratio = options->sample_ratio;
    obs_log_identity_changed();
    for (int i = 0; i < OBS_DROPS; i++)
        obs_dropped((enum obs_drop)i, 0); // shows as 0 from the first scrape

    atomic_store(&thread.is_stopping, false);
    enum ch_err err = open_queues(options->otlp_endpoint);
    if (!err) {
        logs.is_open = true;
        err = start_thread();
    }
    if (err) {
        release_all();
        return err;
    }
    atomic_store(&are_spans_on, otlp_is_on());
    thread.is_running = true;
    return CH_OK;
}

void ch_obs_stop(int64_t deadline_ns)
{
    if (!thread.is_running)
        return;
    atomic_store(&are_spans_on, false);
    thread.stop_deadline_ns = deadline_ns;
    atomic_store_explicit(&thread.is_stopping, true, memory_order_release);
    wake();
    pthread_join(thread.id, NULL);
    thread.is_running = false;
    release_all();
}
