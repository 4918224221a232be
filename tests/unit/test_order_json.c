/* test_order_json.c: what the upstream may send, and what of it is answered. */
#include "worker/api/orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

static int setup(void **state)
{
    struct arena *a = malloc(sizeof *a);
    assert_non_null(a);
    arena_init(a, NULL, 0, 1 << 20);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    arena_fini(*state);
    free(*state);
    return 0;
}

/* An item with this in place of its quantity, and what is printed then. */
#define ITEM(quantity) "{\"product\":{\"code\":\"c\"},\"quantity\":" quantity "}"
#define PRINTED(quantity)                                                                          \
    "{\"sku\":\"c\",\"description\":\"\",\"image_url\":\"\",\"reference\":\"\",\"quantity\":" quantity "}"

static void test_items(void **state)
{
    static const struct {
        const char *json, *want; /* NULL: bad */
    } cases[] = {
        {"[]", ""},
        {"[" ITEM("1") "]", PRINTED("1")},
        {" [ " ITEM("1") " , " ITEM("2") "]\n", PRINTED("1") "," PRINTED("2")},
        {"[" ITEM("\"3\"") "," ITEM("3.0") "," ITEM("true") "," ITEM("-7") "]",
         PRINTED("3") "," PRINTED("3") "," PRINTED("1") "," PRINTED("-7")},
        {"[" ITEM("123456789012345678901234567890") "]", PRINTED("123456789012345678901234567890")},
        {"[" ITEM("\" 4.0 \"") "]", PRINTED("4")},
        {"[{\"product\":{\"code\":\"\",\"description\":\"Olá \\\"x\\\"\",\"image_url\":\"u\","
         "\"reference\":\"r\",\"more\":[1]},\"quantity\":0,\"other\":null}]",
         "{\"sku\":\"\",\"description\":\"Olá \\\"x\\\"\",\"image_url\":\"u\",\"reference\":\"r\","
         "\"quantity\":0}"},
        {"[" ITEM("1.5") "]", NULL},
        {"[" ITEM("1e300") "]", NULL},
        {"[" ITEM("NaN") "]", NULL},
        {"[" ITEM("\"x\"") "]", NULL},
        {"[" ITEM("\"99999999999999999999\"") "]", NULL},
        {"[" ITEM("null") "]", NULL},
        {"[" ITEM("[]") "]", NULL},
        {"[{\"product\":{\"code\":\"c\"}}]", NULL},
        {"[{\"quantity\":1}]", NULL},
        {"[{\"product\":null,\"quantity\":1}]", NULL},
        {"[{\"product\":[],\"quantity\":1}]", NULL},
        {"[{\"product\":{},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":7},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":null},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":\"\\ud800\"},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":\"c\",\"description\":null},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":\"c\",\"image_url\":5},\"quantity\":1}]", NULL},
        {"[{\"product\":{\"code\":\"c\",\"reference\":null},\"quantity\":1}]", NULL},
        {"[1]", NULL},
        {"[" ITEM("1") ",[]]", NULL},
        {"{}", NULL},
        {"null", NULL},
        {"\"text\"", NULL},
        {"", NULL},
        {"[", NULL},
        {"[]x", NULL},
        {"<html></html>", NULL},
        {"\xff\xfe\xff", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        enum fanout_verdict verdict = order_write_items(slice_of(cases[i].json), &out);
        if (verdict != (cases[i].want ? FANOUT_GOOD : FANOUT_BAD))
            fail_msg("case %zu: %s", i, cases[i].json);
        if (cases[i].want) {
            buf_append_char(&out, 0);
            assert_string_equal(out.data, cases[i].want);
        }
        buf_free(&out);
    }
}

