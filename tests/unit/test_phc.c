/* test_phc.c: worker/auth/phc.c: which stored texts are verified at all. */
#include "worker/auth/phc.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define SALT      "MDEyMzQ1Njc4OWFiY2RlZg"
#define TAG       "YdvKnHDNdnx3UXOE4OXsgVckBvuq3gpvrMbEV3UYnbY"
#define P(params) "$argon2id$v=19$" params "$" SALT "$" TAG

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        uint64_t memory_kib; /* 0: refused */
        uint64_t passes;
        uint64_t lanes;
    } rows[] = {
        {P("m=65536,t=3,p=4"), 65536, 3, 4},
        {P("m=8,t=1,p=1"), 8, 1, 1},
        {P("m=128,t=1,p=16"), 128, 1, 16},
        {P("m=1048576,t=100,p=1"), 1048576, 100, 1},
        {P("m=1048577,t=1,p=1"), 0, 0, 0},
        {P("m=4294967295,t=1,p=1"), 0, 0, 0},
        {P("m=18446744073709551616,t=1,p=1"), 0, 0, 0},
        {P("m=8,t=101,p=1"), 0, 0, 0},
        {P("m=136,t=1,p=17"), 0, 0, 0},
        {P("m=7,t=1,p=1"), 0, 0, 0},
        {P("m=15,t=1,p=2"), 0, 0, 0},
        {P("m=0,t=1,p=1"), 0, 0, 0},
        {P("m=8,t=0,p=1"), 0, 0, 0},
        {P("m=8,t=1,p=0"), 0, 0, 0},
        {P("m=08,t=1,p=1"), 0, 0, 0},
        {P("m=8,t=01,p=1"), 0, 0, 0},
        {P("m=+8,t=1,p=1"), 0, 0, 0},
        {P("m= 8,t=1,p=1"), 0, 0, 0},
        {P("m=,t=1,p=1"), 0, 0, 0},
        {P("m=8,p=1,t=1"), 0, 0, 0},
        {P("m=8,t=1"), 0, 0, 0},
        {P("m=8,t=1,p=1,data=x"), 0, 0, 0},
        {P(""), 0, 0, 0},
        {"$argon2i$v=19$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {"$argon2d$v=19$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {"$argon2id$v=16$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {"$argon2id$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {"$Argon2id$v=19$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {"argon2id$v=19$m=64,t=1,p=1$" SALT "$" TAG, 0, 0, 0},
        {" " P("m=64,t=1,p=1"), 0, 0, 0},
        {P("m=64,t=1,p=1") " ", 0, 0, 0},
        {P("m=64,t=1,p=1") "\n", 0, 0, 0},
        {P("m=64,t=1,p=1") "$", 0, 0, 0},
        {P("m=64,t=1,p=1") "=", 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$" SALT "==$" TAG, 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$" SALT "$", 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$" SALT, 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$$" TAG, 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$", 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1", 0, 0, 0},
        /* 7 and 8 bytes of salt, 15 and 16 of tag */
        {"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAA$" TAG, 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$" TAG, 64, 1, 1},
        {"$argon2id$v=19$m=64,t=1,p=1$" SALT "$AAAAAAAAAAAAAAAAAAAA", 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$" SALT "$AAAAAAAAAAAAAAAAAAAAAA", 64, 1, 1},
        /* stray bits in the last letter, the other alphabet */
        {"$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZh$" TAG, 0, 0, 0},
        {"$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZ-$" TAG, 0, 0, 0},
        /* no letter, but libsodium takes it for one */
        {"$argon2id$v=19$m=64,t=1,p=1$MDEy\xdazQ1Njc4OWFiY2RlZg$" TAG, 0, 0, 0},
        {"$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", 0, 0, 0},
        {"secret", 0, 0, 0},
        {"$", 0, 0, 0},
        {"", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct phc phc = {0};
        bool is_good = phc_parse(slice_of(rows[i].text), &phc);
        if (is_good != (rows[i].memory_kib != 0))
            fail_msg("%s: %d", rows[i].text, is_good);
        assert_int_equal(phc.memory_kib, rows[i].memory_kib);
        assert_int_equal(phc.passes, rows[i].passes);
        assert_int_equal(phc.lanes, rows[i].lanes);
    }
}

static void test_salt_is_read(void **state)
{
    struct phc phc;
    assert_true(phc_parse(SLICE(P("m=64,t=1,p=1")), &phc));
    assert_int_equal(phc.salt_len, 16);
    assert_memory_equal(phc.salt, "0123456789abcdef", 16);
}

/* 127 bytes fit libsodium's buffer, 128 do not. */
static void test_longest_text(void **state)
{
    for (int letters = 70; letters <= 80; letters++) {
        char text[200];
        struct phc phc;
        int len = snprintf(text, sizeof text, "$argon2id$v=19$m=64,t=1,p=1$" SALT "$%.*s", letters,
                           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                           "AAAAAAAAAAAAAAAAA");
        bool is_base64 = letters % 4 != 1;
        assert_int_equal(phc_parse((struct slice){text, (size_t)len}, &phc),
                         len <= PHC_TEXT_MAX && is_base64);
    }
}

static void test_nul_and_absent(void **state)
{
    struct phc phc;
    assert_false(phc_parse((struct slice){NULL, 0}, &phc));
    assert_false(phc_parse(SLICE(P("m=64,t=1,p=1") "\0"), &phc));
    assert_false(phc_parse(SLICE("$argon2id$v=19$m=64,t=1,p=1$" SALT "\0$" TAG), &phc));
}

static void test_format(void **state)
{
    static const struct {
        uint64_t memory_kib;
        uint64_t passes;
        const char *start;
    } rows[] = {
        {65536, 3, "$argon2id$v=19$m=65536,t=3,p=1$" SALT "$"},
        {8, 1, "$argon2id$v=19$m=8,t=1,p=1$" SALT "$"},
        {PHC_MEMORY_MAX_KIB, PHC_PASSES_MAX, "$argon2id$v=19$m=1048576,t=100,p=1$" SALT "$"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[PHC_TEXT_MAX + 1];
        struct phc phc;
        unsigned char tag[PHC_TAG_LEN] = {0};
        size_t len = phc_format(text, rows[i].memory_kib, rows[i].passes,
                                (const unsigned char *)"0123456789abcdef", tag);
        assert_int_equal(len, strlen(text));
        assert_true(slice_starts_with(slice_of(text), slice_of(rows[i].start)));
        assert_int_equal(len - strlen(rows[i].start), 43);
        assert_true(phc_parse((struct slice){text, len}, &phc));
        assert_int_equal(phc.memory_kib, rows[i].memory_kib);
        assert_int_equal(phc.passes, rows[i].passes);
        assert_int_equal(phc.lanes, 1);
        assert_memory_equal(phc.salt, "0123456789abcdef", 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),        cmocka_unit_test(test_salt_is_read),
        cmocka_unit_test(test_longest_text), cmocka_unit_test(test_nul_and_absent),
        cmocka_unit_test(test_format),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
