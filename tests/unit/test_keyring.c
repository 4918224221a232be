/* test_keyring.c: keys one behind the other: what was put in comes out, and nothing else is read. */
#include "shared/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void test_round_trip(void **state)
{
    (void)state;
    static char ring[KEYRING_MAX_BYTES], longest[KEYRING_KEY_MAX_BYTES];
    memset(longest, 0xff, sizeof longest);
    const struct slice keys[] = {SLICE("k"), {longest, sizeof longest}, SLICE("a\0b")};
    char *end = ring;
    for (size_t i = 0; i < 3; i++)
        end = keyring_put(end, keys[i]);
    struct slice rest = {ring, (size_t)(end - ring)}, key;
    assert_true(keyring_is_sound(rest));
    for (size_t i = 0; i < 3; i++) {
        assert_true(keyring_next(&rest, &key));
        assert_true(slice_equals(key, keys[i]));
    }
    assert_int_equal(rest.len, 0);
    assert_false(keyring_next(&rest, &key));
}

static void test_what_is_no_keyring(void **state)
{
    (void)state;
    static const struct slice rows[] = {
        {"\0", 1}, {"\0\1", 2}, {"\0\0", 2}, {"\0\2x", 3}, {"\0\1xy", 4}, {"\x10\1x", 3}, {"\0\1x\0\0", 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(keyring_is_sound(rows[i]));
    assert_true(keyring_is_sound(SLICE("")));
    assert_true(keyring_is_sound((struct slice){NULL, 0}));
}

static void test_no_more_than_so_many(void **state)
{
    (void)state;
    char ring[3 * (KEYRING_KEYS_MAX + 1)], *end = ring;
    for (int i = 0; i < KEYRING_KEYS_MAX; i++)
        end = keyring_put(end, SLICE("k"));
    assert_true(keyring_is_sound((struct slice){ring, (size_t)(end - ring)}));
    end = keyring_put(end, SLICE("k"));
    assert_false(keyring_is_sound((struct slice){ring, (size_t)(end - ring)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_is_no_keyring),
        cmocka_unit_test(test_no_more_than_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
