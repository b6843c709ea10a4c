// SPDX-License-Identifier: Apache-2.0
// What a picture is, by its first bytes: the only thing that tells a picture from a web page that calls itself one.
#include "image.h"

// PNG (ISO 15948 5.2), JPEG (ITU T.81 B.1.1.3: SOI, then a marker), WebP (RFC 9649 2.4). '?' is any byte.
static const struct {
    const char *type, *magic;
    size_t len;
} types[] = {
    {"image/png", "\x89PNG\r\n\x1a\n", 8},
    {"image/jpeg", "\xff\xd8\xff", 3},
    {"image/webp", "RIFF????WEBP", 12},
};

static bool begins_with(struct ch_str bytes, const char *magic, size_t len)
{
    if (bytes.len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (magic[i] != '?' && bytes.data[i] != magic[i])
            return false;
    return true;
}

const char *image_type(struct ch_str content_type, struct ch_str bytes)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (ch_str_ieq(content_type, ch_str_of(types[i].type)))
            return begins_with(bytes, types[i].magic, types[i].len) ? types[i].type : NULL;
    return NULL;
}
