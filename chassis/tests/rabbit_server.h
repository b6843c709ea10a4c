// SPDX-License-Identifier: Apache-2.0
/*
 * A private RabbitMQ for a test: own node name, ports, data and epmd, gone at the end, also when the test dies. Plugins
 * are off: it starts in a few seconds. It must never touch a broker that is already there, nor the machine's epmd.
 */
#ifndef CH_RABBIT_SERVER_H
#define CH_RABBIT_SERVER_H

#include "pg_server.h" /* pg_server_free_port, pg_server_wait */

struct rabbit_server {
    char dir[64];
    char uri[96];
    int port, dist_port, epmd_port;
    pid_t pid, epmd_pid;
    int log_fd;
};

static inline pid_t rabbit_server_spawn(char *const argv[], char *const env[], const char *dir, int out_fd)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)setpgid(0, 0); /* its helpers die with it */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (out_fd < 0)
        out_fd = open("/dev/null", O_WRONLY);
    (void)dup2(out_fd, 1);
    (void)dup2(out_fd, 2);
    if (chdir(dir))
        _exit(126);
    execve(argv[0], argv, env);
    _exit(127);
}

/* Reads the broker's log until it says that it is ready; what follows stays in the pipe, which holds enough for a test.
 */
static inline int rabbit_server_await(struct rabbit_server *server)
{
    static const char ready[] = "Server startup complete";
    char text[65536];
    size_t len = 0;
    ssize_t n;

    while ((n = read(server->log_fd, text + len, sizeof(text) - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, ready))
            return 0;
        if (len > sizeof(text) / 2) {
            memmove(text, text + len - sizeof(ready), sizeof(ready));
            len = sizeof(ready);
        }
    }
    (void)fprintf(stderr, "rabbitmq did not start:\n%.*s\n", (int)len, text);
    return -1;
}

static inline int rabbit_server_launch(struct rabbit_server *server)
{
    enum { ENV_COUNT = 14, ENV_SIZE = 192 };
    char values[ENV_COUNT][ENV_SIZE];
    char *env[ENV_COUNT + 3];
    char *const argv[] = {(char *)"/usr/lib/rabbitmq/bin/rabbitmq-server", NULL};
    int n = 0, fds[2];

#define RABBIT_ENV(...) (void)snprintf(values[n], ENV_SIZE, __VA_ARGS__), env[n] = values[n], n++
    RABBIT_ENV("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    RABBIT_ENV("HOME=%s", server->dir);
    RABBIT_ENV("ERL_EPMD_PORT=%d", server->epmd_port);
    RABBIT_ENV("ERL_CRASH_DUMP=%s/crash.dump", server->dir);
    RABBIT_ENV("RABBITMQ_NODENAME=test%d@localhost", server->port);
    RABBIT_ENV("RABBITMQ_DIST_PORT=%d", server->dist_port);
    RABBIT_ENV("RABBITMQ_CONFIG_FILE=%s/rabbitmq.conf", server->dir);
    RABBIT_ENV("RABBITMQ_ENABLED_PLUGINS_FILE=%s/plugins", server->dir);
    RABBIT_ENV("RABBITMQ_MNESIA_BASE=%s/data", server->dir);
    RABBIT_ENV("RABBITMQ_LOG_BASE=%s", server->dir);
    RABBIT_ENV("RABBITMQ_GENERATED_CONFIG_DIR=%s", server->dir);
    RABBIT_ENV("RABBITMQ_PID_FILE=%s/pid", server->dir);
    RABBIT_ENV(
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}");
    RABBIT_ENV("LANG=C.UTF-8");
#undef RABBIT_ENV
    env[n++] = (char *)"RABBITMQ_CONF_ENV_FILE=/dev/null";
    env[n++] = (char *)"RUNNING_UNDER_SYSTEMD=true"; /* the script then becomes the server */
    env[n] = NULL;
    if (pipe2(fds, O_CLOEXEC))
        return -1;
    (void)fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
    server->pid = rabbit_server_spawn(argv, env, server->dir, fds[1]);
    (void)close(fds[1]);
    server->log_fd = fds[0];
    return server->pid > 0 ? rabbit_server_await(server) : -1;
}

static inline int rabbit_server_put(const struct rabbit_server *server, const char *name, const char *text, mode_t mode)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/%s", server->dir, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    const bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    return close(fd) == 0 && is_written ? 0 : -1;
}

static inline int rabbit_server_start(struct rabbit_server *server)
{
    char port[16], config[256];
    char *const argv[] = {(char *)"/usr/bin/epmd", (char *)"-port",     port,
                          (char *)"-address",      (char *)"127.0.0.1", NULL};
    char *const env[] = {NULL};

    (void)snprintf(server->dir, sizeof(server->dir), "/tmp/ch-rabbit-XXXXXX");
    if (!mkdtemp(server->dir))
        return -1;
    server->port = pg_server_free_port();
    server->dist_port = pg_server_free_port();
    server->epmd_port = pg_server_free_port();
    (void)snprintf(server->uri, sizeof(server->uri), "amqp://guest:guest@127.0.0.1:%d/%%2F", server->port);
    (void)snprintf(
        config, sizeof(config),
        "listeners.tcp.local = 127.0.0.1:%d\nlog.console = true\nlog.console.level = info\nlog.file = false\n"
        "log.connection.level = error\nraft.wal_max_size_bytes = 16777216\n",
        server->port);
    (void)snprintf(port, sizeof(port), "%d", server->epmd_port);
    if (rabbit_server_put(server, "rabbitmq.conf", config, 0600) || rabbit_server_put(server, "plugins", "[].", 0600) ||
        rabbit_server_put(server, ".erlang.cookie", "test", 0400))
        return -1;
    server->epmd_pid = rabbit_server_spawn(argv, env, server->dir, -1);
    return rabbit_server_launch(server);
}

/* SIGTERM: in order; SIGKILL: as in a crash. */
static inline void rabbit_server_halt(struct rabbit_server *server, int how)
{
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, how);
    (void)waitpid(server->pid, NULL, 0);
    (void)kill(-server->pid, SIGKILL); /* its helpers, if any is left in the group */
    (void)close(server->log_fd);
    server->pid = 0;
}

static inline void rabbit_server_end(struct rabbit_server *server)
{
    char *const argv[] = {(char *)"/bin/rm", (char *)"-rf", server->dir, NULL};
    char *const env[] = {NULL};

    rabbit_server_halt(server, SIGKILL);
    if (server->epmd_pid > 0) {
        (void)kill(server->epmd_pid, SIGTERM);
        (void)waitpid(server->epmd_pid, NULL, 0);
    }
    if (strncmp(server->dir, "/tmp/ch-rabbit-", 15) == 0)
        (void)pg_server_wait(rabbit_server_spawn(argv, env, "/", -1));
}

#endif
