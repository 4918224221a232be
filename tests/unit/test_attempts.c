/* test_attempts.c: worker/auth/attempts.h: which attempts are counted together, what a success forgives,
 * and that the limits are those of the configuration. */
#include "worker/auth/attempts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

struct world {
    struct attempts attempts;
    struct scoreboard *board;
    mono_ms now;
};

static const struct slice alice = {"alice@example.com", 17}, bob = {"bob@example.com", 15};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int fd;
    assert_non_null(w);
    w->board = scoreboard_new(1);
    assert_non_null(w->board);
    w->now = (mono_ms){3600000};
    w->attempts.table = throttle_make(&fd);
    assert_non_null(w->attempts.table);
    close(fd);
    w->attempts.slot = &w->board->slots[0];
    w->attempts.rules = attempt_rules_of(&(struct config){
        .auth_throttle = true, .auth_throttle_address = 20, .auth_create_limit = 3});
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    throttle_free(w->attempts.table);
    scoreboard_free(w->board);
    free(w);
    return 0;
}

static struct attempt_origin from(uint8_t last)
{
    return (struct attempt_origin){.address = {.len = 4, .bytes = {192, 0, 2, last}}};
}

static int64_t fault(struct world *w, struct slice account, struct attempt_origin origin)
{
    struct attempt a;
    int64_t wait_ms = attempts_login(&w->attempts, account, &origin, w->now, &a);
    if (wait_ms == 0)
        attempts_failed(&w->attempts, &a);
    return wait_ms;
}

static int64_t succeed(struct world *w, struct slice account, struct attempt_origin origin)
{
    struct attempt a;
    int64_t wait_ms = attempts_login(&w->attempts, account, &origin, w->now, &a);
    if (wait_ms == 0)
        attempts_succeeded(&w->attempts, &a);
    return wait_ms;
}

/* How often *account* may fail from there, at once. */
static int failures_left(struct world *w, struct slice account, struct attempt_origin origin)
{
    int n = 0;
    while (n < 1000 && fault(w, account, origin) == 0)
        n++;
    return n;
}

static uint64_t counted(const struct world *w, enum counter c)
{
    return atomic_load(&w->board->slots[0].counters[c]);
}

/* ---- logins ----------------------------------------------------------------------------------- */

static void test_account_and_address_together(void **state)
{
    struct world *w = *state;
    assert_int_equal(failures_left(w, alice, from(1)), 5);
    assert_in_range(fault(w, alice, from(1)), 875, 1000);
    assert_int_equal(failures_left(w, bob, from(1)), 5);
    assert_int_equal(failures_left(w, alice, from(2)), 5);
    assert_int_equal(counted(w, COUNTER_logins_failed), 15);
    assert_int_equal(counted(w, COUNTER_logins_throttled), 4);
    assert_int_equal(counted(w, COUNTER_sign_ups_throttled), 0);
}

static void test_account_from_everywhere(void **state)
{
    struct world *w = *state;
    for (uint8_t i = 1; i <= 10; i++)
        assert_int_equal(failures_left(w, alice, from(i)), 5);
    assert_in_range(succeed(w, alice, from(99)), 875, 1000); /* nobody tells right from wrong */
    assert_int_equal(succeed(w, bob, from(1)), 0);
}

static void test_address_whatever_the_account(void **state)
{
    struct world *w = *state;
    static const char names[] = "abcdefghijklmnopqrstuvwxyz";
    int let_through = 0;
    for (int i = 0; i < 26; i++)
        let_through += fault(w, (struct slice){names + i, 1}, from(1)) == 0;
    assert_int_equal(let_through, 20);
    assert_true(succeed(w, alice, from(1)) > 0);
    assert_int_equal(succeed(w, alice, from(2)), 0);
    struct attempt_origin exempt = from(3);
    exempt.exempt = true;
    for (int i = 0; i < 26; i++)
        assert_int_equal(fault(w, (struct slice){names + i, 1}, exempt), 0);
    assert_int_equal(failures_left(w, bob, exempt), 5); /* from the other rules nobody is */
    for (int i = 0; i < 26; i++)
        assert_int_equal(fault(w, (struct slice){names + i, 1}, (struct attempt_origin){{0}, true}), 0);
}

static void test_one_address_locks_out_nobody_else(void **state)
{
    struct world *w = *state;
    w->attempts.rules.address.limit = 0;
    for (int s = 0; s < 7 * 86400; s += 10) {
        fault(w, alice, from(1));
        w->now = mono_add(w->now, 10000);
        if (s % 3600 == 0)
            assert_int_equal(succeed(w, alice, from(2)), 0);
    }
}

/* ---- how they end ----------------------------------------------------------------------------- */

static void test_success_forgives_the_pair(void **state)
{
    struct world *w = *state;
    w->attempts.rules.address.limit = 0;
    for (int i = 0; i < 12; i++) {
        for (int n = 0; n < 4; n++)
            assert_int_equal(fault(w, alice, from(1)), 0);
        assert_int_equal(succeed(w, alice, from(1)), 0);
    }
    /* they were 48 of the account: that it has not forgotten */
    assert_int_equal(failures_left(w, alice, from(2)), 2);
    assert_true(succeed(w, alice, from(1)) > 0);
    assert_int_equal(counted(w, COUNTER_logins_failed), 50);
}

