// SPDX-License-Identifier: Apache-2.0
/**
 * @file json.h
 * @brief JSON: strict reading into structs by tables, and a small fast writer (RFC 8259).
 *
 * Reading is jansson's, made strict: whole input, valid UTF-8, no duplicate keys, depth <= CH_JSON_MAX_DEPTH (checked
 * before jansson recurses), integers within int64. Binding is by a table of fields: unknown, missing, mistyped and
 * out-of-range fields are each reported with their JSON pointer (RFC 6901), all of them and not only the first.
 */
#ifndef CH_JSON_H
#define CH_JSON_H

#include "ch/base.h"

#include <jansson.h>

#define CH_JSON_MAX_DEPTH 32

/** One fault in the input: pointer and detail stand in arena memory, code is a literal. */
struct ch_fault {
    const char *pointer; /**< "/lines/0/quantity"; "" is the whole body; for query and header faults the bare name, e.g.
                            "?limit" or "Idempotency-Key" */
    const char *code; /**< closed set: required, unknown, type, range, length, count, format, enum; of the text itself:
                           syntax, depth, encoding, duplicate; services may add their own */
    const char *detail; /**< Korean, says what is allowed */
    struct ch_fault *next;
};

#define CH_FAULTS_MAX 20 /**< later faults are dropped */

/** All that is wrong with one input; ch_faults_init first. */
struct ch_faults {
    struct ch_arena *arena;
    struct ch_fault *first, **last;
    int count;
};

/** All functions here accept NULL faults where nobody wants to know (but ch_json_bind: it copies into faults->arena). A
 * fault for which the arena has no room is dropped: the returned error counts, not the number of faults. */
void ch_faults_init(struct ch_faults *faults, struct ch_arena *arena);
void ch_faults_add(struct ch_faults *faults, const char *pointer, const char *code, const char *detail_format, ...)
    __attribute__((format(printf, 4, 5)));

/** Parses strictly: any JSON value at the top, nothing after it. On failure adds a fault (pointer "", code
 * "syntax"|"depth"|"encoding"|"duplicate"|"range") and returns CH_ERR_BAD_SYNTAX (CH_ERR_NO_MEMORY without a fault when
 * memory is short). The caller owns *ret_json (json_decref). */
CH_MUST_CHECK enum ch_err ch_json_parse(struct ch_str text, struct ch_faults *faults, json_t **ret_json);

/* ---- binding ------------------------------------------------------------------------------------------------ */

enum ch_field_type {
    CH_FIELD_END = 0,
    CH_FIELD_STR,    /**< struct ch_str, arena copy and NUL-terminated; min/max count code points; control characters
                        refused but \n in CH_F_MULTILINE */
    CH_FIELD_INT,    /**< int64_t; min/max are values */
    CH_FIELD_BOOL,   /**< bool */
    CH_FIELD_NUMBER, /**< double; min/max are values */
    CH_FIELD_UUID,   /**< struct ch_uuid */
    CH_FIELD_ENUM,   /**< int: index into `names` */
    CH_FIELD_TIME,   /**< int64_t wall_us from RFC 3339 */
    CH_FIELD_DATE,   /**< struct ch_str "YYYY-MM-DD", a real date */
    CH_FIELD_OBJECT, /**< nested struct at offset, bound by `fields` */
    CH_FIELD_ARRAY, /**< struct ch_array at offset; elements are structs of `elem_size` bound by `fields`; min/max count
                       them */
    CH_FIELD_UUIDS, /**< struct ch_array of struct ch_uuid; min/max count them */
};

enum {
    CH_F_OPTIONAL = 1, /**< may be absent (member then keeps what the caller put there) */
    CH_F_NULLABLE = 2, /**< null allowed, same as absent but for the presence bit */
    CH_F_MULTILINE = 4,
    CH_F_TRIM = 8, /**< spaces at both ends removed before the length is checked */
};

/** A bound JSON array: `count` elements in arena memory. */
struct ch_array {
    void *items;
    size_t count;
};

