/* test_siphash.c: shared/siphash.h against the paper's own example and libsodium, whole and in
 * parts. */
#include "shared/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

/* Bytes 00 01 02 … 0f as a key, as the paper's appendix A has it. */
static const struct siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static uint64_t hash(const void *bytes, size_t len)
{
    struct siphash s;
    siphash_begin(&s, &key);
    siphash_add(&s, bytes, len);
    return siphash_end(&s);
}

static void test_the_papers_example(void **state)
{
    uint8_t text[15];
    for (uint8_t i = 0; i < sizeof text; i++)
        text[i] = i;
    assert_true(hash(text, sizeof text) == UINT64_C(0xa129ca6149be45e5));
}

static void test_as_libsodium_has_it(void **state)
{
    uint8_t text[300], raw_key[crypto_shorthash_KEYBYTES], raw[crypto_shorthash_BYTES];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 151 + 7);
    memcpy(raw_key, &key, sizeof raw_key); /* this machine is little-endian */
    for (size_t len = 0; len <= sizeof text; len++) {
        uint64_t value;
        assert_int_equal(crypto_shorthash(raw, text, len, raw_key), 0);
        memcpy(&value, raw, sizeof value);
        assert_true(hash(text, len) == value);
    }
}

static void test_parts_are_one_text(void **state)
{
    uint8_t text[40] = "the bytes of all parts count as one text";
    for (size_t a = 0; a <= sizeof text; a++)
        for (size_t b = a; b <= sizeof text; b++) {
            struct siphash s;
            siphash_begin(&s, &key);
            siphash_add(&s, text, a);
            siphash_add(&s, text + a, b - a);
            siphash_add(&s, text + b, sizeof text - b);
            assert_true(siphash_end(&s) == hash(text, sizeof text));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_papers_example),
        cmocka_unit_test(test_as_libsodium_has_it),
        cmocka_unit_test(test_parts_are_one_text),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
