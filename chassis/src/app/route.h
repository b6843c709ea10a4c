// SPDX-License-Identifier: Apache-2.0
/**
 * @file route.h
 * @brief Which row of a route table a request means. Built once, then read by every loop.
 *
 * Literal segments go before parameters; a slash at the end is part of the path; nothing is normalised but
 * percent-encoding.
 */
#ifndef CH_APP_ROUTE_H
#define CH_APP_ROUTE_H

#include "ch/app.h"

#define CH_PATH_SEGMENTS_MAX 16
#define CH_ALLOW_TEXT        64

struct ch_route_table;
/** CH_ERR_INTERNAL: the table itself is wrong (the same method and shape twice, too many segments or parameters). */
CH_MUST_CHECK enum ch_err ch_route_table_new(const struct ch_route *routes, struct ch_route_table **ret_table);
void ch_route_table_free(struct ch_route_table *table);
size_t ch_route_table_count(const struct ch_route_table *table);
const struct ch_route *ch_route_rows(const struct ch_route_table *table); /**< as given */
size_t ch_route_index(const struct ch_route_table *table, const struct ch_route *route);

struct ch_route_match {
    const struct ch_route *route; /**< of the method; NULL when the path knows others only */
    const char *path;             /**< the template */
    const char *allow;            /**< "GET, HEAD, OPTIONS" of all methods of that path */
    struct ch_str params[CH_PARAMS_MAX];
};
/** CH_ERR_NOT_FOUND: no such path. CH_ERR_METHOD_NOT_ALLOWED: `path` and `allow` are set. CH_ERR_BAD_SYNTAX: its
 * encoding. HEAD finds the rows of GET; OPTIONS always answers METHOD_NOT_ALLOWED. What had to be decoded lies in the
 * arena. */
CH_MUST_CHECK enum ch_err ch_route_find(const struct ch_route_table *table, enum ch_http_method method,
                                        struct ch_str path, struct ch_arena *arena, struct ch_route_match *ret_match);

/** Percent-decoding (RFC 3986 2.1). The result is `in` itself or lies in the arena. CH_ERR_BAD_SYNTAX: a stray %, NUL,
 * no UTF-8. */
CH_MUST_CHECK enum ch_err ch_percent_decode(struct ch_str in, bool is_plus_space, struct ch_arena *arena,
                                            struct ch_str *ret_text);

#endif
