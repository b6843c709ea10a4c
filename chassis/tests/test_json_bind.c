// SPDX-License-Identifier: Apache-2.0
// Binding by tables: every kind of field, every fault with its exact pointer and code, presence, limits, threads.
#include "cases.h"
#include "ch/json.h"

#include <pthread.h>
#include <stdio.h>

struct recipient {
    struct ch_str name, phone, note;
};

struct line {
    struct ch_uuid sku_id;
    int64_t quantity;
};

struct order {
    struct recipient recipient;
    struct ch_array lines, ids;
    int64_t total, placed_us;
    double brix;
    bool is_gift;
    int grade;
    struct ch_str ship_on, odd;
};

static const char *const grades[] = {"특", "상", "보통", NULL};

static const struct ch_field recipient_fields[] = {
    {"name", CH_FIELD_STR, offsetof(struct recipient, name), CH_F_TRIM, .min = 1, .max = 5},
    {"phone", CH_FIELD_STR, offsetof(struct recipient, phone), .pattern = "010-[0-9]{4}-[0-9]{4}",
     .pattern_detail = "010-0000-0000 형식이어야 합니다"},
    {"note", CH_FIELD_STR, offsetof(struct recipient, note), CH_F_OPTIONAL | CH_F_MULTILINE, .max = 20},
    {0},
};

static const struct ch_field line_fields[] = {
    {"skuId", CH_FIELD_UUID, offsetof(struct line, sku_id)},
    {"quantity", CH_FIELD_INT, offsetof(struct line, quantity), .min = 1, .max = 99},
    {0},
};

#define REST CH_F_OPTIONAL | CH_F_NULLABLE

static const struct ch_field order_fields[] = {
    {"recipient", CH_FIELD_OBJECT, offsetof(struct order, recipient), REST, .fields = recipient_fields},
    {"lines", CH_FIELD_ARRAY, offsetof(struct order, lines), REST, .min = 1, .max = 3, .fields = line_fields,
     .elem_size = sizeof(struct line)},
    {"ids", CH_FIELD_UUIDS, offsetof(struct order, ids), REST, .max = 2},
    {"total", CH_FIELD_INT, offsetof(struct order, total), CH_F_OPTIONAL, .min = -5, .present_bit = 1},
    {"placedAt", CH_FIELD_TIME, offsetof(struct order, placed_us), REST, .present_bit = 2},
    {"brix", CH_FIELD_NUMBER, offsetof(struct order, brix), REST, .max = 30, .present_bit = 4},
    {"gift", CH_FIELD_BOOL, offsetof(struct order, is_gift), REST},
    {"grade", CH_FIELD_ENUM, offsetof(struct order, grade), REST, .names = grades},
    {"shipOn", CH_FIELD_DATE, offsetof(struct order, ship_on), REST},
    {"a/b~c", CH_FIELD_STR, offsetof(struct order, odd), REST, .max = 3, .pattern = "[a-z]+|\xEC.*"},
    {0},
};

// Binds `text`; the caller frees the arena after looking at the result.
static enum ch_err bind(struct ch_arena *arena, const char *text, struct ch_faults *faults, struct order *order,
                        uint64_t *ret_present)
{
    json_t *json = NULL;
    enum ch_err err;

    ch_faults_init(faults, arena);
    err = ch_json_parse(ch_str_of(text), faults, &json);
    if (!err)
        err = ch_json_bind(json, order_fields, "", faults, order, ret_present);
    json_decref(json); // what was bound must stand without it
    return err;
}

