// SPDX-License-Identifier: Apache-2.0
// From the command line to the exit code: reads the settings, starts the parts in order, waits for a signal, drains,
// stops them in reverse. It must never listen before it knows that its settings are right, and never exit while
// something it answered for is unfinished.
#include "loop_state.h"

#include "ch/mutant.h"
#include "ch/point.h"
#include "events.h"
#include "health.h"
#include "personal_keys.h"
#include "token.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#ifdef CH_MUTANT_BUILD
#define BUILD_NOTE " MUTANT " CH_MUTANT_CHOSEN_NAME ": built with a deliberate bug, must never serve anybody"
#else
#define BUILD_NOTE ""
#endif
#define EXIT_SECOND_SIGNAL   130
#define TOKEN_LOOK_S         5
#define HANG_S               15 /**< more than a drain takes beyond its own limits */
#define TELEMETRY_FLUSH_NS   (2 * INT64_C(1000000000))
#define DEPENDENCIES_WAIT_NS (2 * INT64_C(1000000000))
#define DEPENDENCIES_LOOK_NS 5000000

struct ch_process ch_process;

/* ---- the process itself
 * ------------------------------------------------------------------------------------------------- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); // refused: what we have must do
}

// A core file holds what requests hold: names, addresses, tokens, keys. One byte: no file is that short, and no program
// that the kernel pipes cores to is called at 1 (core(5)), which at 0 it would be. Who must have one raises the soft
// limit of the running process: prlimit --pid PID --core=unlimited:.
static void leave_no_core(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_max == 0)
        return;
    limit.rlim_cur = 1;
    (void)setrlimit(RLIMIT_CORE, &limit); // lowering is never refused
}

// All threads inherit the mask; only the main thread takes these, one at a time.
static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN); // writes tell by themselves
}

static void on_second_signal(int number)
{
    (void)number;
    _exit(EXIT_SECOND_SIGNAL);
}

static void on_alarm(int number)
{
    (void)number;
    _exit(EX_SOFTWARE);
}

static void look_at_files(void)
{
    ch_token_refresh(&ch_process);
    ch_personal_keys_refresh(ch_process.service);
}

static void wait_for_signal(const sigset_t *set)
{
    const struct timespec period = {.tv_sec = TOKEN_LOOK_S};
    const struct sigaction at_once = {.sa_handler = on_second_signal}, hung = {.sa_handler = on_alarm};

    while (sigtimedwait(set, NULL, &period) < 0)
        look_at_files();
    (void)sigaction(SIGTERM, &at_once, NULL); // cannot fail for these
    (void)sigaction(SIGINT, &at_once, NULL);
    (void)sigaction(SIGALRM, &hung, NULL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    // For a loop that computes for ever: the drain asks it, and would wait as long.
    (void)alarm((unsigned)((ch_settings.drain_wait_ms + ch_settings.drain_timeout_ms) / 1000) + HANG_S);
}

/* ---- parts, in the order of their start
 * ----------------------------------------------------------------------------------- */

static int fail(const char *what, enum ch_err err, int code)
{
    ch_log(CH_LOG_ERROR, NULL, "service.start_failed", CH_LS("what", what), CH_LS("error", ch_err_row(err)->code));
    fprintf(stderr, "cannot start: %s (%s)\n", what, ch_err_row(err)->code);
    return code;
}

static int start_telemetry(void)
{
    char host[HOST_NAME_MAX + 1] = "", instance[HOST_NAME_MAX + 16];
    enum ch_log_level level = CH_LOG_INFO;

    (void)gethostname(host, sizeof(host) - 1); // without a name the process id must do
    (void)snprintf(instance, sizeof(instance), "%s-%d", host, (int)getpid());
    const struct ch_obs_options options = {
        .service = ch_process.service->name,
        .version = GW_VERSION,
        .instance = instance,
        .otlp_endpoint = ch_settings.otlp_endpoint,
        .sample_ratio = ch_settings.trace_sample_ratio,
    };

    if (ch_log_level_parse(ch_str_of(ch_settings.log_level), &level) == CH_OK)
        ch_log_set_level(level);
    enum ch_err err = ch_obs_start(&options);
    return err ? fail("telemetry", err, EX_SOFTWARE) : 0;
}

static void register_dependencies(void)
{
    const struct ch_service *service = ch_process.service;

    ch_health_register("loops", true);
    if (ch_service_needs_database(service)) {
        ch_health_register("postgres", true);
        ch_health_register("rabbitmq", false); // orders are taken without it: the outbox keeps their events
    }
    if (ch_service_needs_tokens(service))
        ch_health_register("keys", true);
    if (ch_token_is_wanted())
        ch_health_register("token", false); // without it others are not asked; what is at hand is served
    for (int i = 0; service->peers && service->peers[i].name; i++)
        ch_health_register(service->peers[i].name, false);
}

