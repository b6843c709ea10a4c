// SPDX-License-Identifier: Apache-2.0
// Strict JSON reading on jansson, and the list of faults that a bad request is answered with.
// jansson recurses once per level and handlers run on small stacks: nothing may reach it that is nested deeper than
// CH_JSON_MAX_DEPTH. Texts for people are Korean and never repeat the input.
#include "ch/json.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>

void ch_faults_init(struct ch_faults *faults, struct ch_arena *arena)
{
    *faults = (struct ch_faults){.arena = arena};
    faults->last = &faults->first;
}

void ch_faults_add(struct ch_faults *faults, const char *pointer, const char *code, const char *detail_format, ...)
{
    char detail[512];
    struct ch_fault *fault;
    va_list args;
    int len;

    if (!faults || faults->count >= CH_FAULTS_MAX)
        return;
    va_start(args, detail_format);
    len = vsnprintf(detail, sizeof(detail), detail_format, args);
    va_end(args);
    if (len < 0)
        detail[0] = '\0';

    fault = ch_arena_alloc(faults->arena, sizeof(*fault));
    if (!fault)
        return;
    fault->pointer = ch_arena_strdup(faults->arena, ch_str_of(pointer));
    fault->code = code;
    // What did not fit is cut between characters.
    fault->detail = ch_arena_strdup(faults->arena, (struct ch_str){detail, ch_utf8_span(ch_str_of(detail))});
    if (!fault->pointer || !fault->detail)
        return;
    *faults->last = fault;
    faults->last = &fault->next;
    faults->count++;
}

/* ---- where something is wrong --------------------------------------------------------------------------------- */

struct position {
    size_t line, column; // from 1; columns count characters
};

static struct position position_of(struct ch_str text, size_t offset)
{
    struct position at = {1, 1};
    size_t line_start = 0;

    for (size_t i = 0; i < offset; i++) {
        if (text.data[i] == '\n') {
            at.line++;
            line_start = i + 1;
        }
    }
    at.column += ch_utf8_length((struct ch_str){text.data + line_start, offset - line_start});
    return at;
}

static void add_at(struct ch_faults *faults, struct position at, const char *code, const char *what)
{
    ch_faults_add(faults, "", code, "%zu번째 줄 %zu번째 글자: %s", at.line, at.column, what);
}

/* ---- checks before jansson ------------------------------------------------------------------------------------ */

// Where the level too deep opens; text.len when there is none. Up to its first error the text is read as jansson reads
// it.
static size_t find_too_deep(struct ch_str text)
{
    bool is_in_string = false;
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        switch (text.data[i]) {
        case '"':
            is_in_string = !is_in_string;
            break;
        case '\\':
            i += is_in_string;
            break;
        case '[':
        case '{':
            if (!is_in_string && ++depth > CH_JSON_MAX_DEPTH)
                return i;
            break;
        case ']':
        case '}':
            if (!is_in_string && depth > 0)
                depth--;
            break;
        default:
            break;
        }
    }
    return text.len;
}

static enum ch_err check_text(struct ch_str text, struct ch_faults *faults)
{
    size_t end = ch_utf8_span(text);

    if (end < text.len) {
        add_at(faults, position_of(text, end), "encoding", "UTF-8이 아니거나 NUL 문자가 있습니다");
        return CH_ERR_BAD_SYNTAX;
    }
    end = find_too_deep(text);
    if (end < text.len) {
        ch_faults_add(faults, "", "depth", "%zu번째 줄 %zu번째 글자: 중첩은 %d단계까지 허용됩니다",
                      position_of(text, end).line, position_of(text, end).column, CH_JSON_MAX_DEPTH);
        return CH_ERR_BAD_SYNTAX;
    }
    return CH_OK;
}

/* ---- jansson's own errors ------------------------------------------------------------------------------------- */

static const struct {
    enum json_error_code error;
    const char *code, *what;
} jansson_errors[] = {
    {json_error_stack_overflow, "depth", "중첩이 너무 깊습니다"},
    {json_error_invalid_utf8, "encoding", "UTF-8이 아닙니다"},
    {json_error_null_character, "encoding", "문자열에 NUL 문자(\\u0000)를 쓸 수 없습니다"},
    {json_error_null_byte_in_key, "encoding", "이름에 NUL 문자(\\u0000)를 쓸 수 없습니다"},
    {json_error_duplicate_key, "duplicate", "한 객체 안에 같은 이름이 두 번 있습니다"},
    {json_error_numeric_overflow, "range", "나타낼 수 있는 범위를 넘는 숫자입니다"},
    {json_error_premature_end_of_input, "syntax", "JSON이 끝나기 전에 내용이 끊겼습니다"},
    {json_error_end_of_input_expected, "syntax", "JSON이 끝난 뒤에 다른 내용이 있습니다"},
};

static void add_jansson_error(struct ch_faults *faults, const json_error_t *error)
{
    struct position at = {error->line > 0 ? (size_t)error->line : 1, error->column > 0 ? (size_t)error->column : 1};

    for (size_t i = 0; i < sizeof(jansson_errors) / sizeof(jansson_errors[0]); i++) {
        if (jansson_errors[i].error == json_error_code(error)) {
            add_at(faults, at, jansson_errors[i].code, jansson_errors[i].what);
            return;
        }
    }
    add_at(faults, at, "syntax", "JSON 문법에 맞지 않습니다");
}

enum ch_err ch_json_parse(struct ch_str text, struct ch_faults *faults, json_t **ret_json)
{
    enum ch_err err = check_text(text, faults);
    json_error_t error;
    json_t *json;

    if (err)
        return err;
    json = json_loadb(text.len > 0 ? text.data : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return CH_ERR_NO_MEMORY;
        add_jansson_error(faults, &error);
        return CH_ERR_BAD_SYNTAX;
    }
    *ret_json = json;
    return CH_OK;
}