static void test_json_bind__fills_the_struct(void **state)
{
    struct ch_arena *arena = ch_arena_new(1 << 16);
    struct ch_faults faults;
    struct order order = {0};
    const struct line *lines;
    uint64_t present = 0;
    char text[CH_UUID_TEXT];

    (void)state;
    assert_int_equal(
        bind(arena,
             "{\"recipient\":{\"name\":\"  김사과 \",\"phone\":\"010-1234-5678\",\"note\":\"문 앞\\n종 한 번\"},"
             "\"lines\":[{\"skuId\":\"018F0000-0000-7000-8000-000000000001\",\"quantity\":2},"
             "{\"skuId\":\"018f0000-0000-7000-8000-000000000002\",\"quantity\":99}],"
             "\"ids\":[\"018f0000-0000-7000-8000-000000000003\",\"018f0000-0000-7000-8000-000000000004\"],\"total\":-5,"
             "\"placedAt\":\"1970-01-01T09:00:01+09:00\",\"brix\":13,"
             "\"gift\":true,\"grade\":\"보통\",\"shipOn\":\"2024-02-29\",\"a/b~c\":\"사과배\"}",
             &faults, &order, &present),
        CH_OK);
    assert_int_equal(faults.count, 0);
    assert_string_equal(order.recipient.name.data, "김사과");
    assert_int_equal(order.recipient.name.len, strlen("김사과"));
    assert_string_equal(order.recipient.note.data, "문 앞\n종 한 번");
    assert_int_equal(order.lines.count, 2);
    lines = order.lines.items;
    ch_uuid_format(lines[0].sku_id, text);
    assert_string_equal(text, "018f0000-0000-7000-8000-000000000001");
    assert_int_equal(lines[1].quantity, 99);
    assert_int_equal(order.ids.count, 2);
    ch_uuid_format(((const struct ch_uuid *)order.ids.items)[1], text);
    assert_string_equal(text, "018f0000-0000-7000-8000-000000000004");
    assert_int_equal(order.total, -5);
    assert_int_equal(order.placed_us, 1000000);
    assert_true(order.brix == 13.0);
    assert_true(order.is_gift);
    assert_int_equal(order.grade, 2);
    assert_string_equal(order.ship_on.data, "2024-02-29");
    assert_string_equal(order.odd.data, "사과배");
    assert_int_equal(present, 7);
    ch_arena_free(arena);
}

static void test_json_bind__tells_absent_from_null(void **state)
{
    static const struct {
        const char *name, *text;
        uint64_t present;
    } cases[] = {
        {"nothing", "{}", 0},
        {"null counts as present", "{\"brix\":null,\"placedAt\":null}", 6},
        {"value", "{\"total\":-3}", 1},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_arena *arena = ch_arena_new(1 << 16);
        struct ch_faults faults;
        struct order order = {.total = -3, .brix = 9.5, .placed_us = 11, .grade = -1};
        uint64_t present = 99;

        CHECK(c->name, bind(arena, c->text, &faults, &order, &present) == CH_OK);
        CHECK(c->name, present == c->present);
        CHECK(c->name, order.total == -3 && order.brix == 9.5 && order.placed_us == 11 && order.grade == -1);
        CHECK(c->name, bind(arena, c->text, &faults, &order, NULL) == CH_OK);
        ch_arena_free(arena);
    }
}

#define SKU "\"018f0000-0000-7000-8000-000000000001\""

