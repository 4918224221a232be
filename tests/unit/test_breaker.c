/* test_breaker.c: the circuit breaker through all of its states, on a virtual clock. */
#include "worker/upstream/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct breaker_rule rule = {
    .max_failures_percent = 50, .min_calls = 10, .window_ms = 60000, .open_ms = 60000};

static mono_ms at(int64_t ms)
{
    return (mono_ms){1000 + ms};
}

/* One call that is let through, and its end. */
static void call(struct breaker *b, int64_t ms, enum breaker_outcome outcome)
{
    struct breaker_ticket ticket;
    assert_true(breaker_ask(b, at(ms), &ticket));
    breaker_note(b, at(ms), ticket, outcome);
}

static void calls(struct breaker *b, int64_t ms, unsigned n, enum breaker_outcome outcome)
{
    while (n-- > 0)
        call(b, ms, outcome);
}

static void assert_refused(struct breaker *b, int64_t ms)
{
    struct breaker_ticket ticket;
    assert_false(breaker_ask(b, at(ms), &ticket));
}

static struct breaker opened_at(int64_t ms)
{
    struct breaker b = breaker_closed(&rule);
    calls(&b, ms, 11, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_OPEN);
    return b;
}

static void test_ten_calls_are_never_enough(void **state)
{
    struct breaker b = breaker_closed(&rule);
    calls(&b, 0, 10, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(breaker_wait_ms(&b, at(0)), 0);
    call(&b, 0, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_OPEN);
}

/* {successes, then failures}: the state behind them. */
static void test_half_of_them_open_it(void **state)
{
    static const struct {
        unsigned successes, failures;
        enum breaker_state state;
    } cases[] = {{6, 5, BREAKER_CLOSED}, {5, 5, BREAKER_CLOSED}, {5, 6, BREAKER_OPEN},
                 {6, 6, BREAKER_OPEN},   {50, 49, BREAKER_CLOSED}, {50, 50, BREAKER_OPEN},
                 {11, 0, BREAKER_CLOSED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct breaker b = breaker_closed(&rule);
        calls(&b, 0, cases[i].successes, BREAKER_SUCCESS);
        calls(&b, 0, cases[i].failures, BREAKER_FAILURE);
        assert_int_equal(b.state, cases[i].state);
    }
}

/* Only a failure looks: the eleventh call, a success, opens nothing. */
static void test_a_success_never_opens_it(void **state)
{
    struct breaker b = breaker_closed(&rule);
    calls(&b, 0, 10, BREAKER_FAILURE);
    call(&b, 0, BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_CLOSED);
    call(&b, 0, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_OPEN);
}

/* The window begins with its first call, and both counts go together. */
static void test_windows(void **state)
{
    struct breaker b = breaker_closed(&rule);
    call(&b, 0, BREAKER_FAILURE);
    calls(&b, 59999, 9, BREAKER_FAILURE);
    assert_int_equal(b.calls, 10);
    calls(&b, 60000, 10, BREAKER_FAILURE); /* of a new one */
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.calls, 10);
    assert_int_equal(b.failures, 10);
    call(&b, 119999, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void test_forgotten_calls_do_not_count(void **state)
{
    struct breaker b = breaker_closed(&rule);
    calls(&b, 0, 100, BREAKER_FORGOTTEN);
    assert_int_equal(b.calls, 0);
    calls(&b, 0, 10, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_open_refuses_until_its_time(void **state)
{
    struct breaker b = opened_at(500);
    assert_refused(&b, 500);
    assert_int_equal(breaker_wait_ms(&b, at(500)), 60000);
    assert_refused(&b, 60499);
    assert_int_equal(breaker_wait_ms(&b, at(60499)), 1);
    assert_int_equal(breaker_wait_ms(&b, at(60500)), 0);
    assert_int_equal(b.state, BREAKER_OPEN);
    struct breaker_ticket ticket;
    assert_true(breaker_ask(&b, at(60500), &ticket));
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
}

static void test_one_probe_at_a_time(void **state)
{
    struct breaker b = opened_at(0);
    struct breaker_ticket probe;
    assert_true(breaker_ask(&b, at(60000), &probe));
    assert_refused(&b, 60000);
    assert_refused(&b, 500000);
    assert_int_equal(breaker_wait_ms(&b, at(500000)), 1000);
    breaker_note(&b, at(500000), probe, BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.calls, 0);
    calls(&b, 500000, 10, BREAKER_FAILURE); /* counted anew */
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_a_probe_that_fails(void **state)
{
    struct breaker b = opened_at(0);
    call(&b, 60000, BREAKER_FAILURE);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_refused(&b, 119999);
    call(&b, 120000, BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_a_probe_that_is_cancelled_makes_room_for_another(void **state)
{
    struct breaker b = opened_at(0);
    call(&b, 60000, BREAKER_FORGOTTEN);
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    call(&b, 60000, BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

/* Calls that were let through before say nothing about what is now. */
static void test_late_calls(void **state)
{
    struct breaker b = breaker_closed(&rule);
    struct breaker_ticket late[3], probe;
    for (size_t i = 0; i < 3; i++)
        assert_true(breaker_ask(&b, at(0), &late[i]));
    calls(&b, 0, 11, BREAKER_FAILURE);
    breaker_note(&b, at(10), late[0], BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_true(breaker_ask(&b, at(60000), &probe));
    breaker_note(&b, at(60001), late[1], BREAKER_SUCCESS);
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    breaker_note(&b, at(60002), probe, BREAKER_SUCCESS);
    breaker_note(&b, at(60003), late[2], BREAKER_FAILURE);
    assert_int_equal(b.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_calls_are_never_enough),
        cmocka_unit_test(test_half_of_them_open_it),
        cmocka_unit_test(test_a_success_never_opens_it),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_forgotten_calls_do_not_count),
        cmocka_unit_test(test_open_refuses_until_its_time),
        cmocka_unit_test(test_one_probe_at_a_time),
        cmocka_unit_test(test_a_probe_that_fails),
        cmocka_unit_test(test_a_probe_that_is_cancelled_makes_room_for_another),
        cmocka_unit_test(test_late_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
