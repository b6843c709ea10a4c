// SPDX-License-Identifier: Apache-2.0
// Tries what no service ever does, and prints a line for each: its name and the errno it was answered with, 0 when it
// came through. Run by tests/hardening/confined.test.mjs inside a container. With a name as argument: that one alone.
// Must never do harm where it comes through.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// A process made by this must not go on as a second one.
static long child_ends(long pid)
{
    if (pid == 0)
        _exit(0);
    return pid;
}

static long try_fork(void)
{
    return child_ends(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static long try_namespace(void)
{
    return child_ends(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static long try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static long try_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long try_mount(void)
{
    return mount("none", "/etc", "tmpfs", 0, NULL);
}

static long try_packet(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long try_vsock(void)
{
    return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static long try_create(void)
{
    return open("/made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_mkdir(void)
{
    return mkdirat(AT_FDCWD, "/made", 0700);
}

static long try_unlink(void)
{
    return unlinkat(AT_FDCWD, "/etc/hosts", 0);
}

static long try_chmod(void)
{
    return fchmodat(AT_FDCWD, "/etc/hosts", 0666, 0);
}

static long try_chroot(void)
{
    return chroot("/etc");
}

static long try_setuid(void)
{
    return syscall(SYS_setuid, 0);
}

static long try_kill(void)
{
    return kill(getpid(), 0);
}

static long try_memfd(void)
{
    return syscall(SYS_memfd_create, "x", 0);
}

static long try_execveat(void)
{
    return syscall(SYS_execveat, AT_FDCWD, "/nothing", NULL, NULL, 0);
}

static long try_ring(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}

static long try_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long try_keyctl(void)
{
    return syscall(SYS_keyctl, 0, -1, 0);
}

static long try_personality(void)
{
    return syscall(SYS_personality, 0xffffffff);
}

static long try_terminal(void)
{
    return syscall(SYS_ioctl, 0, 0x5412, "x"); // TIOCSTI: types for who is at the terminal
}

// Allowed by the filter, since runc itself needs it; but nothing is there to be executed.
static long try_shell(void)
{
    return execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
}

static const struct {
    const char *name;
    long (*go)(void);
} tries[] = {
    {"fork", try_fork},       {"namespace", try_namespace},
    {"unshare", try_unshare}, {"ptrace", try_ptrace},
    {"mount", try_mount},     {"packet", try_packet},
    {"vsock", try_vsock},     {"create", try_create},
    {"mkdir", try_mkdir},     {"unlink", try_unlink},
    {"chmod", try_chmod},     {"chroot", try_chroot},
    {"setuid", try_setuid},   {"kill", try_kill},
    {"memfd", try_memfd},     {"execveat", try_execveat},
    {"ring", try_ring},       {"bpf", try_bpf},
    {"keyctl", try_keyctl},   {"terminal", try_terminal},
    {"shell", try_shell},     {"personality", try_personality},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        if (argc > 1 && strcmp(argv[1], tries[i].name) != 0)
            continue;
        errno = 0;
        long got = tries[i].go();
        printf("%s %d\n", tries[i].name, got < 0 ? errno : 0);
        fflush(stdout);
    }
    return 0;
}
