/* test_authority.c: worker/http/authority.c: hosts and ports. */
#include "worker/http/authority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

struct authority_case {
    const char *text;
    bool valid;
    bool with_port;
};

static const struct authority_case cases[] = {
    {"h", true, false},
    {"h:", true, false},
    {"h:0", true, true},
    {"h:65535", true, true},
    {"h:00080", true, true},
    {"h:65536", false, false},
    {"h:99999999999999999999", false, false},
    {"h:-1", false, false},
    {"h:8 ", false, false},
    {"h:8:8", false, false},
    {"h:x", false, false},
    {"", false, false},
    {":", false, false},
    {":80", false, false},
    {"127.0.0.1:80", true, true},
    {"aZ0-._~!$&'()*+,;=", true, false},
    {"%41%fF", true, false},
    {"%4", false, false},
    {"%", false, false},
    {"%4g", false, false},
    {"u@h", false, false},
    {"h/", false, false},
    {"h?", false, false},
    {"h#", false, false},
    {"h\\", false, false},
    {"h h", false, false},
    {"\"h\"", false, false},
    {"h\xc3\xa1", false, false},
    {"[::1]", true, false},
    {"[::1]:", true, false},
    {"[::1]:80", true, true},
    {"[::ffff:1.2.3.4]:80", true, true},
    {"[::1", false, false},
    {"::1", false, false},
    {"[]", false, false},
    {"[1.2.3.4]", false, false},
    {"[::g]", false, false},
    {"[:]", false, false},
    {"[1:2]", false, false},
    {"[1::2::3]", false, false},
    {"[1:2:3:4:5:6:7:8]:80", true, true},
    {"[1:2:3:4:5:6:7:8:9]", false, false},
    {"[0000:0000:0000:0000:0000:ffff:255.255.255.255]", true, false},
    {"[00000:0000:0000:0000:0000:ffff:255.255.255.255]", false, false},
    {"[v1.x]", false, false},
    {"[fe80::1%eth0]", false, false},
    {"[::1]x", false, false},
    {"[::1]80", false, false},
    {"[::1]]", false, false},
    {"[[::1]]", false, false},
    {"h[::1]", false, false},
    {"[", false, false},
    {"]", false, false},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice text = slice_of(cases[i].text);
        if (authority_is_valid(text) != cases[i].valid ||
            authority_has_port(text) != cases[i].with_port)
            print_error("%s\n", cases[i].text);
        assert_int_equal(authority_is_valid(text), cases[i].valid);
        assert_int_equal(authority_has_port(text), cases[i].with_port);
    }
    assert_false(authority_is_valid((struct slice){"h\0x", 3}));
    assert_false(authority_is_valid((struct slice){"[:\0]", 4}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
    };
    return cmocka_run_group_tests_name("authority", tests, NULL, NULL);
}
