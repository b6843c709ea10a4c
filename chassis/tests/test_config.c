// SPDX-License-Identifier: Apache-2.0
// Settings from the environment: what is taken, what is refused and how that is told, what is never shown.
#include "cases.h"

#include "../src/app/settings.h"

#include <stdio.h>
#include <stdlib.h>

struct sample {
    const char *text, *needed, *secret, *uri;
    int64_t count;
    double ratio;
    bool is_on;
};

static const struct ch_config_row rows[] = {
    {"T_TEXT", CH_CONFIG_STR, offsetof(struct sample, text), "some", 2, 5, "a text", 0},
    {"T_NEEDED", CH_CONFIG_STR, offsetof(struct sample, needed), NULL, 1, 9, "a needed text", CH_CONFIG_REQUIRED},
    {"T_SECRET", CH_CONFIG_STR, offsetof(struct sample, secret), NULL, 4, 9, "a secret", CH_CONFIG_SECRET},
    {"T_URI", CH_CONFIG_STR, offsetof(struct sample, uri), NULL, 0, 0, "a URI", CH_CONFIG_SECRET_IN_URI},
    {"T_COUNT", CH_CONFIG_INT, offsetof(struct sample, count), "3", 1, 10, "a count", 0},
    {"T_RATIO", CH_CONFIG_DOUBLE, offsetof(struct sample, ratio), "0.5", 0, 1, "a ratio", 0},
    {"T_ON", CH_CONFIG_BOOL, offsetof(struct sample, is_on), "true", 0, 0, "a switch", 0},
    {0},
};

static const char *given_name, *given_value;

static char *getter(const char *name)
{
    if (given_name && strcmp(name, given_name) == 0)
        return (char *)(uintptr_t)given_value;
    return strcmp(name, "T_NEEDED") == 0 ? (char *)(uintptr_t) "here" : NULL;
}

/** Number of faults; *ret_text (to be freed) is what was written about them. */
static int read_with(const char *name, const char *value, struct sample *ret_sample, char **ret_text)
{
    size_t size;
    FILE *errors = open_memstream(ret_text, &size);
    int faults;

    given_name = name;
    given_value = value;
    *ret_sample = (struct sample){0};
    faults = ch_config_read_rows(rows, ret_sample, getter, errors);
    assert_int_equal(fclose(errors), 0);
    return faults;
}

static void test_config__takes_defaults(void **state)
{
    struct sample sample;
    char *text;

    (void)state;
    assert_int_equal(read_with(NULL, NULL, &sample, &text), 0);
    assert_string_equal(sample.text, "some");
    assert_string_equal(sample.secret, "");
    assert_int_equal(sample.count, 3);
    assert_true(sample.ratio == 0.5);
    assert_true(sample.is_on);
    assert_string_equal(text, "");
    free(text);
}

static const struct {
    const char *name, *value, *text;
} refused[] = {
    {"T_COUNT", "0", "T_COUNT: must be an integer from 1 to 10, not \"0\"\n"},
    {"T_COUNT", "11", "T_COUNT: must be an integer from 1 to 10, not \"11\"\n"},
    {"T_COUNT", "3.5", "T_COUNT: must be an integer from 1 to 10, not \"3.5\"\n"},
    {"T_COUNT", "3 ", "T_COUNT: must be an integer from 1 to 10, not \"3 \"\n"},
    {"T_RATIO", "1.01", "T_RATIO: must be a number from 0 to 1, not \"1.01\"\n"},
    {"T_RATIO", "nan", "T_RATIO: must be a number from 0 to 1, not \"nan\"\n"},
    {"T_ON", "yes", "T_ON: must be true or false, not \"yes\"\n"},
    {"T_TEXT", "x", "T_TEXT: must be text of 2 to 5 bytes\n"},
    {"T_SECRET", "abc", "T_SECRET: must be text of 4 to 9 bytes\n"},
    {"T_NEEDED", "", "T_NEEDED: is required: a needed text\n"},
};

static void test_config__names_variable_and_rule(void **state)
{
    (void)state;
    FOR_EACH(it, refused)
    {
        struct sample sample;
        char *text;

        CHECK(it->name, read_with(it->name, it->value, &sample, &text) == 1);
        CHECK_TEXT(it->name, text, it->text);
        free(text);
    }
}

static const struct {
    const char *name, *value, *shown;
} shown[] = {
    {"no password", "amqp://host:5672/%2f", "amqp://host:5672/%2f"},
    {"password", "postgresql://app:s3cret@db:5432/gwasuwon?sslmode=disable",
     "postgresql://app:***@db:5432/gwasuwon?sslmode=disable"},
    {"short password", "amqp://u:p@h/", "amqp://u:***@h/"},
    {"slash in it", "amqp://u:p/w@h/", "amqp://u:***@h/"},
    {"at in it", "amqp://u:p@w@h/", "amqp://u:***@h/"},
    {"as parameter", "postgresql://db/x?user=a&password=s3cret&sslmode=disable",
     "postgresql://db/x?user=a&password=***&sslmode=disable"},
    {"empty parameter", "postgresql://db/x?password=", "postgresql://db/x?password=***"},
    {"empty", "", ""},
};

static void test_config__hides_passwords_in_uris(void **state)
{
    const struct ch_config_row *row = &rows[3];

    (void)state;
    FOR_EACH(it, shown)
    {
        const struct sample sample = {.uri = it->value};
        char text[512];

        CHECK_TEXT(it->name, ch_config_shown(row, &sample, text, sizeof(text)), it->shown);
    }
}

static void test_config__never_shows_a_secret(void **state)
{
    const struct sample sample = {.secret = "hunter2"};
    char text[64];

    (void)state;
    assert_string_equal(ch_config_shown(&rows[2], &sample, text, sizeof(text)), "***");
}

static void test_config__own_rows_have_valid_defaults(void **state)
{
    struct ch_settings settings;
    char *text;
    size_t size;
    FILE *errors = open_memstream(&text, &size);

    (void)state;
    given_name = NULL;
    assert_int_equal(ch_config_read_rows(ch_settings_rows, &settings, getter, errors), 0);
    assert_int_equal(fclose(errors), 0);
    assert_string_equal(text, "");
    assert_string_equal(settings.listen_address, "127.0.0.1");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__takes_defaults),
        cmocka_unit_test(test_config__names_variable_and_rule),
        cmocka_unit_test(test_config__hides_passwords_in_uris),
        cmocka_unit_test(test_config__never_shows_a_secret),
        cmocka_unit_test(test_config__own_rows_have_valid_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
