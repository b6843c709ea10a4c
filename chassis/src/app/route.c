// SPDX-License-Identifier: Apache-2.0
// Routes by table: rows with the same template become one path with its methods; paths stand in a bucket for each
// number of segments, literals first. It must never let a path match by more than its segments say: no dots, no double
// slashes, no case folding.
#include "route.h"

#include <stdlib.h>

struct segment {
    struct ch_str text; // of the template
    bool is_param;
};

struct path {
    const char *template;
    struct segment segments[CH_PATH_SEGMENTS_MAX];
    int segment_count, param_count;
    const struct ch_route *by_method[CH_METHOD_OTHER];
    char allow[CH_ALLOW_TEXT];
    struct path *next; // in its bucket
};

struct ch_route_table {
    const struct ch_route *routes;
    size_t count;
    struct path *paths;
    size_t path_count;
    struct path *buckets[CH_PATH_SEGMENTS_MAX + 1];
};

/* ---- splitting and decoding
 * ------------------------------------------------------------------------------------------- */

// Segments between slashes; the first slash is not one's end. Returns -1 past the maximum.
static int split(struct ch_str path, struct ch_str *ret_segments)
{
    int count = 0;

    if (path.len == 0 || path.data[0] != '/')
        return -1;
    for (size_t at = 1; at <= path.len; count++) {
        const char *slash = memchr(path.data + at, '/', path.len - at);
        const size_t end = slash ? (size_t)(slash - path.data) : path.len;

        if (count == CH_PATH_SEGMENTS_MAX)
            return -1;
        ret_segments[count] = (struct ch_str){path.data + at, end - at};
        at = end + 1;
    }
    return count;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_encoded(struct ch_str in, bool is_plus_space)
{
    return in.len > 0 && (memchr(in.data, '%', in.len) || (is_plus_space && memchr(in.data, '+', in.len)));
}

enum ch_err ch_percent_decode(struct ch_str in, bool is_plus_space, struct ch_arena *arena, struct ch_str *ret_text)
{
    struct ch_str out = in;

    if (is_encoded(in, is_plus_space)) {
        char *to = ch_arena_alloc(arena, in.len);

        if (!to)
            return CH_ERR_NO_MEMORY;
        out = (struct ch_str){to, 0};
        for (size_t i = 0; i < in.len; i++) {
            char c = in.data[i];

            if (c == '%') {
                int high = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
                int low = high >= 0 ? hex_digit(in.data[i + 2]) : -1;

                if (low < 0)
                    return CH_ERR_BAD_SYNTAX;
                c = (char)(high << 4 | low);
                i += 2;
            } else if (c == '+' && is_plus_space) {
                c = ' ';
            }
            to[out.len++] = c;
        }
    }
    if (!ch_utf8_is_valid(out)) // refuses NUL too
        return CH_ERR_BAD_SYNTAX;
    *ret_text = out;
    return CH_OK;
}

/* ---- building
 * --------------------------------------------------------------------------------------------------------- */

static bool path_init(struct path *path, const char *template)
{
    struct ch_str texts[CH_PATH_SEGMENTS_MAX];

    path->template = template;
    path->segment_count = split(ch_str_of(template), texts);
    for (int i = 0; i < path->segment_count; i++) {
        struct segment *segment = &path->segments[i];

        segment->text = texts[i];
        segment->is_param = texts[i].len > 2 && texts[i].data[0] == '{';
        path->param_count += segment->is_param;
    }
    return path->segment_count > 0 && path->param_count <= CH_PARAMS_MAX;
}

// The same shape: what matches one matches the other.
static bool is_same_shape(const struct path *a, const struct path *b)
{
    if (a->segment_count != b->segment_count)
        return false;
    for (int i = 0; i < a->segment_count; i++)
        if (a->segments[i].is_param != b->segments[i].is_param ||
            (!a->segments[i].is_param && !ch_str_eq(a->segments[i].text, b->segments[i].text)))
            return false;
    return true;
}

// Is the first place where one is a literal and the other a parameter a literal in `a`?
static bool goes_before(const struct path *a, const struct path *b)
{
    for (int i = 0; i < a->segment_count; i++)
        if (a->segments[i].is_param != b->segments[i].is_param)
            return !a->segments[i].is_param;
    return false;
}

static void path_insert(struct ch_route_table *table, struct path *path)
{
    struct path **at = &table->buckets[path->segment_count];

    while (*at && !goes_before(path, *at))
        at = &(*at)->next;
    path->next = *at;
    *at = path;
}

static bool route_add(struct ch_route_table *table, const struct ch_route *route)
{
    struct path *path = &table->paths[table->path_count];

    if (route->method == 0 || route->method >= CH_METHOD_OTHER || !path_init(path, route->path))
        return false;
    for (struct path *other = table->buckets[path->segment_count]; other; other = other->next) {
        if (!is_same_shape(other, path))
            continue;
        if (strcmp(other->template, path->template) != 0 || other->by_method[route->method])
            return false;
        *path = (struct path){0};
        other->by_method[route->method] = route;
        return true;
    }
    path->by_method[route->method] = route;
    path_insert(table, path);
    table->path_count++;
    return true;
}

static void allow_write(struct path *path)
{
    static const enum ch_http_method order[] = {CH_GET, CH_HEAD, CH_POST, CH_PUT, CH_PATCH, CH_DELETE};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const bool is_there = path->by_method[order[i]] || (order[i] == CH_HEAD && path->by_method[CH_GET]);

        if (is_there) {
            strcat(path->allow, ch_http_method_name(order[i])); // all names together fit in CH_ALLOW_TEXT
            strcat(path->allow, ", ");
        }
    }
    strcat(path->allow, "OPTIONS");
}

