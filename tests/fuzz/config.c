// SPDX-License-Identifier: Apache-2.0
// Settings: the input is lines, each the value of a row of a table. A refused one is named on a line of its own, a
// taken one is within its row, and nothing that is shown holds a secret.
#include "fuzz.h"

#include "../../chassis/src/app/settings.h"
#include "ch/amqp.h"
#include "ch/resolve.h"

#include <libpq-fe.h>
#include <math.h>

#define SECRET "q7Zk9"

struct sample {
    const char *text, *secret, *postgres, *rabbitmq;
    int64_t count;
    double ratio;
    bool is_on;
};

static const struct ch_config_row rows[] = {
    {"T_TEXT", CH_CONFIG_STR, offsetof(struct sample, text), "some", 2, 5, "a text", 0},
    {"T_COUNT", CH_CONFIG_INT, offsetof(struct sample, count), "3", 1, 10, "a count", 0},
    {"T_RATIO", CH_CONFIG_DOUBLE, offsetof(struct sample, ratio), "0.5", 0, 1, "a ratio", 0},
    {"T_ON", CH_CONFIG_BOOL, offsetof(struct sample, is_on), "true", 0, 0, "a switch", 0},
    {"T_SECRET", CH_CONFIG_STR, offsetof(struct sample, secret), NULL, 4, 9, "a secret", CH_CONFIG_SECRET},
    {"T_POSTGRES", CH_CONFIG_STR, offsetof(struct sample, postgres), NULL, 0, 200, "a URI", CH_CONFIG_SECRET_IN_URI},
    {"T_RABBITMQ", CH_CONFIG_STR, offsetof(struct sample, rabbitmq), NULL, 0, 200, "a URI", CH_CONFIG_SECRET_IN_URI},
    {0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]) - 1)

static char values[ROWS][512];

static char *getter(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return values[i];
    return NULL;
}

static void check_values(const struct sample *sample)
{
    MUST(strlen(sample->text) >= 2 && strlen(sample->text) <= 5);
    MUST(sample->count >= 1 && sample->count <= 10);
    MUST(isfinite(sample->ratio) && sample->ratio >= 0 && sample->ratio <= 1);
    MUST(!*sample->secret || (strlen(sample->secret) >= 4 && strlen(sample->secret) <= 9));
}

static void check_shown(const struct sample *sample)
{
    char text[4096];

    for (size_t i = 0; i < ROWS; i++) {
        const char *shown = ch_config_shown(&rows[i], sample, text, sizeof(text));

        MUST(strlen(shown) < sizeof(text));
        MUST(!(rows[i].flags & CH_CONFIG_SECRET) || !*shown || strcmp(shown, "***") == 0);
    }
}

// The password of a URI is shown by nobody, wherever a URI may have it, whatever stands around it.
static void check_password(const char *around)
{
    static const struct ch_config_row *const uri = &rows[ROWS - 1];
    static const struct {
        const char *before, *behind;
    } forms[] = {
        {"amqp://user:" SECRET, "@host/vhost"},
        {"postgresql://u:", SECRET "@host:5432/db?a=b"},
        {"postgresql://host/", "?password=" SECRET},
        {"amqp://u:" SECRET "@host/", ""},
    };
    struct sample sample = {0};
    char value[1024], text[4096];

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !strstr(around, SECRET); i++) {
        (void)snprintf(value, sizeof(value), "%s%s%s", forms[i].before, around, forms[i].behind);
        sample.rabbitmq = value;
        MUST(!strstr(ch_config_shown(uri, &sample, text, sizeof(text)), SECRET));
    }
}

static void check_addresses(const char *text)
{
    struct ch_str rest = ch_str_of(text), one;
    char host[256];
    int port;
    bool is_valid = ch_addresses_are_valid(text);

    for (ch_addresses_next(&rest, &one); is_valid && one.data; ch_addresses_next(&rest, &one)) {
        MUST(ch_address_split(one, host, &port) == CH_OK && port > 0 && port < 65536 && *host);
        if (!rest.data)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ch_str rest = {(const char *)data, len};
    struct sample sample = {0};
    char *text = NULL;
    size_t size = 0;
    int lines = 0;

    for (size_t i = 0; i < ROWS; i++) {
        const struct ch_str value = fuzz_cut(&rest, '\n');

        (void)snprintf(values[i], sizeof(values[i]), "%.*s", CH_STR_ARG(value));
    }
    FILE *errors = open_memstream(&text, &size);
    MUST(errors);
    const int faults = ch_config_read_rows(rows, &sample, getter, errors);
    MUST(fclose(errors) == 0);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    MUST(faults == lines);
    if (faults == 0) {
        check_values(&sample);
        check_shown(&sample);
    }
    check_password(values[ROWS - 1]);
    check_addresses(values[ROWS - 1]);
    (void)ch_amqp_check_uri(values[ROWS - 1]);
    free(text);
    return 0;
}
