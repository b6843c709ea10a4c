// SPDX-License-Identifier: Apache-2.0
/*
 * A private PostgreSQL for a test: own directory, own port, gone at the end, also when the test dies. Run by the user
 * postgres when the test runs as root, for the server refuses root. It must never touch a server that is already there.
 */
#ifndef CH_PG_SERVER_H
#define CH_PG_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct pg_server {
    char bin[128];   /* folder of initdb, postgres, pgbench */
    char dir[64];    /* sockets; data in dir/data */
    char uri[192];   /* superuser, database postgres, by socket */
    int port;        /* the same on 127.0.0.1 */
    bool is_durable; /* fsync: only where speed is measured */
    pid_t pid;
    int log_fd;
};

/* The program as postgres; its output goes to `out_fd`, or nowhere. */
static inline pid_t pg_server_spawn(char *const argv[], int out_fd)
{
    const struct passwd *user = getpwnam("postgres");
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (getuid() == 0 && (!user || setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT); /* the test's end is the server's */
    if (out_fd < 0)
        out_fd = open("/dev/null", O_WRONLY);
    (void)dup2(out_fd, 1);
    (void)dup2(out_fd, 2);
    if (!chdir("/"))
        execv(argv[0], argv);
    _exit(127);
}

static inline int pg_server_wait(pid_t pid)
{
    int status = -1;

    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int pg_server_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = -1;

    if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, len) && !getsockname(fd, (struct sockaddr *)&address, &len))
        port = ntohs(address.sin_port);
    (void)close(fd);
    return port;
}

/* Reads the server's log until it says that it is ready. */
static inline int pg_server_await(struct pg_server *server)
{
    static const char ready[] = "ready to accept connections";
    char text[8192];
    size_t len = 0;
    ssize_t n;

    while ((n = read(server->log_fd, text + len, sizeof(text) - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, ready))
            return 0;
        if (len > sizeof(text) / 2) { /* keep what may be half of the sentence */
            memmove(text, text + len - sizeof(ready), sizeof(ready));
            len = sizeof(ready);
        }
    }
    (void)fprintf(stderr, "postgres did not start:\n%.*s\n", (int)len, text);
    return -1;
}

static inline int pg_server_launch(struct pg_server *server)
{
    char program[160], data[96], port[16], sockets[96];
    char *const argv[] = {program,
                          (char *)"-D",
                          data,
                          (char *)"-p",
                          port,
                          (char *)"-k",
                          server->dir,
                          (char *)"-c",
                          sockets,
                          (char *)"-c",
                          (char *)"log_min_messages=log",
                          (char *)"-c",
                          (char *)"max_connections=60",
                          (char *)"-c",
                          (char *)"shared_buffers=64MB",
                          (char *)"-c",
                          (char *)"jit=off",
                          (char *)"-c",
                          (char *)(server->is_durable ? "fsync=on" : "fsync=off"),
                          NULL};
    int fds[2];

    (void)snprintf(program, sizeof(program), "%s/postgres", server->bin);
    (void)snprintf(data, sizeof(data), "%s/data", server->dir);
    (void)snprintf(port, sizeof(port), "%d", server->port);
    (void)snprintf(sockets, sizeof(sockets), "listen_addresses=127.0.0.1");
    if (pipe2(fds, O_CLOEXEC))
        return -1;
    server->pid = pg_server_spawn(argv, fds[1]);
    (void)close(fds[1]);
    server->log_fd = fds[0];
    return server->pid > 0 ? pg_server_await(server) : -1;
}

static inline int pg_server_start(struct pg_server *server)
{
    const struct passwd *user = getpwnam("postgres");
    char program[160], data[96];
    char *const argv[] = {program,
                          (char *)"-D",
                          data,
                          (char *)"-A",
                          (char *)"trust",
                          (char *)"-U",
                          (char *)"postgres",
                          (char *)"-N",
                          (char *)"-E",
                          (char *)"UTF8",
                          (char *)"--locale=C",
                          NULL};
    glob_t found;

    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found))
        return -1;
    (void)snprintf(server->bin, sizeof(server->bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    (void)snprintf(server->dir, sizeof(server->dir), "/tmp/ch-pg-XXXXXX");
    if (!mkdtemp(server->dir) || (getuid() == 0 && (!user || chown(server->dir, user->pw_uid, user->pw_gid))))
        return -1;
    server->port = pg_server_free_port();
    (void)snprintf(server->uri, sizeof(server->uri), "host=%s port=%d user=postgres dbname=postgres", server->dir,
                   server->port);
    (void)snprintf(program, sizeof(program), "%s/initdb", server->bin);
    (void)snprintf(data, sizeof(data), "%s/data", server->dir);
    if (pg_server_wait(pg_server_spawn(argv, -1)))
        return -1;
    return pg_server_launch(server);
}

/* SIGINT: fast; SIGQUIT: immediate, as in a crash. */
static inline void pg_server_halt(struct pg_server *server, int how)
{
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, how);
    (void)waitpid(server->pid, NULL, 0);
    (void)close(server->log_fd);
    server->pid = 0;
}

static inline void pg_server_end(struct pg_server *server)
{
    char *const argv[] = {(char *)"/bin/rm", (char *)"-rf", server->dir, NULL};

    pg_server_halt(server, SIGQUIT);
    if (strncmp(server->dir, "/tmp/ch-pg-", 11) == 0)
        (void)pg_server_wait(pg_server_spawn(argv, -1));
}

#endif
