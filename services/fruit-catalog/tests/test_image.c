// SPDX-License-Identifier: Apache-2.0
// A picture is what its first bytes say, and only if its Content-Type says the same.
#include "cases.h"
#include "image.h"

#define PNG  CH_STR("\x89PNG\r\n\x1a\nrest")
#define JPEG CH_STR("\xff\xd8\xff\xe0rest")
#define WEBP CH_STR("RIFF\x10\x20\x30\x40WEBPVP8 ")

static void test_image_type__takes_what_agrees(void **state)
{
    const struct {
        const char *name, *content_type;
        struct ch_str bytes;
        const char *want;
    } cases[] = {
        {"png", "image/png", PNG, "image/png"},
        {"jpeg", "image/jpeg", JPEG, "image/jpeg"},
        {"webp", "image/webp", WEBP, "image/webp"},
        {"type in capitals", "IMAGE/PNG", PNG, "image/png"},
        {"jpeg called png", "image/png", JPEG, NULL},
        {"png called jpeg", "image/jpeg", PNG, NULL},
        {"another RIFF", "image/webp", CH_STR("RIFF\x10\x20\x30\x40WAVEfmt "), NULL},
        {"page called png", "image/png", CH_STR("<!doctype html><script>"), NULL},
        {"gif", "image/gif", CH_STR("GIF89a"), NULL},
        {"svg", "image/svg+xml", CH_STR("<svg/>"), NULL},
        {"cut png", "image/png", CH_STR("\x89PNG"), NULL},
        {"empty", "image/png", CH_STR(""), NULL},
        {"no type", NULL, PNG, NULL},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        const char *got = image_type(ch_str_of(c->content_type), c->bytes);

        CHECK(c->name, (got == NULL) == (c->want == NULL));
        if (got)
            CHECK_TEXT(c->name, got, c->want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_image_type__takes_what_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
