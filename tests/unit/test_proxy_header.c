/* test_proxy_header.c: worker/http/proxy_header.c. Each case is also given byte by byte. */
#include "worker/http/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\x0a\x00\x00\x07\x7f\x00\x00\x01\x9c\x40\x1f\x90"
#define SIXTEEN   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05"
#define MAPPED    "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03"
#define V6        SIXTEEN SIXTEEN "\x00\x50\x01\xbb"
#define ZEROS_54                                                                                   \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define CASE(bytes, result, name) {bytes, sizeof(bytes) - 1, PROXY_HEADER_##result, name}

static const struct {
    const char *bytes;
    size_t len;
    enum proxy_header result;
    const char *name; /* of the peer */
} cases[] = {
    CASE(SIGNATURE "\x21\x11\x00\x0c" V4, PEER, "10.0.0.7:40000"),
    CASE(SIGNATURE "\x21\x11\x00\x13" V4 "\x04\x00\x04"
                   "abcd",
         PEER, "10.0.0.7:40000"),
    CASE(SIGNATURE "\x21\x21\x00\x24" V6, PEER, "[2001:db8::5]:80"),
    CASE(SIGNATURE "\x21\x21\x00\x24" MAPPED SIXTEEN "\x00\x50\x01\xbb", PEER, "10.1.2.3:80"),
    CASE(SIGNATURE "\x20\x00\x00\x00", LOCAL, NULL),
    CASE(SIGNATURE "\x20\x11\x00\x0c" V4, LOCAL, NULL),
    CASE(SIGNATURE "\x20\x11\x00\x00", LOCAL, NULL),
    CASE(SIGNATURE "\x21\x00\x00\x05"
                   "12345",
         LOCAL, NULL),
    CASE(SIGNATURE "\x21\x12\x00\x0c" V4, LOCAL, NULL),
    CASE(SIGNATURE "\x21\x31\x00\xd8" ZEROS_54 ZEROS_54 ZEROS_54 ZEROS_54, LOCAL, NULL),
    CASE(SIGNATURE "\x21\x31\x00\x10" SIXTEEN, WRONG, NULL),
    CASE(SIGNATURE "\x21\x11\x00\x0b"
                   "abcdefghijk",
         WRONG, NULL),
    CASE(SIGNATURE "\x21\x21\x00\x0c" V4, WRONG, NULL),
    CASE(SIGNATURE "\x11\x11\x00\x0c", WRONG, NULL),
    CASE(SIGNATURE "\x31\x11\x00\x0c", WRONG, NULL),
    CASE(SIGNATURE "\x22\x11\x00\x0c", WRONG, NULL),
    CASE(SIGNATURE "\x21\x41\x00\x0c", WRONG, NULL),
    CASE(SIGNATURE "\x21\x13\x00\x0c", WRONG, NULL),
    CASE(SIGNATURE "\x21\x11\x0f\xf1", LONG, NULL),
    CASE(SIGNATURE "\x21\x11\xff\xff", LONG, NULL),
    CASE("PROXY ", OLD, NULL),
    CASE("POST", NONE, NULL),
    CASE("GET", NONE, NULL),
    CASE("\x16", NONE, NULL),
    CASE("\r\n\r\n\0\r\nQUIX", NONE, NULL),
};

static void check(size_t i, const char *bytes, size_t len, enum proxy_header want)
{
    struct peer peer;
    size_t used = 9999;
    char name[PROXY_NAME_MAX];
    char *copy = malloc(len ? len : 1); /* ASan watches its end */
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    enum proxy_header got = proxy_header_read(copy, len, &peer, &used);
    free(copy);
    if (got != want)
        fail_msg("case %zu, %zu bytes: %s", i, len, proxy_header_text(got));
    if (got == PROXY_HEADER_PEER) {
        peer_name(&peer, name);
        assert_string_equal(name, cases[i].name);
    }
    if (got == PROXY_HEADER_PEER || got == PROXY_HEADER_LOCAL)
        assert_int_equal(used, cases[i].len);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t len = 0; len < cases[i].len; len++)
            if (cases[i].result == PROXY_HEADER_PEER || cases[i].result == PROXY_HEADER_LOCAL)
                check(i, cases[i].bytes, len, PROXY_HEADER_MORE);
        check(i, cases[i].bytes, cases[i].len, cases[i].result);
    }
}

/* What follows is not looked at; the longest is taken. */
static void test_ends(void **state)
{
    (void)state;
    static char bytes[PROXY_HEADER_MAX + 8];
    struct peer peer;
    size_t used = 0;
    memcpy(bytes, SIGNATURE "\x21\x11\x0f\xf0" V4, 28);
    memset(bytes + PROXY_HEADER_MAX, 'G', 8);
    assert_int_equal(proxy_header_read(bytes, PROXY_HEADER_MAX - 1, &peer, &used),
                     PROXY_HEADER_MORE);
    assert_int_equal(proxy_header_read(bytes, sizeof bytes, &peer, &used), PROXY_HEADER_PEER);
    assert_int_equal(used, PROXY_HEADER_MAX);
    assert_int_equal(proxy_header_read("PROX", 4, &peer, &used), PROXY_HEADER_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
