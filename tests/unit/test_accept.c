/* test_accept.c: worker/http/accept.c. */
#include "worker/http/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *header;
    bool gzip;
} cases[] = {
    {NULL, false},
    {"", false},
    {"gzip", true},
    {"GZip", true},
    {"x-gzip", true},
    {"gzip, deflate, br, zstd", true},
    {"br , \tgzip ;q=0.5", true},
    {"deflate, br", false},
    {"identity", false},
    {"gzipped", false},
    {"gzip;q=0", false},
    {"gzip;q=0.000", false},
    {"gzip; Q = 0.", false},
    {"gzip;q=0.001", true},
    {"gzip;q=1", true},
    {"gzip;q=", true},
    {"gzip;level=0", true},
    {"gzip;level=9;q=0", false},
    {"*", true},
    {"*;q=0", false},
    {"*, gzip;q=0", false},
    {"gzip;q=0, *", false},
    {"*;q=0, gzip", true},
    {",,;,gzip", true},
};

static void test_accept_gzip(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (accept_gzip(slice_of(cases[i].header)) != cases[i].gzip)
            fail_msg("\"%s\" was taken for the opposite", cases[i].header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
