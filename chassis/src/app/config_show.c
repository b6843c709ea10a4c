// SPDX-License-Identifier: Apache-2.0
// Settings as they may be shown: --help, --check-config, the admin port, the log event at the start. From the same rows
// that are read. It must never print a secret.
#include "settings.h"

#include <inttypes.h>
#include <string.h>

#define VALUE_MAX 4096 /**< twice the longest value: hiding may lengthen it */
#define DUMP_MAX  96   /**< rows in the log event */

// What stands between the first : after :// and the last @ of all (rather too much than too little), and password=
// among the parameters.
static void hide_password(char *text)
{
    char *host = strstr(text, "://"), *end, *at, *colon;

    if (host) {
        host += 3;
        at = strrchr(host, '@');
        colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
        if (colon) {
            memmove(colon + 4, at, strlen(at) + 1);
            memcpy(colon, ":***", 4);
        }
    }
    for (char *name = strcasestr(text, "password="); name; name = strcasestr(name, "password=")) {
        name += strlen("password=");
        end = name + strcspn(name, "& ");
        memmove(name + 3, end, strlen(end) + 1);
        memcpy(name, "***", 3);
    }
}

const char *ch_config_shown(const struct ch_config_row *row, const void *config, char *text, size_t size)
{
    const void *member = (const char *)config + row->offset;

    if (row->type == CH_CONFIG_INT) {
        (void)snprintf(text, size, "%" PRId64, *(const int64_t *)member);
    } else if (row->type == CH_CONFIG_DOUBLE) {
        (void)snprintf(text, size, "%.15g", *(const double *)member);
    } else if (row->type == CH_CONFIG_BOOL) {
        return *(const bool *)member ? "true" : "false";
    } else {
        const char *value = *(const char *const *)member;

        if (!value || !*value)
            return "";
        if (row->flags & CH_CONFIG_SECRET)
            return "***";
        // Half of it: hiding lengthens by at most 3 bytes for 9 of "password=".
        (void)snprintf(text, size / 2, "%s", value);
        if (row->flags & CH_CONFIG_SECRET_IN_URI)
            hide_password(text);
    }
    return text;
}

/** Calls `show` with both tables' rows, the chassis's first. */
static void for_each_row(const struct ch_service *service,
                         void (*show)(void *arg, const struct ch_config_row *row, const void *config), void *arg)
{
    for (const struct ch_config_row *row = ch_settings_rows; row->name; row++)
        show(arg, row, &ch_settings);
    for (const struct ch_config_row *row = service->config_rows; row && row->name; row++)
        show(arg, row, service->config);
}

static void write_row(void *arg, const struct ch_config_row *row, const void *config)
{
    char text[VALUE_MAX];

    ch_jw_kcstr(arg, row->name, ch_config_shown(row, config, text, sizeof(text)));
}

void ch_config_write_json(struct ch_jw *jw, const struct ch_service *service)
{
    ch_jw_object(jw);
    for_each_row(service, write_row, jw);
    ch_jw_object_end(jw);
}

static void print_row(void *arg, const struct ch_config_row *row, const void *config)
{
    char text[VALUE_MAX];

    fprintf(arg, "%s=%s\n", row->name, ch_config_shown(row, config, text, sizeof(text)));
}

int ch_config_print(const struct ch_service *service, FILE *out)
{
    for_each_row(service, print_row, out);
    return fflush(out) ? 1 : 0;
}

struct dump {
    struct ch_arena *arena;
    struct ch_log_field fields[DUMP_MAX + 1];
    int count;
};

static void dump_row(void *arg, const struct ch_config_row *row, const void *config)
{
    struct dump *dump = arg;
    char text[VALUE_MAX];

    if (dump->count < DUMP_MAX)
        dump->fields[dump->count++] =
            CH_LS(row->name, ch_arena_strdup(dump->arena, ch_str_of(ch_config_shown(row, config, text, sizeof(text)))));
}

void ch_config_log(const struct ch_service *service)
{
    struct dump dump = {.arena = ch_arena_new(256 * 1024)};

    if (!dump.arena)
        return;
    for_each_row(service, dump_row, &dump);
    ch_log_write(CH_LOG_INFO, NULL, "service.config", dump.fields);
    ch_arena_free(dump.arena);
}

static void help_row(void *arg, const struct ch_config_row *row, const void *config)
{
    char rule[128];

    (void)config; // the help shows what a row allows, not what it has
    ch_config_rule_text(row, rule, sizeof(rule));
    fprintf(arg, "  %s\n      %s\n      %s", row->name, row->help, rule);
    if (row->flags & CH_CONFIG_REQUIRED)
        fprintf(arg, "; required");
    if (row->fallback)
        fprintf(arg, "; default %s", row->fallback);
    fprintf(arg, "\n");
}

void ch_config_help(const struct ch_service *service, FILE *out)
{
    int routes = 0, rpcs = 0;

    for (const struct ch_route *route = service->routes; route && route->path; route++)
        routes++;
    for (const struct ch_rpc *rpc = service->rpcs; rpc && rpc->path; rpc++)
        rpcs++;
    fprintf(out, "%s: %s\n\n%d routes over HTTP, %d methods over gRPC\n\n", service->name,
            service->summary ? service->summary : "", routes, rpcs);
    fprintf(out, "usage: %s [--help | --version | --check-config]\n\nEnvironment (empty counts as not set):\n",
            service->name);
    for_each_row(service, help_row, out);
}
