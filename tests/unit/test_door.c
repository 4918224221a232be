/* test_door.c: shared/door.c. */
#include "shared/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct {
    const char *text;
    const char *name;
    unsigned words;
    const char *said;
} good[] = {
    {"127.0.0.1:8000", "127.0.0.1:8000", 0, ""},
    {"0.0.0.0:8443 tls", "0.0.0.0:8443", DOOR_TLS, " tls"},
    {"[::1]:1 proxy", "[::1]:1", DOOR_PROXY, " proxy"},
    {"unix:/run/x.sock proxy", "unix:/run/x.sock", DOOR_PROXY, " proxy"},
    {":8443 proxy tls", "0.0.0.0:8443", DOOR_PROXY | DOOR_TLS, " proxy tls"},
    {"8443 \t tls   proxy ", "127.0.0.1:8443", DOOR_PROXY | DOOR_TLS, " proxy tls"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct sock_address address;
        char name[SOCK_NAME_MAX];
        struct buf error = {0}, said = {0};
        unsigned words = 99;
        assert_true(door_parse(slice_of(good[i].text), &address, &words, &error));
        sock_name(&address, name);
        assert_string_equal(name, good[i].name);
        assert_int_equal(words, good[i].words);
        door_say_words(words, &said);
        assert_true(slice_equals(buf_slice(&said), slice_of(good[i].said)));
        buf_free(&said);
    }
    assert_true(slice_equals(door_address(SLICE("[::1]:1 proxy tls")), SLICE("[::1]:1")));
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"127.0.0.1:8000 ssl", "\"ssl\" is no word"},
    {"127.0.0.1:8000 TLS", "\"TLS\" is no word"},
    {"unix:/run/my own.sock", "\"own.sock\" is no word"},
    {"127.0.0.1:8000 tls tls", "\"tls\" is there twice"},
    {"tls 127.0.0.1:8000", "tls"},
    {"", "it is empty"},
    {"  ", "it is empty"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sock_address address;
        struct buf error = {0};
        unsigned words;
        assert_false(door_parse(slice_of(bad[i].text), &address, &words, &error));
        buf_append_char(&error, '\0');
        assert_non_null(strstr(error.data, bad[i].why));
        buf_free(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