static int start_keys(void)
{
    const struct ch_keys_options options = {ch_settings.jwt_jwks, ch_settings.jwt_issuer, ch_settings.jwt_audience,
                                            ch_settings.issuer_ca_file};

    if (!ch_service_needs_tokens(ch_process.service))
        return 0;
    enum ch_err err = ch_keys_start(&options, &ch_process.keys);
    if (err != CH_ERR_INVALID)
        return err ? fail("keys", err, EX_SOFTWARE) : 0;
    fprintf(stderr, "JWT_JWKS: must name a JSON Web Key Set with RS256 or ES256 keys\n");
    return EX_CONFIG;
}

/** One table for the loops' pools: the service's statements, then those of outbox and inbox. */
static int make_queries(void)
{
    const struct ch_query *own = ch_process.service->queries, *events;
    size_t own_count = 0, count = 0;

    if (!ch_service_needs_database(ch_process.service))
        return 0;
    events = ch_events_queries(ch_process.service);
    while (own[own_count].name)
        own_count++;
    while (events && events[count].name)
        count++;
    ch_process.queries = calloc(own_count + count + 1, sizeof(*own));
    if (!ch_process.queries)
        return fail("queries", CH_ERR_NO_MEMORY, EX_SOFTWARE);
    memcpy(ch_process.queries, own, own_count * sizeof(*own));
    if (count > 0)
        memcpy(ch_process.queries + own_count, events, count * sizeof(*own));
    ch_process.own_query_first = (int)own_count;
    return 0;
}

static int start_personal_keys(void)
{
    return ch_personal_keys_start(ch_process.service) ? EX_CONFIG : 0;
}

static int make_tables(void)
{
    enum ch_err err = ch_route_table_new(ch_process.service->routes, &ch_process.routes);
    if (!err)
        err = ch_route_table_new(ch_admin_routes, &ch_process.admin_routes);
    return err ? fail("routes", err, EX_SOFTWARE) : make_queries();
}

static int loops_wanted(void)
{
    cpu_set_t cpus;

    if (ch_settings.loops > 0)
        return (int)ch_settings.loops;
    return sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
}

/** All threads at once; then waits until each has made its parts. */
static int start_loops(void)
{
    enum ch_err err = CH_OK;
    int started = 0;
    sem_t ready;

    ch_process.loop_count = loops_wanted();
    ch_process.loops = calloc((size_t)ch_process.loop_count + 1, sizeof(*ch_process.loops));
    if (!ch_process.loops)
        return fail("loops", CH_ERR_NO_MEMORY, EX_SOFTWARE);
    ch_process.admin = &ch_process.loops[ch_process.loop_count];
    sem_init(&ready, 0, 0);
    for (int i = 0; i <= ch_process.loop_count && !err; i++) {
        struct ch_loop_state *state = &ch_process.loops[i];

        state->process = &ch_process;
        state->index = i;
        state->is_admin = state == ch_process.admin;
        state->routes = state->is_admin ? ch_process.admin_routes : ch_process.routes;
        err = ch_loop_state_start(state, &ready);
        started += !err;
    }
    for (int i = 0; i < started; i++)
        while (sem_wait(&ready)) // interrupted: again
            ;
    sem_destroy(&ready);
    for (int i = 0; i < started && !err; i++)
        err = ch_process.loops[i].start_err;
    return err ? fail("loops", err, EX_SOFTWARE) : 0;
}

static int start_events(void)
{
    struct ch_loop **loops = calloc((size_t)ch_process.loop_count, sizeof(struct ch_loop *));
    const struct ch_events_options options = {
        .postgres_uri = ch_settings.postgres_uri,
        .rabbitmq_uri = ch_settings.rabbitmq_uri,
        .loops = loops,
        .loop_count = ch_process.loop_count,
        .statement_timeout_ns = ch_settings.db_timeout_ms * 1000000,
    };

    ch_process.event_loops = loops;
    if (!loops)
        return fail("events", CH_ERR_NO_MEMORY, EX_SOFTWARE);
    for (int i = 0; i < ch_process.loop_count; i++)
        loops[i] = ch_process.loops[i].loop;
    if (!ch_service_needs_database(ch_process.service))
        return 0;
    enum ch_err err = ch_events_start(ch_process.service, &options);
    return err ? fail("events", err, EX_SOFTWARE) : 0;
}

static int fail_to_listen(enum ch_err err, const struct ch_ports *ports, int port)
{
    char what[128];

    if (err != CH_ERR_UNAVAILABLE)
        return fail(ports->refused, err, EX_SOFTWARE);
    if (ports->reason == EADDRINUSE)
        (void)snprintf(what, sizeof(what), "%s: port %d is taken by another program", ports->refused, port);
    else if (ports->reason == EADDRNOTAVAIL)
        (void)snprintf(what, sizeof(what), "LISTEN_ADDRESS: %s is no address of this machine",
                       ch_settings.listen_address);
    else
        (void)snprintf(what, sizeof(what), "%s: cannot listen on port %d, errno %d", ports->refused, port,
                       ports->reason);
    return fail(what, err, EX_OSERR);
}

/** Whoever restarts instances in turn sends requests here as soon as it listens: they would be refused until the
 * database, the keys and the own token are there. Bounded: without them the service listens too, and says by its
 * readiness what is missing. */
