/* test_explore_pairs.c: reloads of two workers that are scaled, or replaced, meanwhile. See
 * explore.h. */
#include "explore_worlds.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_worlds(void **state)
{
    (void)state;
    explore_worlds(TIER_PAIRS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
