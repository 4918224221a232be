/* test_private.c: shared/private.c: memory for keys and passwords. */
#include "shared/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LEN = 5000 }; /* no number of pages */

/* Whether "VmFlags:" of the mapping that it lies in has this flag, proc(5). False: there is none. */
static bool has_flag(const void *memory, const char *flag)
{
    uintptr_t at = (uintptr_t)memory;
    char line[512];
    bool is_ours = false, found = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            is_ours = at >= from && at < to;
        else if (is_ours && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag);
    }
    fclose(smaps);
    return found;
}

static void zeroed_and_kept_out_of_core_dumps(void **state)
{
    (void)state;
    static const char zeroes[LEN];
    char *memory = private_new(LEN);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    assert_memory_equal(memory, zeroes, LEN);
    assert_true(has_flag(memory, " dd"));
    assert_true(has_flag(memory + LEN - 1, " dd"));
    private_free(memory, LEN);
    assert_false(has_flag(memory, " rd"));
}

static void nothing_is_no_affair(void **state)
{
    (void)state;
    private_free(NULL, LEN);
    assert_null(private_new(SIZE_MAX / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_and_kept_out_of_core_dumps),
        cmocka_unit_test(nothing_is_no_affair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
