/* test_bearer.c: worker/auth/bearer.c. */
#include "worker/auth/bearer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NONE NULL

static void test_header(void **state)
{
    static const struct {
        const char *header;
        const char *token; /* NONE: "Not authenticated" */
    } rows[] = {
        {"Bearer abc", "abc"},
        {"bearer abc", "abc"},
        {"BEARER abc", "abc"},
        {"bEaReR a.b.c", "a.b.c"},
        {"Bearer    abc   ", "abc"},
        {"Bearer \tabc\t", "abc"},
        {"Bearer a b", "a b"},
        {"Bearer", ""},
        {"Bearer ", ""},
        {"Bearer    ", ""},
        {"", NONE},
        {" ", NONE},
        {" Bearer abc", NONE},
        {"Bearer\tabc", NONE},
        {"Bearerabc", NONE},
        {"Beare abc", NONE},
        {"Bearers abc", NONE},
        {"Basic YTpi", NONE},
        {"abc", NONE},
        {"a.b.c", NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice header = slice_of(rows[i].header);
        struct slice token = SLICE("untouched");
        bool is_bearer = bearer_token(header, &token);
        if (is_bearer != (rows[i].token != NONE))
            fail_msg("\"%s\": %d", rows[i].header, is_bearer);
        if (!is_bearer) {
            assert_true(slice_equals(token, SLICE("untouched")));
            continue;
        }
        assert_non_null(token.ptr);
        if (!slice_equals(token, slice_of(rows[i].token)))
            fail_msg("\"%s\": token \"%.*s\"", rows[i].header, SLICE_ARGS(token));
        assert_true(token.len == 0 ||
                    (token.ptr > header.ptr && token.ptr + token.len <= header.ptr + header.len));
    }
}

static void test_no_header(void **state)
{
    struct slice token;
    assert_false(bearer_token((struct slice){NULL, 0}, &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_header),
                                       cmocka_unit_test(test_no_header)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
