/* test_hash_memory.c: worker/auth/hash_memory.c: what libsodium's hashes get, seen from the kernel (minor
 * faults of this thread) and from a mapping asked for as libsodium asks. */
#include "worker/auth/hash_memory.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <cmocka.h>

enum { KIB = 1024, MIB = 1024 * KIB, SMALL = 8 * KIB, LARGE = 64 * MIB, HASHES = 200 };

static int open_it(void **state)
{
    hash_memory_open();
    return 0;
}

static int close_it(void **state)
{
    hash_memory_close();
    return 0;
}

static unsigned char *map(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

static void unmap(void *at, size_t len)
{
    assert_int_equal(munmap(at, len), 0);
}

static long faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt;
}

static void hash(size_t memory, unsigned char tag[static 32])
{
    static const unsigned char salt[crypto_pwhash_SALTBYTES] = "0123456789abcde";
    assert_int_equal(crypto_pwhash(tag, 32, "password", 8, salt, 1, memory, crypto_pwhash_ALG_ARGON2ID13), 0);
}

static long faults_of_hashes(void)
{
    unsigned char tag[32];
    hash(SMALL, tag);
    long before = faults();
    for (int i = 0; i < HASHES; i++)
        hash(SMALL, tag);
    return faults() - before;
}

static void test_small_is_kept(void **state)
{
    long with = faults_of_hashes();
    hash_memory_close();
    long without = faults_of_hashes();
    hash_memory_open();
    assert_in_range(without, HASHES, 100 * HASHES); /* two pages each; a sanitizer adds its own */
    assert_in_range(with, 0, without - HASHES);
}

static void test_small_is_wiped(void **state)
{
    static const unsigned char zeros[SMALL];
    unsigned char *at = map(SMALL);
    assert_memory_equal(at, zeros, SMALL);
    memset(at, 'x', SMALL);
    unmap(at, SMALL);
    unsigned char *again = map(SMALL);
    assert_ptr_equal(again, at);
    assert_memory_equal(again, zeros, SMALL);
    unmap(again, SMALL);
}

static void test_two_at_once(void **state)
{
    unsigned char *one = map(SMALL), *two = map(SMALL);
    assert_ptr_not_equal(one, two);
    memset(one, 1, SMALL);
    memset(two, 2, SMALL);
    assert_int_equal(one[SMALL - 1], 1);
    unmap(two, SMALL);
    assert_int_equal(one[0], 1); /* not wiped for the other */
    unmap(one, SMALL);
}

static bool has_huge_pages(void)
{
    char text[64] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    bool has = f && fgets(text, sizeof text, f) && !strstr(text, "[never]");
    if (f)
        fclose(f);
    return has;
}

/* Whether the mapping that begins at *at* has this of the two letters of "VmFlags:", proc(5). */
static bool has_flag(const void *at, const char *flag)
{
    char line[512], start[32];
    bool inside = false, has = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    snprintf(start, sizeof start, "%lx-", (unsigned long)at);
    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, start, strlen(start)))
            inside = true;
        if (inside && !strncmp(line, "VmFlags:", 8)) {
            has = strstr(line, flag) != NULL;
            break;
        }
    }
    fclose(f);
    assert_true(inside);
    return has;
}

static void test_large_has_huge_pages(void **state)
{
    unsigned char *at = map(LARGE);
    at[LARGE - 1] = 1;
    assert_true(has_flag(at, " dd"));
    if (has_huge_pages())
        assert_true(has_flag(at, " hg"));
    unmap(at, LARGE);
}

static void test_large_is_new_each_time(void **state)
{
    static const unsigned char zeros[4 * KIB];
    unsigned char *at = map(LARGE);
    memset(at, 'x', LARGE);
    unmap(at, LARGE);
    at = map(LARGE);
    for (size_t i = 0; i < LARGE; i += sizeof zeros)
        assert_memory_equal(at + i, zeros, sizeof zeros);
    unmap(at, LARGE);
}

static void test_same_tags(void **state)
{
    static const size_t sizes[] = {SMALL, 256 * KIB, 257 * KIB, 4 * MIB - KIB, 4 * MIB, LARGE};
    unsigned char with[32], without[32];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        hash(sizes[i], with);
        hash_memory_close();
        hash(sizes[i], without);
        hash_memory_open();
        assert_memory_equal(with, without, sizeof with);
    }
}

/* Mappings next to one another with the same flags are one: so each between two pages nobody may touch. */
static unsigned char *map_fenced(int more_flags)
{
    enum { PAGE = 4 * KIB };
    unsigned char *fence = mmap(NULL, LARGE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fence, MAP_FAILED);
    unsigned char *at = mmap(fence + PAGE, LARGE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more_flags, -1, 0);
    assert_ptr_equal(at, fence + PAGE);
    return at;
}

static void test_others_are_left_alone(void **state)
{
    assert_false(has_flag(map_fenced(0), " hg"));
    hash_memory_close();
    assert_false(has_flag(map_fenced(MAP_POPULATE), " hg")); /* of a thread that did not ask */
    hash_memory_open();
    assert_true(!has_huge_pages() || has_flag(map_fenced(MAP_POPULATE), " hg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_is_kept, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_small_is_wiped, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_two_at_once, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_large_has_huge_pages, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_large_is_new_each_time, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_same_tags, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_others_are_left_alone, open_it, close_it),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
