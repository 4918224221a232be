/* test_explore.c: every story that one worker can live through, and two that are stopped; under
 * sanitizers, and each state that has the key of another is tried as well. See explore.h. */
#include "explore_worlds.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_worlds(void **state)
{
    (void)state;
    explore_worlds(TIER_ONE);
}

static void test_every_two_features_meet(void **state)
{
    (void)state;
    explore_pairs();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
        cmocka_unit_test(test_every_two_features_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