// Faults in the order they are found: "pointer code" lines.
static const struct {
    const char *name, *text, *want;
} fault_cases[] = {
    {"not an object", "[]", " type\n"},
    {"unknown", "{\"x\":1}", "/x unknown\n"},
    {"unknown, escaped", "{\"~/\":1}", "/~0~1 unknown\n"},
    {"unknown, empty name", "{\"\":1}", "/ unknown\n"},
    {"known, escaped", "{\"a/b~c\":\"abcd\"}", "/a~1b~0c length\n"},
    {"several at once", "{\"total\":\"1\",\"gift\":1,\"x\":0}", "/total type\n/gift type\n/x unknown\n"},
    {"int as real", "{\"total\":1.0}", "/total type\n"},
    {"int as string", "{\"total\":\"1\"}", "/total type\n"},
    {"int as bool", "{\"total\":true}", "/total type\n"},
    {"int null", "{\"total\":null}", "/total type\n"},
    {"int below, max 0", "{\"total\":-6}", "/total range\n"},
    {"int above, max 0", "{\"total\":1}", "/total range\n"},
    {"number above", "{\"brix\":30.1}", "/brix range\n"},
    {"number below, min 0", "{\"brix\":-0.1}", "/brix range\n"},
    {"number as string", "{\"brix\":\"3\"}", "/brix type\n"},
    {"bool as string", "{\"gift\":\"true\"}", "/gift type\n"},
    {"enum", "{\"grade\":\"못난이\"}", "/grade enum\n"},
    {"enum as int", "{\"grade\":1}", "/grade type\n"},
    {"time without zone", "{\"placedAt\":\"2026-11-23T05:40:00\"}", "/placedAt format\n"},
    {"date that is not", "{\"shipOn\":\"2026-02-29\"}", "/shipOn format\n"},
    {"missing in nested", "{\"recipient\":{}}", "/recipient/name required\n/recipient/phone required\n"},
    {"nested is no object", "{\"recipient\":[]}", "/recipient type\n"},
    {"only spaces", "{\"recipient\":{\"name\":\"  \",\"phone\":\"010-1234-5678\"}}", "/recipient/name length\n"},
    {"too long, in code points", "{\"recipient\":{\"name\":\"가나다라마바\",\"phone\":\"010-1234-5678\"}}",
     "/recipient/name length\n"},
    {"pattern matches whole", "{\"recipient\":{\"name\":\"a\",\"phone\":\"010-1234-56789\"}}",
     "/recipient/phone format\n"},
    {"pattern, one line", "{\"recipient\":{\"name\":\"a\",\"phone\":\"x\\n010-1234-5678\"}}",
     "/recipient/phone format\n"},
    {"control character", "{\"recipient\":{\"name\":\"a\\nb\",\"phone\":\"010-1234-5678\"}}",
     "/recipient/name format\n"},
    {"C1 control character", "{\"recipient\":{\"name\":\"a\\u0085b\",\"phone\":\"010-1234-5678\"}}",
     "/recipient/name format\n"},
    {"DEL", "{\"recipient\":{\"name\":\"a\\u007fb\",\"phone\":\"010-1234-5678\"}}", "/recipient/name format\n"},
    {"tab in many lines", "{\"recipient\":{\"name\":\"a\",\"phone\":\"010-1234-5678\",\"note\":\"a\\tb\"}}",
     "/recipient/note format\n"},
    {"empty array", "{\"lines\":[]}", "/lines count\n"},
    {"array too long", "{\"lines\":[{},{},{},{}]}", "/lines count\n"},
    {"array is an object", "{\"lines\":{}}", "/lines type\n"},
    {"elements", "{\"lines\":[{\"skuId\":" SKU ",\"quantity\":0},7,{\"skuId\":\"z\",\"quantity\":1,\"x\":1}]}",
     "/lines/0/quantity range\n/lines/1 type\n/lines/2/skuId format\n/lines/2/x unknown\n"},
    {"ids", "{\"ids\":[null,\"A\"]}", "/ids/0 type\n/ids/1 format\n"},
    {"too many ids", "{\"ids\":[" SKU "," SKU "," SKU "]}", "/ids count\n"},
    {"alternative matched whole", "{\"a/b~c\":\"ab1\"}", "/a~1b~0c format\n"},
};

