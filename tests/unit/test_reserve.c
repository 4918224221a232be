/* test_reserve.c: libev's memory when the heap has none left. */
#include "shared/reserve.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool heap_is_empty;

/* In place of those that shared/reserve.c calls (-Wl,--wrap). */
void *__real_malloc(size_t len);
void *__real_realloc(void *p, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_realloc(void *p, size_t len);

void *__wrap_malloc(size_t len)
{
    return heap_is_empty ? NULL : __real_malloc(len);
}

void *__wrap_realloc(void *p, size_t len)
{
    return heap_is_empty ? NULL : __real_realloc(p, len);
}

static int setup(void **state)
{
    heap_is_empty = false;
    return 0;
}

static void fill(char *p, size_t len, char with)
{
    memset(p, with, len);
}

static void assert_filled(const char *p, size_t len, char with)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(p[i], with);
}

/* As an array of libev's: it grows, on the heap or not, and keeps what is in it. */
static void test_array_grows(void **state)
{
    char *p = NULL;
    size_t len = 64;
    for (int step = 0; step < 12; step++, len *= 2) {
        heap_is_empty = step % 4 >= 2; /* away for a while, and back */
        p = reserve_realloc(p, (long)len);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        if (step > 0)
            assert_filled(p, len / 2, (char)step);
        fill(p, len, (char)(step + 1));
    }
    assert_null(reserve_realloc(p, 0));
}

/* Blocks do not touch each other, also when one shrinks. */
static void test_blocks_are_apart(void **state)
{
    enum { BLOCKS = 100 };
    char *blocks[BLOCKS];
    heap_is_empty = true;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = reserve_realloc(NULL, 1 + i);
        assert_non_null(blocks[i]);
        fill(blocks[i], (size_t)i + 1, (char)i);
    }
    blocks[50] = reserve_realloc(blocks[50], 10);
    assert_filled(blocks[50], 10, 50);
    for (int i = 0; i < BLOCKS; i++) {
        assert_filled(blocks[i], i == 50 ? 10 : (size_t)i + 1, (char)i);
        reserve_realloc(blocks[i], 0);
    }
}

/* It has an end; what was given back can be had again. */
static void test_used_up(void **state)
{
    enum { PIECE = 64 * 1024, MOST = 1000 };
    char *pieces[MOST];
    heap_is_empty = true;
    for (int round = 0; round < 3; round++) {
        size_t n = 0;
        while (n < MOST && (pieces[n] = reserve_realloc(NULL, PIECE)))
            fill(pieces[n++], PIECE, (char)round);
        assert_in_range(n, 24, MOST - 1); /* 2 MiB */
        char *kept = reserve_realloc(pieces[0], 2 * PIECE);
        assert_null(kept);
        assert_filled(pieces[0], PIECE, (char)round); /* as with realloc(3) */
        while (n > 0)
            reserve_realloc(pieces[--n], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_array_grows, setup),
        cmocka_unit_test_setup(test_blocks_are_apart, setup),
        cmocka_unit_test_setup(test_used_up, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