static void test_packages(void **state)
{
    static const struct {
        const char *json, *want; /* the ids, each with a comma; NULL: bad */
    } cases[] = {
        {"{\"packages\":[]}", ""},
        {"{\"packages\":[{\"uuid\":\"a\"},{\"x\":1,\"uuid\":\"b c/é\"}],\"more\":{}}", "a,b c/é,"},
        {"{\"packages\":[{\"uuid\":\"a\"}],\"packages\":[{\"uuid\":\"last\"}]}", "last,"},
        {"{}", NULL},
        {"[]", NULL},
        {"{\"packages\":null}", NULL},
        {"{\"packages\":{}}", NULL},
        {"{\"packages\":\"ab\"}", NULL},
        {"{\"packages\":[1]}", NULL},
        {"{\"packages\":[{}]}", NULL},
        {"{\"packages\":[{\"uuid\":7}]}", NULL},
        {"{\"packages\":[{\"uuid\":\"\"}]}", NULL},
        {"{\"packages\":[{\"uuid\":\"\\udc00\"}]}", NULL},
        {"{\"packages\":[{\"uuid\":\"a\"},{\"id\":\"b\"}]}", NULL},
        {"{\"packages\":[{\"uuid\":\"0123456789012345678901234567890123456789012345678901234567890123"
         "01234567890123456789012345678901234567890123456789012345678901234\"}]}",
         NULL},
        {"not json", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct order_packages packages;
        struct buf ids = {0};
        enum fanout_verdict verdict =
            order_read_packages(*state, slice_of(cases[i].json), &packages);
        if (verdict != (cases[i].want ? FANOUT_GOOD : FANOUT_BAD))
            fail_msg("case %zu: %s", i, cases[i].json);
        if (!cases[i].want)
            continue;
        for (size_t k = 0; k < packages.len; k++)
            buf_printf(&ids, "%.*s,", SLICE_ARGS(packages.ids[k]));
        buf_append_char(&ids, 0);
        assert_string_equal(ids.data, cases[i].want);
        buf_free(&ids);
    }
}

static void test_too_many_packages(void **state)
{
    for (unsigned n = ORDER_PACKAGES_MAX; n <= ORDER_PACKAGES_MAX + 1; n++) {
        struct buf json = {0};
        struct order_packages packages;
        buf_printf(&json, "{\"packages\":[");
        for (unsigned i = 0; i < n; i++)
            buf_printf(&json, "%s{\"uuid\":\"%u\"}", i ? "," : "", i);
        buf_printf(&json, "]}");
        assert_int_equal(order_read_packages(*state, buf_slice(&json), &packages),
                         n > ORDER_PACKAGES_MAX ? FANOUT_BAD : FANOUT_GOOD);
        buf_free(&json);
    }
}

static void test_paths(void **state)
{
    struct slice none = {NULL, 0};
    assert_string_equal(order_path(*state, SLICE("a-1"), none), "/maestro/v1/orders/a-1");
    assert_string_equal(order_path(*state, SLICE("a"), SLICE("b_Z9")),
                        "/maestro/v1/orders/a/packages/b_Z9/items");
    /* nothing leads out of the place it has */
    assert_string_equal(order_path(*state, SLICE("a"), SLICE("../../x?y#z\r\nA: b%")),
                        "/maestro/v1/orders/a/packages/%2E%2E%2F%2E%2E%2Fx%3Fy%23z%0D%0AA%3A%20b%25/items");
    assert_string_equal(order_path(*state, SLICE("a"), SLICE("..")),
                        "/maestro/v1/orders/a/packages/%2E%2E/items");
}

/* Two ids of the greatest length, each byte of them encoded, are still a path that can be called. */
static void test_the_longest_path(void **state)
{
    char id[36], package[ORDER_PACKAGE_ID_MAX];
    memset(id, 'a', sizeof id);
    memset(package, '/', sizeof package);
    const char *path = order_path(*state, (struct slice){id, sizeof id},
                                  (struct slice){package, sizeof package});
    assert_true(strlen(path) <= CALL_PATH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test_setup_teardown(test_packages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_packages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_path, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