static void test_json_bind__reports_every_fault(void **state)
{
    (void)state;
    FOR_EACH(c, fault_cases)
    {
        struct ch_arena *arena = ch_arena_new(1 << 16);
        struct ch_faults faults;
        struct order order = {0};
        struct ch_buf got;

        CHECK(c->name, bind(arena, c->text, &faults, &order, NULL) == CH_ERR_INVALID);
        ch_buf_init(&got, 4096);
        for (struct ch_fault *fault = faults.first; fault; fault = fault->next) {
            ch_buf_printf(&got, "%s %s\n", fault->pointer, fault->code);
            CHECK(c->name, fault->detail[0] != '\0' && ch_utf8_is_valid(ch_str_of(fault->detail)));
        }
        ch_buf_append_char(&got, '\0');
        CHECK_TEXT(c->name, got.data, c->want);
        ch_buf_release(&got);
        ch_arena_free(arena);
    }
}

static void test_json_bind__says_what_is_allowed(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{\"total\":1}", "-5 이상 0 이하여야 합니다"},
        {"{\"brix\":31}", "0 이상 30 이하여야 합니다"},
        {"{\"a/b~c\":\"abcd\"}", "3자 이하여야 합니다"},
        {"{\"lines\":[]}", "1개 이상 3개 이하여야 합니다"},
        {"{\"grade\":\"x\"}", "특, 상, 보통 중 하나여야 합니다"},
        {"{\"recipient\":{\"name\":\"\",\"phone\":\"010-1234-5678\"}}", "비워 둘 수 없습니다"},
        {"{\"recipient\":{\"name\":\"a\",\"phone\":\"1\"}}", "010-0000-0000 형식이어야 합니다"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_arena *arena = ch_arena_new(1 << 16);
        struct ch_faults faults;
        struct order order = {0};

        CHECK(c->text, bind(arena, c->text, &faults, &order, NULL) == CH_ERR_INVALID);
        CHECK_TEXT(c->text, faults.first->detail, c->want);
        ch_arena_free(arena);
    }
}

static void test_json_bind__stays_within_its_limits(void **state)
{
    struct ch_arena *arena = ch_arena_new(1 << 16), *tiny = ch_arena_new(32);
    struct ch_faults faults;
    struct order order = {0};
    struct ch_buf text;

    (void)state;
    ch_buf_init(&text, 1 << 20);
    ch_buf_append_char(&text, '{');
    for (int i = 0; i < 1000; i++)
        ch_buf_printf(&text, "\"x%d\":1,", i);
    ch_buf_printf(&text, "\"%0200d\":1}", 0);
    ch_buf_append_char(&text, '\0');
    assert_int_equal(bind(arena, text.data, &faults, &order, NULL), CH_ERR_INVALID);
    assert_int_equal(faults.count, CH_FAULTS_MAX);

    ch_buf_reset(&text);
    ch_buf_printf(&text, "{\"%0200d\":1}", 0); // a long name is not repeated
    ch_buf_append_char(&text, '\0');
    assert_int_equal(bind(arena, text.data, &faults, &order, NULL), CH_ERR_INVALID);
    assert_string_equal(faults.first->pointer, "");
    assert_string_equal(faults.first->code, "unknown");

    assert_int_equal(bind(tiny, "{\"lines\":[{\"skuId\":" SKU ",\"quantity\":1},{}]}", &faults, &order, NULL),
                     CH_ERR_NO_MEMORY);
    assert_int_equal(bind(tiny, "{\"x\":1}", &faults, &order, NULL), CH_ERR_INVALID); // no room for the fault
    ch_buf_release(&text);
    ch_arena_free(arena);
    ch_arena_free(tiny);
}

static void test_json_bind__goes_on_after_a_full_list(void **state)
{
    struct ch_arena *arena = ch_arena_new(1 << 16);
    struct ch_faults faults;
    struct order order = {0};
    json_t *json;

    (void)state;
    ch_faults_init(&faults, arena);
    for (int i = 0; i < CH_FAULTS_MAX; i++)
        ch_faults_add(&faults, "?q", "format", "x");
    assert_int_equal(ch_json_parse(CH_STR("{\"x\":1}"), &faults, &json), CH_OK);
    assert_int_equal(ch_json_bind(json, order_fields, "/body", &faults, &order, NULL), CH_ERR_INVALID);
    json_decref(json);
    ch_arena_free(arena);
}