static void await_dependencies(void)
{
    const int64_t until_ns = ch_now_ns() + DEPENDENCIES_WAIT_NS;
    const struct timespec pause = {.tv_nsec = DEPENDENCIES_LOOK_NS};

    while (!(ch_health_are_required_up() && ch_health_is_up("token")) && ch_now_ns() < until_ns)
        (void)nanosleep(&pause, NULL); // cut short by a signal: looks sooner
}

static int start_listening(void)
{
    struct ch_ports ports = {.http = (int)ch_settings.http_port, .grpc = (int)ch_settings.grpc_port};
    struct ch_ports admin = {.http = (int)ch_settings.admin_port};
    enum ch_err err = CH_OK;

    err = ch_loop_state_call(ch_process.admin, ch_loop_state_listen, &admin);
    if (err)
        return fail_to_listen(err, &admin, admin.http);
    await_dependencies();
    for (int i = 0; i < ch_process.loop_count && !err; i++)
        err = ch_loop_state_call(&ch_process.loops[i], ch_loop_state_listen, &ports);
    if (err)
        return fail_to_listen(err, &ports, strcmp(ports.refused, "GRPC_PORT") == 0 ? ports.grpc : ports.http);
    ch_metrics_on_scrape(ch_stats_on_scrape, &ch_process);
    ch_health_set_serving(true);
    ch_log(CH_LOG_INFO, NULL, "service.listening", CH_LI("http_port", ports.http), CH_LI("grpc_port", ports.grpc),
           CH_LI("admin_port", admin.http), CH_LI("loops", ch_process.loop_count),
           CH_LI("start_ms", (ch_now_ns() - ch_process.start_ns) / 1000000));
    return 0;
}

static int start_jobs(void)
{
    enum ch_err err = ch_loop_state_call(&ch_process.loops[0], ch_jobs_start, NULL);

    return err ? fail("jobs", err, EX_SOFTWARE) : 0;
}

static int start_token(void)
{
    ch_token_refresh(&ch_process);
    const enum ch_err err = ch_token_fetch_start(&ch_process);
    return err ? fail("token", err, EX_SOFTWARE) : 0;
}

/* ---- the end
 * ------------------------------------------------------------------------------------------------------------ */

/** False: something still runs, so nothing may be freed. */
static bool stop_all(void)
{
    if (!ch_drain_admin(&ch_process))
        return false;
    ch_token_fetch_stop();
    // The admin loop is the last: answers of the others may still be on their way to it.
    for (int i = 0; ch_process.loops && i <= ch_process.loop_count; i++)
        ch_loop_state_stop(&ch_process.loops[i]);
    ch_keys_stop(ch_process.keys);
    ch_obs_stop(ch_now_ns() + TELEMETRY_FLUSH_NS);
    // The loops' states stay until the process is gone: what a service keeps there is its own.
    free(ch_process.event_loops);
    free(ch_process.queries);
    ch_route_table_free(ch_process.routes);
    ch_route_table_free(ch_process.admin_routes);
    return true;
}

/** Started in this order, each must have succeeded before the next. */
static int (*const starts[])(void) = {start_telemetry, start_keys,   start_personal_keys, make_tables, start_loops,
                                      start_token,     start_events, start_listening,     start_jobs};

static int serve(const struct ch_service *service)
{
    int code = 0;
    sigset_t signals;

    ch_process = (struct ch_process){.service = service, .start_ns = ch_now_ns()};
    block_signals(&signals);
    leave_no_core(); // before any secret is read
    raise_descriptor_limit();
    register_dependencies();
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]) && !code; i++) {
        code = starts[i]();
        if (i == 0 && !code)
            ch_config_log(service);
#ifdef CH_MUTANT_BUILD
        if (i == 0 && !code)
            ch_log(CH_LOG_ERROR, NULL, "service.mutant", CH_LS("note", BUILD_NOTE));
#endif
    }
    bool is_stopped = true;
    if (!code) {
        wait_for_signal(&signals);
        is_stopped = ch_drain(&ch_process);
    } else {
        ch_events_stop(ch_now_ns());
    }
    if (!is_stopped || !stop_all()) {
        ch_obs_stop(ch_now_ns() + TELEMETRY_FLUSH_NS);
        _exit(EX_SOFTWARE);
    }
    return code;
}

int ch_service_main(const struct ch_service *service, int argc, char **argv)
{
    const char *option = argc > 1 ? argv[1] : "";

    if (strcmp(option, "--help") == 0) {
        ch_config_help(service, stdout);
        return EX_OK;
    }
    if (strcmp(option, "--version") == 0) {
        printf("%s %s%s\n", service->name, GW_VERSION, BUILD_NOTE);
        return EX_OK;
    }
    if (argc > 2 || (*option && strcmp(option, "--check-config") != 0)) {
        fprintf(stderr, "usage: %s [--help | --version | --check-config]\n", service->name);
        return EX_USAGE;
    }
    if (ch_config_read(service, stderr) > 0)
        return EX_CONFIG;
#ifdef CH_POINTS
    if (ch_point_setup(stderr))
        return EX_CONFIG;
#endif
    if (!*option)
        return serve(service);
    return ch_config_print(service, stdout);
}
