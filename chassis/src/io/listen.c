// SPDX-License-Identifier: Apache-2.0
// Opens listening sockets: the first of a process alone on its port, the further ones beside it. Exists so that HTTP
// and gRPC do it alike. Must never share a port with another process, whoever's it is.
#include "ch/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static enum ch_err parse_address(const char *text, int port, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;

    memset(ret_address, 0, sizeof(*ret_address));
    if (port < 0 || port > 65535)
        return CH_ERR_INVALID;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_len = sizeof(*v4);
        return CH_OK;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof(*v6);
        return CH_OK;
    }
    return CH_ERR_INVALID;
}

static bool turn_on(int fd, int level, int option)
{
    return setsockopt(fd, level, option, &(int){1}, sizeof(int)) == 0;
}

// Bound and listening without SO_REUSEPORT, a socket conflicts with every other listener on its port; only then is the
// option turned on, for the other loops of this process. In another order two processes could pass each other.
static bool take(int fd, const struct ch_listen *where, const struct sockaddr_storage *address, socklen_t len,
                 int backlog)
{
    return turn_on(fd, SOL_SOCKET, SO_REUSEADDR) && // connections of the last process may still linger
           turn_on(fd, IPPROTO_TCP, TCP_NODELAY) && // accepted sockets inherit it (Linux): one call less for each
           (!where->is_joining || turn_on(fd, SOL_SOCKET, SO_REUSEPORT)) &&
           bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, backlog) == 0 &&
           (where->is_joining || turn_on(fd, SOL_SOCKET, SO_REUSEPORT));
}

enum ch_err ch_listen_open(const struct ch_listen *where, int backlog, int *ret_fd, int *ret_port)
{
    struct sockaddr_storage address;
    socklen_t len;
    enum ch_err err = parse_address(where->address, where->port, &address, &len);

    if (err)
        return err;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return CH_ERR_UNAVAILABLE;
    if (!take(fd, where, &address, len, backlog) || getsockname(fd, (struct sockaddr *)&address, &len)) {
        int reason = errno;

        (void)close(fd);
        errno = reason;
        return CH_ERR_UNAVAILABLE;
    }
    *ret_fd = fd;
    *ret_port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                   : ((struct sockaddr_in6 *)&address)->sin6_port);
    return CH_OK;
}