enum ch_err ch_route_table_new(const struct ch_route *routes, struct ch_route_table **ret_table)
{
    struct ch_route_table *table = calloc(1, sizeof(*table));

    if (!table)
        return CH_ERR_NO_MEMORY;
    table->routes = routes;
    while (routes && routes[table->count].path)
        table->count++;
    table->paths = calloc(table->count + 1, sizeof(*table->paths));
    for (size_t i = 0; table->paths && i < table->count; i++) {
        if (!route_add(table, &routes[i])) {
            ch_log(CH_LOG_ERROR, NULL, "route.refused", CH_LS("path", routes[i].path));
            ch_route_table_free(table);
            return CH_ERR_INTERNAL;
        }
    }
    for (size_t i = 0; table->paths && i < table->path_count; i++)
        allow_write(&table->paths[i]);
    if (!table->paths) {
        ch_route_table_free(table);
        return CH_ERR_NO_MEMORY;
    }
    *ret_table = table;
    return CH_OK;
}

void ch_route_table_free(struct ch_route_table *table)
{
    if (!table)
        return;
    free(table->paths);
    free(table);
}

size_t ch_route_table_count(const struct ch_route_table *table)
{
    return table->count;
}

const struct ch_route *ch_route_rows(const struct ch_route_table *table)
{
    return table->routes;
}

size_t ch_route_index(const struct ch_route_table *table, const struct ch_route *route)
{
    return (size_t)(route - table->routes);
}

/* ---- finding
 * ---------------------------------------------------------------------------------------------------------- */

static bool path_matches(const struct path *path, const struct ch_str *segments)
{
    for (int i = 0; i < path->segment_count; i++) {
        const struct segment *segment = &path->segments[i];

        if (segment->is_param ? segments[i].len == 0 : !ch_str_eq(segment->text, segments[i]))
            return false;
    }
    return true;
}

static void take_params(const struct path *path, const struct ch_str *segments, struct ch_str *ret_params)
{
    for (int i = 0, param = 0; i < path->segment_count; i++)
        if (path->segments[i].is_param)
            ret_params[param++] = segments[i];
}

static enum ch_err read_path(struct ch_str path, struct ch_arena *arena, struct ch_str *ret_segments, int *ret_count)
{
    const int count = split(path, ret_segments);

    if (count < 0)
        return CH_ERR_NOT_FOUND;
    for (int i = 0; i < count; i++) {
        enum ch_err err = ch_percent_decode(ret_segments[i], false, arena, &ret_segments[i]);
        if (err)
            return err;
    }
    *ret_count = count;
    return CH_OK;
}

enum ch_err ch_route_find(const struct ch_route_table *table, enum ch_http_method method, struct ch_str path,
                          struct ch_arena *arena, struct ch_route_match *ret_match)
{
    const enum ch_http_method wanted = method == CH_HEAD ? CH_GET : method;
    struct ch_str segments[CH_PATH_SEGMENTS_MAX];
    const struct path *found = NULL;
    int count;

    enum ch_err err = read_path(path, arena, segments, &count);
    if (err)
        return err;
    for (const struct path *at = table->buckets[count]; at; at = at->next) {
        if (!path_matches(at, segments))
            continue;
        if (!found)
            found = at;
        if (wanted >= CH_METHOD_OTHER || !at->by_method[wanted])
            continue;
        *ret_match = (struct ch_route_match){.route = at->by_method[wanted], .path = at->template, .allow = at->allow};
        take_params(at, segments, ret_match->params);
        return CH_OK;
    }
    if (!found)
        return CH_ERR_NOT_FOUND;
    *ret_match = (struct ch_route_match){.path = found->template, .allow = found->allow};
    return CH_ERR_METHOD_NOT_ALLOWED;
}
