// SPDX-License-Identifier: Apache-2.0
/**
 * @file listen.h
 * @brief Listening sockets: one a loop on the same port, so that the kernel deals connections to the loops of one
 * process, and never to two processes.
 *
 * The first loop of a process takes the port for itself; the others join it (SO_REUSEPORT). Without that order a second
 * instance that was given a port in use would start and silently take half of the connections.
 */
#ifndef CH_LISTEN_H
#define CH_LISTEN_H

#include "ch/base.h"

/** Where a server listens. */
struct ch_listen {
    const char *address; /**< IPv4 or IPv6, numeric */
    int port;            /**< 0: the kernel picks one */
    bool is_joining;     /**< another loop of this process has the port already */
};

/** Opens a non-blocking socket that listens; the caller owns it. CH_ERR_INVALID: no such address or port can be;
 * CH_ERR_UNAVAILABLE: errno says why, EADDRINUSE when another program has the port. */
CH_MUST_CHECK enum ch_err ch_listen_open(const struct ch_listen *where, int backlog, int *ret_fd, int *ret_port);

#endif
