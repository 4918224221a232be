/* test_outage.c: worker/store/outage.h: each outage is told, none fills the log. */
#include "worker/store/outage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FULL = 13, BROKEN = 10, SAME = OUTAGE_SAME_GAP_MS, OTHER = OUTAGE_OTHER_GAP_MS };

/* At *ms* something happens: an error, or (0) it works. Is there a line? */
struct step {
    int64_t ms;
    int code;
    bool line;
};

static void play(const struct step *steps, size_t len)
{
    struct outage o = {0};
    for (size_t i = 0; i < len; i++) {
        mono_ms now = {1 + steps[i].ms};
        bool line = steps[i].code ? outage_goes_on(&o, steps[i].code, now) : outage_is_over(&o);
        if (line != steps[i].line)
            fail_msg("step %zu, at %lld ms: a line? %d", i, (long long)steps[i].ms, line);
        assert_int_equal(o.code, steps[i].code);
    }
}

#define PLAY(...)                                                                                  \
    do {                                                                                           \
        const struct step steps[] = {__VA_ARGS__};                                                 \
        play(steps, sizeof steps / sizeof *steps);                                                 \
    } while (0)

/* One line at its begin, however long it lasts, and one at its end. */
static void test_one_outage(void **state)
{
    (void)state;
    PLAY({0, 0, false}, {5, FULL, true}, {6, FULL, false}, {SAME + 6, FULL, false},
         {100 * SAME, FULL, false}, {100 * SAME, 0, true}, {100 * SAME, 0, false});
}

/* What begins soon after an end is told as soon as the gap allows, also if it goes on without a
 * break, and then its end is, too. */
static void test_the_next_is_told_after_the_gap(void **state)
{
    (void)state;
    PLAY({0, FULL, true}, {1, 0, true}, {2, FULL, false}, {SAME - 1, FULL, false},
         {SAME, FULL, true}, {SAME + 1, FULL, false}, {SAME + 2, 0, true});
    PLAY({0, FULL, true}, {3 * SAME, 0, true}, {3 * SAME + 1, FULL, true}, {3 * SAME + 2, 0, true});
}

/* What was over before it could be told has no end in the log either. */
static void test_short_ones_are_not_told(void **state)
{
    (void)state;
    PLAY({0, FULL, true}, {1, 0, true}, {2, FULL, false}, {3, 0, false}, {4, FULL, false},
         {5, 0, false}, {SAME + 1, FULL, true}, {SAME + 1, 0, true});
}

/* A different error is news; two that alternate do not fill the log. */
static void test_another_error(void **state)
{
    (void)state;
    PLAY({0, FULL, true}, {OTHER, BROKEN, true}, {OTHER + 1, BROKEN, false}, {3 * OTHER, 0, true},
         {3 * OTHER, FULL, true});
    PLAY({0, FULL, true}, {1, BROKEN, false}, {2, FULL, false}, {3, BROKEN, false},
         {OTHER, BROKEN, true}, {OTHER + 1, FULL, false}, {2 * OTHER, FULL, true},
         {2 * OTHER + 1, 0, true});
    PLAY({0, FULL, true}, {1, BROKEN, false}, {2, 0, true}, {3, BROKEN, false},
         {OTHER, BROKEN, true}, {OTHER + 1, 0, true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_outage),
        cmocka_unit_test(test_the_next_is_told_after_the_gap),
        cmocka_unit_test(test_short_ones_are_not_told),
        cmocka_unit_test(test_another_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
