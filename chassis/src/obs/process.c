// SPDX-License-Identifier: Apache-2.0
// Reads the few numbers of /proc/self that a scrape shows. Only /proc: memory of the kernel, no disk, so it may run on
// a loop.

#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static bool file_read(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, ret_text, size - 1);
    close(fd);
    ret_text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

int64_t process_cpu_ns(void)
{
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
        return 0;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

int64_t process_resident_bytes(void)
{
    char text[128];
    long long size, resident;
    if (!file_read("/proc/self/statm", text, sizeof(text)) || sscanf(text, "%lld %lld", &size, &resident) != 2)
        return 0;
    return resident * sysconf(_SC_PAGESIZE);
}

int64_t process_open_fds(void)
{
    // Not opendir: ThreadSanitizer sees closedir only, and takes the number's last use by another thread for a race.
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int64_t count = -1; // the directory's own
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

int64_t process_max_fds(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int64_t)limit.rlim_cur : 0;
}

/** Found once, so that it never wavers: age of the process in the kernel's clock, taken off the wall clock. Field 22 of
 * /proc/self/stat; names may hold spaces and ')'. */
int64_t process_start_ns(void)
{
    static _Atomic int64_t known_ns;
    char text[1024];
    struct timespec up;
    if (known_ns)
        return known_ns;
    if (!file_read("/proc/self/stat", text, sizeof(text)) || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return 0;
    char *field = strrchr(text, ')'); // ends field 2
    for (int i = 2; i < 22 && field; i++)
        field = strchr(field + 1, ' ');
    if (!field)
        return 0;
    int64_t started_ns = strtoll(field, NULL, 10) * (1000000000 / sysconf(_SC_CLK_TCK));
    int64_t age_ns = (int64_t)up.tv_sec * 1000000000 + up.tv_nsec - started_ns;
    known_ns = (ch_wall_us() * 1000 - age_ns) / 10000000 * 10000000; // the clock tick: 10 ms
    return known_ns;
}
