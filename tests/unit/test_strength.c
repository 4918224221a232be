/* test_strength.c: new passwords with profile = hardened, and the search in the list of common ones. */
#include "worker/validate/strength.h"

#include "worker/validate/common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define MIN 15
#define TEN "0a1b2c3d4e"

static const struct row {
    const char *password;
    enum strength strength;
} rows[] = {
    {"", STRENGTH_TOO_SHORT},
    {"fourteen chars", STRENGTH_TOO_SHORT},
    {"fifteen charact", STRENGTH_GOOD},
    {"\u00e9l\u00e9phants \u00e9gar", STRENGTH_TOO_SHORT}, /* 14 characters, 17 bytes */
    {"\u00e9l\u00e9phants \u00e9gar\u00e9", STRENGTH_GOOD},
    {"correct horse battery staple", STRENGTH_GOOD},
    /* repeated */
    {"aaaaaaaaaaaaaaa", STRENGTH_REPEATED},
    {"AaAaAaAaAaAaAaAa", STRENGTH_REPEATED},
    {"changemechangeme", STRENGTH_REPEATED},
    {"ChangeMe-changeme-chAngeme-", STRENGTH_REPEATED},
    {"changemechangemX", STRENGTH_GOOD},
    {"\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8\u00e9\u00e8", STRENGTH_REPEATED},
    {TEN TEN, STRENGTH_REPEATED},
    {TEN "fGhIj" TEN "fGhIj", STRENGTH_GOOD}, /* the piece is long enough by itself */
    {"an end is an end", STRENGTH_GOOD},      /* begins as it ends */
    /* runs */
    {"123456789012345", STRENGTH_REPEATED},
    {"543210987654321", STRENGTH_REPEATED},
    {"abcdefghijklmnop", STRENGTH_REPEATED},
    {"ZYXWVUTSRQPONMLK", STRENGTH_REPEATED},
    {"abcdefghijklmnoz", STRENGTH_GOOD},
    /* the user */
    {"Alfred-der-K\u00e4fer", STRENGTH_NAME},
    {"aLFRED-DER-k\u00c4FER", STRENGTH_NAME},
    {"Alfred-der-K\u00e4fer!", STRENGTH_GOOD},
    {"alfred.tennyson@test.com", STRENGTH_EMAIL},
    {"Alfred.Tennyson@Test.COM", STRENGTH_EMAIL},
    {"alfred.tennyson", STRENGTH_EMAIL},
    {"alfred.tennyson@", STRENGTH_GOOD},
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum strength got = strength_of(slice_of(rows[i].password), MIN, SLICE("Alfred-der-K\u00e4fer"),
                                        SLICE("alfred.tennyson@test.com"));
        if (got != rows[i].strength)
            fail_msg("\"%s\": %d instead of %d", rows[i].password, got, rows[i].strength);
        if (got > STRENGTH_TOO_LONG)
            assert_true(strlen(strength_words(got)) > 20);
    }
}

/* The longest that is allowed, of characters that fold to the most bytes: no more than there is room for. */
static void test_longest(void **state)
{
    static char longest[4 * (STRENGTH_MAX_CHARS + 1)];
    static const char *const chars[] = {"\u0390", "\U00010400", "\ufb03", "\u1e9e"};
    for (size_t i = 0; i < sizeof chars / sizeof *chars; i++) {
        size_t len = strlen(chars[i]);
        for (size_t n = 0; n <= STRENGTH_MAX_CHARS; n++)
            memcpy(longest + n * len, chars[i], len);
        struct slice password = {longest, STRENGTH_MAX_CHARS * len};
        assert_int_equal(strength_of(password, MIN, SLICE(""), SLICE("")), STRENGTH_REPEATED);
        password.len = (STRENGTH_MAX_CHARS + 1) * len;
        assert_int_equal(strength_of(password, MIN, SLICE(""), SLICE("")), STRENGTH_TOO_LONG);
    }
}

/* A name that is too long for a password is no reason to compare. */
static void test_long_names(void **state)
{
    static char name[100000];
    memset(name, 'x', sizeof name);
    struct slice long_name = {name, sizeof name};
    assert_int_equal(strength_of(SLICE("correct horse battery"), MIN, long_name, long_name), STRENGTH_GOOD);
    assert_int_equal(strength_of(SLICE("correct horse battery"), MIN, SLICE(""), SLICE("")), STRENGTH_GOOD);
}

static struct common_list list_of(const char *text)
{
    return (struct common_list){text, text + strlen(text)};
}

static void test_search(void **state)
{
    static const char *const words[] = {"aa", "aab", "b", "ba", "ccc", "d", "zz"};
    char text[64] = "", shorter[64];
    for (size_t n = 0; n <= sizeof words / sizeof *words; n++) {
        struct common_list list = list_of(text);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            assert_int_equal(common_has(&list, slice_of(words[i])), i < n);
            snprintf(shorter, sizeof shorter, "%s-", words[i]);
            assert_false(common_has(&list, slice_of(shorter)));
        }
        assert_false(common_has(&list, SLICE("")));
        assert_false(common_has(&list, SLICE("a")));
        assert_false(common_has(&list, SLICE("zzz")));
        assert_false(common_has(&list, SLICE("aa\naab")));
        if (n < sizeof words / sizeof *words) {
            strcat(text, words[n]);
            strcat(text, "\n");
        }
    }
    assert_false(common_has(&(struct common_list){NULL, NULL}, SLICE("aa")));
}

/* Of the real list: sorted, in lower case, and each is found. */
static void test_the_list(void **state)
{
    struct slice rest = {common_list.begin, (size_t)(common_list.end - common_list.begin)}, before = {NULL, 0};
    size_t lines = 0;
    if (!common_list.begin)
        skip(); /* the npm registry was out of reach when this was built */
    assert_int_equal(rest.ptr[rest.len - 1], '\n');
    rest.len--;
    for (struct slice line; rest.ptr; before = line, lines++) {
        line = slice_split(&rest, '\n');
        assert_true(line.len >= 8);
        for (size_t i = 0; i < line.len; i++)
            assert_true(line.ptr[i] > ' ' && line.ptr[i] < 0x7f && (line.ptr[i] < 'A' || line.ptr[i] > 'Z'));
        size_t common = before.len < line.len ? before.len : line.len;
        int order = common ? memcmp(before.ptr, line.ptr, common) : -1;
        assert_true(order < 0 || (order == 0 && before.len < line.len));
        assert_true(common_has(&common_list, line));
    }
    assert_true(lines > 10000);
    assert_int_equal(strength_of(SLICE("Password"), 8, SLICE(""), SLICE("")), STRENGTH_COMMON);
    assert_int_equal(strength_of(SLICE("password2026!"), 8, SLICE(""), SLICE("")), STRENGTH_COMMON);
    assert_int_equal(strength_of(SLICE("1QAZ2wsx3edc4rfv"), MIN, SLICE(""), SLICE("")), STRENGTH_COMMON);
    assert_int_equal(strength_of(SLICE("passwordfrog"), 8, SLICE(""), SLICE("")), STRENGTH_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_longest),  cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_search),     cmocka_unit_test(test_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
