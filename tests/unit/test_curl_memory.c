/* test_curl_memory.c: worker/upstream/curl_memory.h: allocation as libcurl knows it, from memory that is
 * not dumped, zeroed when it comes and when it goes. */
#include "worker/upstream/curl_memory.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* /proc/self/smaps: the mapping has VmFlags with "dd". */
static bool is_kept_from_dumps(const void *at)
{
    char line[512];
    unsigned long from, to;
    bool inside = false, found = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)at >= from && (uintptr_t)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " dd");
    fclose(maps);
    return found;
}

static bool is_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

static const size_t lens[] = {0, 1, 31, 32, 33, 100, 4096, 16384, 32767, 32768, 32769, 70000, 1 << 20};
enum { LENS = sizeof lens / sizeof *lens };

static void test_what_is_given(void **state)
{
    char *all[LENS][3];
    (void)state;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < LENS; i++) {
            char *p = all[i][round] = curl_memory_malloc(lens[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
            assert_true(is_kept_from_dumps(p));
            assert_true(is_zero(p, lens[i]));
            memset(p, (int)(i * 3) + round + 1, lens[i]);
        }
    for (int round = 0; round < 3; round++) /* nobody's bytes are another's */
        for (size_t i = 0; i < LENS; i++) {
            for (size_t k = 0; k < lens[i]; k++)
                assert_int_equal(all[i][round][k], (char)((int)(i * 3) + round + 1));
            curl_memory_free(all[i][round]);
        }
    curl_memory_free(NULL);
}

/* What is given back is wiped at once, and given out again. */
static void test_what_is_left_behind(void **state)
{
    (void)state;
    char *p = curl_memory_malloc(1000);
    memset(p, 'x', 1000);
    curl_memory_free(p);
    assert_true(is_zero(p + sizeof(void *), 1000 - sizeof(void *)));
    char *q = curl_memory_malloc(900);
    assert_ptr_equal(q, p);
    assert_true(is_zero(q, 900));
    curl_memory_free(q);
}

static void test_growth(void **state)
{
    (void)state;
    char *p = curl_memory_realloc(NULL, 1), *before = NULL;
    for (size_t len = 1; len < 200000; len = len * 3 / 2 + 1) {
        p[len - 1] = (char)len;
        before = p;
        p = curl_memory_realloc(p, len * 3 / 2 + 1);
        assert_non_null(p);
        if (p != before && len < 32768)
            assert_true(is_zero(before + sizeof(void *), len - (len > sizeof(void *) ? sizeof(void *) : len)));
        for (size_t i = 1; i <= len; i = i * 3 / 2 + 1)
            assert_int_equal(p[i - 1], (char)i);
    }
    assert_ptr_equal(curl_memory_realloc(p, 10), p);
    curl_memory_free(p);
    char *copy = curl_memory_strdup("X-Api-Key: k");
    assert_string_equal(copy, "X-Api-Key: k");
    curl_memory_free(copy);
}

static void test_what_cannot_be(void **state)
{
    (void)state;
    assert_null(curl_memory_calloc(SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
    assert_null(curl_memory_malloc(SIZE_MAX - 5));
    assert_null(curl_memory_malloc((size_t)PTRDIFF_MAX - 4096));
}

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    char *held[16] = {0};
    for (int i = 0; i < 20000; i++) {
        size_t k = (size_t)rand_r(&seed) % 16, len = 1 + (size_t)rand_r(&seed) % 3000;
        if (held[k] && held[k][0] != (char)k)
            return held[k]; /* it is another thread's, too */
        curl_memory_free(held[k]);
        held[k] = curl_memory_malloc(len);
        held[k][0] = (char)k;
    }
    for (size_t k = 0; k < 16; k++)
        curl_memory_free(held[k]);
    return NULL;
}

static void test_threads(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    void *wrong;
    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_given),  cmocka_unit_test(test_what_is_left_behind),
        cmocka_unit_test(test_growth),         cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
