/* test_explore_three.c: every story that three workers can live through, in worlds of few features
 * each. See explore.h. */
#include "explore_worlds.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_worlds(void **state)
{
    (void)state;
    explore_worlds(TIER_THREE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
