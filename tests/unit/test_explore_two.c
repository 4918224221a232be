/* test_explore_two.c: every story that two workers can live through. See explore.h. */
#include "explore_worlds.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_worlds(void **state)
{
    (void)state;
    explore_worlds(TIER_TWO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
