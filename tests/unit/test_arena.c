/* test_arena.c: shared/arena.h: alignment, growth, the limit, the caller's first block. The address
 * sanitizer sees to it that what is handed out can be written to its last byte. */
#include "shared/arena.h"
#include "shared/poison.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { PIECES = 2000 };

static bool is_aligned(const void *p)
{
    return (uintptr_t)p % alignof(max_align_t) == 0;
}

static bool is_within(const void *p, const void *block, size_t len)
{
    return (uintptr_t)p >= (uintptr_t)block && (uintptr_t)p < (uintptr_t)block + len;
}

/* Pieces of all sizes over many blocks: aligned, and none overlaps another. */
static void test_pieces(void **state)
{
    static unsigned char *pieces[PIECES];
    struct arena a;
    size_t total = 0;
    arena_init(&a, NULL, 0, 64 << 20);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(&a, i);
        assert_non_null(pieces[i]);
        assert_true(is_aligned(pieces[i]));
        memset(pieces[i], (int)(i % 251), i);
        total += i;
    }
    assert_int_equal(a.used_bytes, total);
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < i; k++)
            if (pieces[i][k] != i % 251)
                fail_msg("piece %zu, byte %zu was overwritten", i, k);
    arena_fini(&a);
}

/* len 0 gives pointers of their own: they are told apart. */
static void test_zero_length(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 0);
    void *first = arena_alloc(&a, 0), *second = arena_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_int_equal(a.used_bytes, 0);
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_dup(&a, "", 0)); /* its NUL is a byte, too */
    arena_fini(&a);
}

static void test_limit(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 100);
    assert_null(arena_alloc(&a, 101));
    assert_non_null(arena_alloc(&a, 60));
    assert_null(arena_alloc(&a, 41));
    assert_int_equal(a.used_bytes, 60); /* a refusal costs nothing */
    assert_non_null(arena_alloc(&a, 40));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_zalloc(&a, 1));
    assert_int_equal(a.used_bytes, 100);
    arena_fini(&a);
}

/* Sizes that wrap round when they are rounded up, or when a terminator is added. */
static void test_absurd_lengths(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, SIZE_MAX);
    assert_non_null(arena_alloc(&a, 16));
    for (size_t less = 0; less < 64; less++) {
        volatile size_t len = SIZE_MAX - less; /* the compiler would see through it */
        assert_null(arena_alloc(&a, len));
        assert_null(arena_zalloc(&a, len));
        assert_null(arena_dup(&a, "", len));
    }
    assert_int_equal(a.used_bytes, 16);
    assert_non_null(arena_alloc(&a, 16));
    arena_fini(&a);
}

/* One piece larger than any block gets a block of its own; the small ones after it still fit. */
static void test_big_pieces(void **state)
{
    static const size_t sizes[] = {65536, 1, 65537, 1, 1 << 20, 1, 2048, 2049};
    struct arena a;
    arena_init(&a, NULL, 0, 8 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = arena_alloc(&a, sizes[i]);
        assert_non_null(p);
        assert_true(is_aligned(p));
        memset(p, 'x', sizes[i]);
    }
    arena_fini(&a);
}

/* The caller's block is used first, wherever it begins, and never freed. */
static void test_first_block(void **state)
{
    alignas(max_align_t) char block[256];
    for (size_t shift = 0; shift < 32; shift++) {
        struct arena a;
        arena_init(&a, block + shift, sizeof block - shift, 4096);
        char *p = arena_alloc(&a, 100);
        assert_true(is_aligned(p));
        assert_true(is_within(p, block + shift, sizeof block - shift - 99));
        assert_null(a.blocks); /* nothing was taken from the heap */
        char *q = arena_alloc(&a, 200);
        assert_non_null(q);
        assert_false(is_within(q, block, sizeof block));
        memset(p, 'p', 100);
        memset(q, 'q', 200);
        arena_fini(&a);
        assert_int_equal(p[99], 'p');
    }
}

