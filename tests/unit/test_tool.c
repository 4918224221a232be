/* test_tool.c: words of the command line taken apart, and text made harmless for a terminal. */
#include "worker/tools/tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

enum { ARGS_MAX = 6 };

static const struct {
    const char *args[ARGS_MAX];
    const char *want; /* words, comma, on, value; NULL: refused */
} lines[] = {
    {{NULL}, ",off,-"},
    {{"a", "b"}, "a b ,off,-"},
    {{"--on", "a"}, "a ,on,-"},
    {{"a", "--on"}, "a ,on,-"},
    {{"--value", "x", "a"}, "a ,off,x"},
    {{"--value=x", "a"}, "a ,off,x"},
    {{"--value", "--on"}, ",off,--on"},
    {{"--", "--on", "--value"}, "--on --value ,off,-"},
    {{"--on", "--", "--"}, "-- ,on,-"},
    {{"-"}, "- ,off,-"},
    {{""}, " ,off,-"},
    {{"a", "b", "c", "d"}, "a b c d ,off,-"},
    {{"a", "b", "c", "d", "e"}, NULL},
    {{"--onn"}, NULL},
    {{"--o"}, NULL},
    {{"-x"}, NULL},
    {{"--on=1"}, NULL},
    {{"--value"}, NULL},
    {{"--value="}, NULL},
};

static void words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool on = false;
        const char *value = NULL;
        const struct tool_option options[] = {{"--on", &on, NULL}, {"--value", NULL, &value}};
        struct tool_words w;
        int argc = 0;
        while (argc < ARGS_MAX && lines[i].args[argc])
            argc++;
        bool taken = tool_words("verb", argc, (char **)(uintptr_t)lines[i].args, options, 2, &w);
        char got[128];
        int len = 0;
        for (size_t k = 0; taken && k < w.len; k++)
            len += snprintf(got + len, sizeof got - (size_t)len, "%s ", w.at[k]);
        snprintf(got + len, sizeof got - (size_t)len, ",%s,%s", on ? "on" : "off",
                 value ? value : "-");
        assert_int_equal(taken, lines[i].want != NULL);
        if (taken)
            assert_string_equal(got, lines[i].want);
    }
}

static const struct {
    struct slice text;
    const char *want;
    size_t columns;
} texts[] = {
    {{"", 0}, "", 0},
    {{"alice", 5}, "alice", 5},
    {{"\0\x1b[2J\x7f", 6}, "\\x00\\x1b[2J\\x7f", 15},
    {{"\xc2\x9b"
      "31m",
      5},
     "\\xc2\\x9b31m",
     11}, /* CSI as one C1 */
    {{"\xc2\xa0\xc3\xa9\xe6\xbc\xa2", 7},
     "\xc2\xa0\xc3\xa9\xe6\xbc\xa2",
     3},                                     /* what is to be seen */
    {{"\xe2\x80\xaex", 4}, "\\u{202e}x", 9}, /* RIGHT-TO-LEFT OVERRIDE */
    {{"\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8", 8}, "\\u{2066}\\u{61c}\\u{2028}", 23},
    {{"a\xff\xe6\xbc", 4}, "a\\xff\\xe6\\xbc", 13},
};

static void shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = {0};
        assert_int_equal(tool_show(&out, texts[i].text), texts[i].columns);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, texts[i].want);
        buf_free(&out);
    }
}

static void shown_as_json(void **state)
{
    (void)state;
    struct buf out = {0};
    tool_show_json(&out, (struct slice){"a\"\x1b\x7f\xc2\x9b\xe2\x80\xae\xc3\xa9\xff", 12});
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, "\"a\\\"\\u001b\\u007f\\u009b\\u202e\xc3\xa9\xef\xbf\xbd\"");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(shown),
                                       cmocka_unit_test(shown_as_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
