/* test_uuid.c: every spelling that is taken, and the words for those that are not. */
#include "worker/validate/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define GOOD "efb77dcf-d83c-4935-81ac-7be5f37e6cdc"

static void test_spellings(void **state)
{
    static const char *const texts[] = {
        GOOD,
        "EFB77DCF-D83C-4935-81AC-7BE5F37E6CDC",
        "efb77dcfd83c493581ac7be5f37e6cdc",
        "EFB77dcfd83c493581ac7be5f37E6CDC",
        "{" GOOD "}",
        "urn:uuid:" GOOD,
        "urn:uuid:EFB77DCF-D83C-4935-81AC-7BE5F37E6CDC",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char canonical[UUID_TEXT_LEN + 1] = {0};
        struct buf error = {0};
        assert_true(uuid_parse(slice_of(texts[i]), canonical, &error));
        assert_string_equal(canonical, GOOD);
        assert_int_equal(error.len, 0);
    }
}

static void test_nil(void **state)
{
    char canonical[UUID_TEXT_LEN + 1] = {0};
    struct buf error = {0};
    assert_true(uuid_parse(SLICE("00000000000000000000000000000000"), canonical, &error));
    assert_string_equal(canonical, "00000000-0000-0000-0000-000000000000");
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "invalid length: expected length 32 for simple format, found 0"},
        {"a", "invalid length: expected length 32 for simple format, found 1"},
        {"efb77dcfd83c493581ac7be5f37e6cd", "invalid length: expected length 32 for simple format, found 31"},
        {"efb77dcfd83c493581ac7be5f37e6cdcc",
         "invalid length: expected length 32 for simple format, found 33"},
        {"invalido", "invalid character: found `i` at 1"},
        {"valor-invalido", "invalid character: found `v` at 1"},
        {"efb77dcf-d83c-4935-81ac-7be5f37e6cdg", "invalid character: found `g` at 36"},
        {" " GOOD, "invalid character: found ` ` at 1"},
        {GOOD " ", "invalid character: found ` ` at 37"},
        {"é", "invalid character: found `é` at 1"},
        {"ab😀", "invalid character: found `😀` at 3"},
        {"{" GOOD, "invalid character: found `{` at 1"},
        {"{efb77dcg}", "invalid character: found `g` at 9"},
        {"urn:uuid:x", "invalid character: found `x` at 10"},
        {"URN:UUID:" GOOD, "invalid character: found `U` at 1"},
        {"efb77dcf-d83c-4935-81ac7be5f37e6cdc", "invalid group count: expected 5, found 4"},
        {"-", "invalid group count: expected 5, found 2"},
        {"a-b-c-d-e-f", "invalid group count: expected 5, found 6"},
        {"{efb77dcfd83c493581ac7be5f37e6cdc}", "invalid group count: expected 5, found 1"},
        {"urn:uuid:efb77dcfd83c493581ac7be5f37e6cdc", "invalid group count: expected 5, found 1"},
        {"{}", "invalid group count: expected 5, found 1"},
        {"efb77dc-d83c-4935-81ac-7be5f37e6cdc", "invalid group length in group 0: expected 8, found 7"},
        {"efb77dcf-d83c1-4935-81ac-7be5f37e6cdc",
         "invalid group length in group 1: expected 4, found 5"},
        {"efb77dcf-d83c-493-81ac-7be5f37e6cdc", "invalid group length in group 2: expected 4, found 3"},
        {"efb77dcf-d83c-4935-81-7be5f37e6cdc", "invalid group length in group 3: expected 4, found 2"},
        {"efb77dcf-d83c-4935-81ac-7be5f37e6cd",
         "invalid group length in group 4: expected 12, found 11"},
        {"efb77dcf-d83c-4935-81ac-", "invalid group length in group 4: expected 12, found 0"},
        /* of the last group's length braces are a part, as in the crate */
        {"{efb77dcf-d83c-4935-81ac-7be5f37e6cd}",
         "invalid group length in group 4: expected 12, found 13"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char canonical[UUID_TEXT_LEN];
        struct buf error = {0};
        assert_false(uuid_parse(slice_of(cases[i].text), canonical, &error));
        buf_append_char(&error, 0);
        assert_string_equal(error.data, cases[i].error);
        buf_free(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_nil),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