/* A first block smaller than its own padding holds nothing; the heap does. */
static void test_first_block_too_small(void **state)
{
    alignas(max_align_t) char block[32];
    for (size_t len = 0; len < 16; len++) {
        struct arena a;
        arena_init(&a, block + 1, len, 4096);
        char *p = arena_alloc(&a, 8);
        assert_non_null(p);
        assert_true(is_aligned(p));
        assert_false(is_within(p, block, sizeof block));
        arena_fini(&a);
    }
}

static void test_zeroed(void **state)
{
    static const char zeros[300];
    alignas(max_align_t) char block[512];
    struct arena a;
    memset(block, 'x', sizeof block);
    arena_init(&a, block, sizeof block, 4096);
    char *p = arena_zalloc(&a, sizeof zeros);
    assert_true(is_within(p, block, sizeof block));
    assert_memory_equal(p, zeros, sizeof zeros);
    arena_fini(&a);
}

static void test_dup(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 4 + 1);
    char *p = arena_dup(&a, "a\0b", 3);
    assert_memory_equal(p, "a\0b\0", 4);
    p = arena_dup(&a, NULL, 0);
    assert_string_equal(p, "");
    assert_null(arena_dup(&a, NULL, 0));
    arena_fini(&a);
}

/* Blocks double up to 64 KiB: little memory for little use, few blocks for much. */
static void test_growth(void **state)
{
    struct arena a;
    size_t blocks = 0;
    const void *newest = NULL;
    arena_init(&a, NULL, 0, 1 << 20);
    for (size_t i = 0; i < (1 << 20) / (64 + POISON_GAP); i++) {
        assert_non_null(arena_alloc(&a, 64));
        blocks += (const void *)a.blocks != newest;
        newest = a.blocks;
    }
    /* 2+4+8+16+32+64 KiB are 126 in six; 898 of 1024 are left, in 15 of 64 KiB */
    assert_int_equal(blocks, 6 + 15);
    arena_fini(&a);
}

#ifdef POISON_WORKS
static void assert_alone(const char *p, size_t len)
{
    assert_true(__asan_address_is_poisoned(p - 1));
    for (size_t i = 0; i < len; i++)
        assert_false(__asan_address_is_poisoned(p + i));
    assert_true(__asan_address_is_poisoned(p + len));
}

/* Nobody reads or writes beside a piece, nor a block that goes back to its owner, unseen. */
static void test_strangers_are_seen(void **state)
{
    alignas(max_align_t) char block[256];
    struct arena a;
    arena_init(&a, block, sizeof block, 1 << 20);
    for (size_t len = 0; len < 600; len++) {
        char *p = arena_alloc(&a, len);
        assert_non_null(p);
        assert_alone(p, len);
    }
    assert_true(__asan_address_is_poisoned(block));
    arena_wipe(&a);
    arena_fini(&a);
    assert_null(__asan_region_is_poisoned(block, sizeof block));
    arena_init_secret(&a, 1 << 20);
    assert_alone(arena_alloc(&a, 7), 7);
    arena_fini(&a);
}
#endif

/* After fini() nothing is left, and init() begins anew with a limit of its own. */
static void test_fini_and_again(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 100);
    assert_non_null(arena_alloc(&a, 100));
    arena_fini(&a);
    assert_null(a.blocks);
    assert_int_equal(a.used_bytes, 0);
    arena_fini(&a); /* twice is harmless */
    assert_null(arena_alloc(&a, 1));
    arena_init(&a, NULL, 0, 50);
    assert_non_null(arena_alloc(&a, 50));
    assert_null(arena_alloc(&a, 1));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_zero_length),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_absurd_lengths),
        cmocka_unit_test(test_big_pieces),
        cmocka_unit_test(test_first_block),
        cmocka_unit_test(test_first_block_too_small),
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_dup),
        cmocka_unit_test(test_growth),
#ifdef POISON_WORKS
        cmocka_unit_test(test_strangers_are_seen),
#endif
        cmocka_unit_test(test_fini_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