static void test_success_moves_nothing_else(void **state)
{
    struct world *w = *state;
    for (uint8_t i = 1; i <= 49; i++)
        assert_int_equal(fault(w, alice, from(i)), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(succeed(w, alice, from(200)), 0);
    assert_int_equal(fault(w, alice, from(50)), 0);
    assert_true(succeed(w, alice, from(200)) > 0);
    w->now = mono_add(w->now, 1000);
    assert_int_equal(succeed(w, alice, from(200)), 0);
    assert_int_equal(succeed(w, alice, from(200)), 0); /* at once again: the lock did not begin anew */
}

static void test_at_once(void **state)
{
    struct world *w = *state;
    struct attempt a[6];
    struct attempt_origin origin = from(1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(attempts_login(&w->attempts, alice, &origin, w->now, &a[i]), 0);
    assert_true(attempts_login(&w->attempts, alice, &origin, w->now, &a[5]) > 0);
    attempts_undone(&w->attempts, &a[2]);
    attempts_undone(&w->attempts, &a[2]); /* has ended */
    assert_int_equal(attempts_login(&w->attempts, alice, &origin, w->now, &a[5]), 0);
    assert_true(fault(w, alice, from(1)) > 0);
    for (int i = 0; i < 6; i++)
        attempts_undone(&w->attempts, &a[i]);
    assert_int_equal(throttle_used(w->attempts.table, w->now), 0);
    assert_int_equal(counted(w, COUNTER_logins_failed), 0);
}

/* Who is refused by one rule is not counted by another. */
static void test_refused_is_not_counted(void **state)
{
    struct world *w = *state;
    assert_int_equal(failures_left(w, alice, from(1)), 5);
    for (int i = 0; i < 500; i++)
        assert_true(fault(w, alice, from(1)) > 0);
    assert_int_equal(succeed(w, alice, from(2)), 0);
    assert_int_equal(succeed(w, bob, from(1)), 0);
}

/* ---- new accounts ----------------------------------------------------------------------------- */

static void test_sign_ups(void **state)
{
    struct world *w = *state;
    struct attempt a;
    struct attempt_origin one = from(1), other = from(2), exempt = from(3), none = {.exempt = false};
    exempt.exempt = true;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(attempts_sign_up(&w->attempts, &one, w->now, &a), 0);
        attempts_undone(&w->attempts, &a); /* the name was taken */
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(attempts_sign_up(&w->attempts, &one, w->now, &a), 0);
        attempts_signed_up(&a);
    }
    assert_in_range(attempts_sign_up(&w->attempts, &one, w->now, &a), 1199000, 1200000);
    attempts_undone(&w->attempts, &a);
    assert_int_equal(attempts_sign_up(&w->attempts, &other, w->now, &a), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(attempts_sign_up(&w->attempts, &exempt, w->now, &a), 0);
        assert_int_equal(attempts_sign_up(&w->attempts, &none, w->now, &a), 0);
    }
    assert_int_equal(succeed(w, alice, from(1)), 0);
    w->now = mono_add(w->now, 1200000);
    assert_int_equal(attempts_sign_up(&w->attempts, &one, w->now, &a), 0);
    assert_int_equal(counted(w, COUNTER_sign_ups_throttled), 1);
}

/* ---- configuration ---------------------------------------------------------------------------- */

static void test_all_off(void **state)
{
    struct world *w = *state;
    struct attempt a;
    struct attempt_origin origin = from(1);
    struct config off = {.auth_throttle = false, .auth_throttle_address = 20};
    w->attempts.rules = attempt_rules_of(&off);
    assert_int_equal(failures_left(w, alice, from(1)), 1000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(attempts_sign_up(&w->attempts, &origin, w->now, &a), 0);
    assert_int_equal(throttle_used(w->attempts.table, w->now), 0);
    assert_int_equal(counted(w, COUNTER_logins_failed), 1000);
    assert_int_equal(succeed(w, alice, origin), 0);
}

static void test_without_a_table(void **state)
{
    struct world *w = *state;
    struct attempts none = {.rules = w->attempts.rules};
    struct attempt a;
    struct attempt_origin origin = from(1);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(attempts_login(&none, alice, &origin, w->now, &a), 0);
        attempts_failed(&none, &a);
        assert_int_equal(attempts_login(&none, alice, &origin, w->now, &a), 0);
        attempts_succeeded(&none, &a);
        assert_int_equal(attempts_sign_up(&none, &origin, w->now, &a), 0);
    }
}

/* The table's bounds hold for every value that the options allow. */
static void test_every_configuration(void **state)
{
    struct world *w = *state;
    struct attempt a;
    for (int64_t n = 0; n <= 4000; n++) {
        struct attempt_origin origin = {.address = {.len = 8, .bytes = {(uint8_t)n, (uint8_t)(n >> 8)}}};
        w->attempts.rules = attempt_rules_of(&(struct config){.auth_throttle = true,
                                                              .auth_throttle_address = n,
                                                              .auth_create_limit = n % 3601});
        const struct throttle_rule *r = &w->attempts.rules.sign_up;
        if (r->limit > 0) /* a full hour's worth is an hour, at most a little more */
            assert_true(r->limit * r->forget_s >= 3600 && r->limit * (r->forget_s - 1) < 3600);
        assert_int_equal(attempts_login(&w->attempts, alice, &origin, w->now, &a), 0);
        attempts_succeeded(&w->attempts, &a);
        assert_int_equal(attempts_sign_up(&w->attempts, &origin, w->now, &a), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_account_and_address_together),
        CASE(test_account_from_everywhere),
        CASE(test_address_whatever_the_account),
        CASE(test_one_address_locks_out_nobody_else),
        CASE(test_success_forgives_the_pair),
        CASE(test_success_moves_nothing_else),
        CASE(test_at_once),
        CASE(test_refused_is_not_counted),
        CASE(test_sign_ups),
        CASE(test_all_off),
        CASE(test_without_a_table),
        CASE(test_every_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