/** One row a member of a JSON object, or a query parameter: its name, its type, where it goes, what it may be. */
struct ch_field {
    const char *name;
    enum ch_field_type type;
    size_t offset;
    int flags;
    /** Both 0: no limits. Lengths and counts: max 0 is no maximum. Values: max 0 with min > 0 is no maximum. */
    int64_t min, max;
    const char *pattern;        /**< POSIX extended regular expression for STR and each of STRS, matched whole, by bytes
                                     (no ranges of Korean letters); a literal: compiled once and kept by its address */
    const char *pattern_detail; /**< Korean sentence for a mismatch */
    const char *const *names;   /**< ENUM: NULL-terminated */
    const struct ch_field *fields; /**< OBJECT, ARRAY */
    size_t elem_size;              /**< ARRAY */
    uint64_t present_bit; /**< set in *ret_present of ch_json_bind when the field came, also as null; top level only */
};

/** Members that are not in `json` keep what the caller put there; elements of arrays start zeroed.
 *  Binds a JSON object to `*ret_object` by `fields` (ends with a zeroed row). `ret_present` may be NULL; it collects
 * present_bit of this level's fields that came. Returns CH_ERR_INVALID and adds every fault found; on failure the
 * struct's content is unspecified. CH_ERR_NO_MEMORY: the arena's limit; CH_ERR_INTERNAL: a pattern of the table does
 * not compile. */
CH_MUST_CHECK enum ch_err ch_json_bind(const json_t *json, const struct ch_field *fields, const char *pointer_prefix,
                                       struct ch_faults *faults, void *ret_object, uint64_t *ret_present);

/* ---- writing ------------------------------------------------------------------------------------------------ */

/** Writes compact JSON to a buffer. Commas are its own affair. Bytes that are no UTF-8 are written as U+FFFD. Limits
 * are the buffer's: check buf->is_full at the end. */
struct ch_jw {
    struct ch_buf *buf;
    bool needs_comma;
};

static inline void ch_jw_init(struct ch_jw *jw, struct ch_buf *buf)
{
    jw->buf = buf;
    jw->needs_comma = false;
}
void ch_jw_object(struct ch_jw *jw); /**< { */
void ch_jw_object_end(struct ch_jw *jw);
void ch_jw_array(struct ch_jw *jw); /**< [ */
void ch_jw_array_end(struct ch_jw *jw);
void ch_jw_key(struct ch_jw *jw, const char *name);    /**< name is a literal that needs no escape */
void ch_jw_str(struct ch_jw *jw, struct ch_str value); /**< escaped; data NULL writes null */
void ch_jw_cstr(struct ch_jw *jw, const char *value);  /**< NULL writes null */
void ch_jw_int(struct ch_jw *jw, int64_t value);
void ch_jw_double(struct ch_jw *jw,
                  double value); /**< short form that reads back the same; NaN and infinities as null */
void ch_jw_bool(struct ch_jw *jw, bool value);
void ch_jw_null(struct ch_jw *jw);
void ch_jw_uuid(struct ch_jw *jw, struct ch_uuid value);
void ch_jw_time(struct ch_jw *jw, int64_t wall_us);
void ch_jw_raw(struct ch_jw *jw, struct ch_str json); /**< text that already is JSON */

/** key and value in one line: the usual case. */
void ch_jw_kstr(struct ch_jw *jw, const char *name, struct ch_str value);
void ch_jw_kcstr(struct ch_jw *jw, const char *name, const char *value);
void ch_jw_kint(struct ch_jw *jw, const char *name, int64_t value);
void ch_jw_kbool(struct ch_jw *jw, const char *name, bool value);
void ch_jw_kuuid(struct ch_jw *jw, const char *name, struct ch_uuid value);
void ch_jw_ktime(struct ch_jw *jw, const char *name, int64_t wall_us);
/** The same for what may be absent: `null_value`, nil and 0 write null. */
void ch_jw_kint_or_null(struct ch_jw *jw, const char *name, int64_t value, int64_t null_value);
void ch_jw_kuuid_or_null(struct ch_jw *jw, const char *name, struct ch_uuid value);
void ch_jw_ktime_or_null(struct ch_jw *jw, const char *name, int64_t wall_us);

#endif