static void test_json_bind__prefixes_pointers(void **state)
{
    struct ch_arena *arena = ch_arena_new(1 << 16);
    struct ch_faults faults;
    struct order order = {0};
    json_t *json;

    (void)state;
    ch_faults_init(&faults, arena);
    assert_int_equal(ch_json_parse(CH_STR("{\"lines\":[1]}"), &faults, &json), CH_OK);
    assert_int_equal(ch_json_bind(json, order_fields, "/data", &faults, &order, NULL), CH_ERR_INVALID);
    assert_string_equal(faults.first->pointer, "/data/lines/0");
    json_decref(json);
    ch_arena_free(arena);
}

static void test_json_bind__refuses_a_bad_pattern(void **state)
{
    static const struct ch_field fields[] = {{"a", CH_FIELD_STR, 0, .pattern = "("}, {0}};
    struct ch_arena *arena = ch_arena_new(1 << 16);
    struct ch_faults faults;
    struct ch_str a;
    json_t *json;

    (void)state;
    ch_faults_init(&faults, arena);
    assert_int_equal(ch_json_parse(CH_STR("{\"a\":\"x\"}"), &faults, &json), CH_OK);
    assert_int_equal(ch_json_bind(json, fields, "", &faults, &a, NULL), CH_ERR_INTERNAL);
    json_decref(json);
    ch_arena_free(arena);
}

// Patterns that no other test uses, so that the threads meet at their first use.
static const struct ch_field pattern_fields[] = {
    {"a", CH_FIELD_STR, 0, .pattern = "pay_[A-Za-z0-9]{8,64}"},
    {"b", CH_FIELD_STR, 16, .pattern = "[0-9]{5}"},
    {"c", CH_FIELD_STR, 32, .pattern = "(0[0-9]{1,2})-([0-9]{3,4})-([0-9]{4})"},
    {0},
};

static void *bind_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct ch_arena *arena = ch_arena_new(1 << 16);
        struct ch_faults faults;
        struct ch_str values[3];
        json_t *json = NULL;
        enum ch_err err;

        ch_faults_init(&faults, arena);
        err = ch_json_parse(CH_STR("{\"a\":\"pay_12345678\",\"b\":\"06236\",\"c\":\"031-123-4567\"}"), &faults, &json);
        if (!err)
            err = ch_json_bind(json, pattern_fields, "", &faults, values, NULL);
        json_decref(json);
        ch_arena_free(arena);
        if (err)
            return "refused";
    }
    return NULL;
}

static void test_json_bind__compiles_patterns_once_in_all_threads(void **state)
{
    pthread_attr_t attr;
    pthread_t threads[4];
    void *failure;

    (void)state;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 64 * 1024), 0); // a fiber's
    FOR_EACH(thread, threads)
    assert_int_equal(pthread_create(thread, &attr, bind_many, NULL), 0);
    FOR_EACH(thread, threads)
    {
        assert_int_equal(pthread_join(*thread, &failure), 0);
        assert_null(failure);
    }
    assert_int_equal(pthread_attr_destroy(&attr), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_bind__fills_the_struct),
        cmocka_unit_test(test_json_bind__tells_absent_from_null),
        cmocka_unit_test(test_json_bind__reports_every_fault),
        cmocka_unit_test(test_json_bind__says_what_is_allowed),
        cmocka_unit_test(test_json_bind__stays_within_its_limits),
        cmocka_unit_test(test_json_bind__goes_on_after_a_full_list),
        cmocka_unit_test(test_json_bind__prefixes_pointers),
        cmocka_unit_test(test_json_bind__refuses_a_bad_pattern),
        cmocka_unit_test(test_json_bind__compiles_patterns_once_in_all_threads),
    };

    return cmocka_run_group_tests_name("json_bind", tests, NULL, NULL);
}
