/* test_admin_child.c: when the admin child comes and goes. */
#include "master/admin_child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct admin_child child;
static mono_ms now;
static char said[200]; /* of the last step */

/* One event; what follows: "spawn", "term 7", "kill 7", one after the other. */
static const char *feed(enum admin_event_type type, pid_t pid)
{
    static const char *const names[] = {
        [ADMIN_SPAWN] = "spawn", [ADMIN_TERM] = "term", [ADMIN_KILL] = "kill"};
    struct admin_actions out;
    size_t len = 0;
    admin_child_step(&child, now, &(struct admin_event){type, pid}, &out);
    said[0] = '\0';
    for (size_t i = 0; i < out.len; i++)
        len += (size_t)snprintf(said + len, sizeof said - len, "%s%s", len ? ", " : "",
                                names[out.items[i].type]);
    for (size_t i = 0, at = 0; i < out.len && out.len == 1; i++)
        if (out.items[i].pid)
            snprintf(said + strlen(said) + at, sizeof said - len, " %d", (int)out.items[i].pid);
    return said;
}

static int64_t wake_in(void)
{
    mono_ms wake = admin_child_wake(&child);
    return wake.ms == MONO_NEVER.ms ? -1 : mono_diff_ms(wake, now);
}

static int setup(void **state)
{
    (void)state;
    now = (mono_ms){1000000};
    admin_child_init(&child, 1);
    return 0;
}

static void serve(pid_t pid)
{
    assert_string_equal(feed(ADMIN_WANT, 0), "spawn");
    assert_string_equal(feed(ADMIN_SPAWNED, pid), "");
    assert_string_equal(feed(ADMIN_READY, pid), "");
}

static void test_unwanted_is_nothing(void **state)
{
    (void)state;
    assert_string_equal(feed(ADMIN_UNWANT, 0), "");
    assert_string_equal(feed(ADMIN_TICK, 0), "");
    assert_int_equal(wake_in(), -1);
}

static void test_comes_and_goes(void **state)
{
    (void)state;
    serve(7);
    assert_int_equal(wake_in(), -1);
    assert_true(admin_child_has(&child, 7));
    assert_false(admin_child_has(&child, 0));
    assert_string_equal(feed(ADMIN_UNWANT, 0), "term 7");
    assert_int_equal(wake_in(), ADMIN_LEAVE_MS);
    assert_true(admin_child_has(&child, 7));
    assert_string_equal(feed(ADMIN_EXITED, 7), "");
    assert_false(admin_child_has(&child, 7));
    assert_int_equal(wake_in(), -1);
}

/* The next one first; whoever serves goes when that one is ready. */
static void test_replaced(void **state)
{
    (void)state;
    serve(7);
    assert_string_equal(feed(ADMIN_WANT, 0), "spawn");
    assert_string_equal(feed(ADMIN_SPAWNED, 8), "");
    assert_int_equal(child.serving, 7);
    assert_string_equal(feed(ADMIN_READY, 8), "term 7");
    assert_int_equal(child.serving, 8);
    assert_string_equal(feed(ADMIN_EXITED, 7), "");
    assert_int_equal(child.serving, 8);
}

/* A second new configuration while one comes: that one is of the wrong one. */
static void test_replaced_while_one_comes(void **state)
{
    (void)state;
    serve(7);
    feed(ADMIN_WANT, 0);
    feed(ADMIN_SPAWNED, 8);
    assert_string_equal(feed(ADMIN_WANT, 0), "term, spawn");
    feed(ADMIN_SPAWNED, 9);
    assert_string_equal(feed(ADMIN_READY, 8), ""); /* too late */
    assert_int_equal(child.serving, 7);
    assert_string_equal(feed(ADMIN_READY, 9), "term 7");
}

static void test_adopted(void **state)
{
    (void)state;
    assert_string_equal(feed(ADMIN_ADOPTED, 7), "");
    assert_string_equal(feed(ADMIN_WANT, 0), "spawn");
    feed(ADMIN_SPAWNED, 8);
    assert_string_equal(feed(ADMIN_READY, 8), "term 7");
}

/* At once, then after 100 ms doubling (± 20 %); a minute of peace clears it. */
static void test_back_off(void **state)
{
    (void)state;
    int64_t expected_ms = 100;
    serve(7);
    assert_string_equal(feed(ADMIN_EXITED, 7), "spawn");
    for (pid_t pid = 8; pid < 12; pid++, expected_ms *= 2) {
        feed(ADMIN_SPAWNED, pid);
        feed(ADMIN_READY, pid);
        assert_string_equal(feed(ADMIN_EXITED, pid), "");
        assert_in_range(wake_in(), expected_ms * 8 / 10, expected_ms * 12 / 10);
        now = admin_child_wake(&child);
        assert_string_equal(feed(ADMIN_TICK, 0), "spawn");
    }
    feed(ADMIN_SPAWNED, 20);
    feed(ADMIN_READY, 20);
    now = mono_add(now, ADMIN_STABLE_MS);
    assert_string_equal(feed(ADMIN_EXITED, 20), "spawn");
}

/* One that dies before it is ready leaves the one that serves alone. */
static void test_candidate_dies(void **state)
{
    (void)state;
    serve(7);
    feed(ADMIN_WANT, 0);
    feed(ADMIN_SPAWNED, 8);
    assert_string_equal(feed(ADMIN_EXITED, 8), "spawn");
    feed(ADMIN_SPAWNED, 9);
    assert_string_equal(feed(ADMIN_EXITED, 9), "");
    assert_int_equal(child.serving, 7);
    now = admin_child_wake(&child);
    assert_string_equal(feed(ADMIN_TICK, 0), "spawn");
    feed(ADMIN_SPAWNED, 10);
    assert_string_equal(feed(ADMIN_READY, 10), "term 7");
}

static void test_no_process_to_be_had(void **state)
{
    (void)state;
    assert_string_equal(feed(ADMIN_WANT, 0), "spawn");
    assert_string_equal(feed(ADMIN_SPAWN_FAILED, 0), "");
    assert_int_equal(wake_in(), 100);
    now = admin_child_wake(&child);
    assert_string_equal(feed(ADMIN_TICK, 0), "spawn");
}

static void test_deaf_ones_are_killed(void **state)
{
    (void)state;
    feed(ADMIN_WANT, 0);
    feed(ADMIN_SPAWNED, 7);
    assert_int_equal(wake_in(), ADMIN_BOOT_MS);
    now = admin_child_wake(&child);
    assert_string_equal(feed(ADMIN_TICK, 0), "kill 7");
    assert_int_equal(wake_in(), -1); /* once */
    assert_string_equal(feed(ADMIN_EXITED, 7), "spawn");
    feed(ADMIN_SPAWNED, 8);
    feed(ADMIN_READY, 8);
    assert_string_equal(feed(ADMIN_UNWANT, 0), "term 8");
    now = admin_child_wake(&child);
    assert_string_equal(feed(ADMIN_TICK, 0), "kill 8");
    assert_int_equal(wake_in(), -1);
}

/* A storm of reloads with children that do not leave: never more than so many. */
static void test_no_crowd(void **state)
{
    (void)state;
    serve(100);
    for (pid_t pid = 101; pid < 101 + ADMIN_LEAVING_MAX; pid++) {
        assert_string_equal(feed(ADMIN_WANT, 0), "spawn");
        feed(ADMIN_SPAWNED, pid);
        assert_int_equal(strncmp(feed(ADMIN_READY, pid), "term ", 5), 0);
    }
    feed(ADMIN_WANT, 0);
    feed(ADMIN_SPAWNED, 200);
    assert_string_equal(feed(ADMIN_READY, 200), "kill, term");
    assert_false(admin_child_has(&child, 100));
}

static void test_strangers(void **state)
{
    (void)state;
    struct admin_actions out;
    serve(7);
    assert_false(admin_child_step(&child, now, &(struct admin_event){ADMIN_EXITED, 99}, &out));
    assert_false(admin_child_step(&child, now, &(struct admin_event){ADMIN_READY, 7}, &out));
    assert_false(admin_child_step(&child, now, &(struct admin_event){ADMIN_EXITED, 0}, &out));
    assert_int_equal(child.serving, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unwanted_is_nothing, setup),
        cmocka_unit_test_setup(test_comes_and_goes, setup),
        cmocka_unit_test_setup(test_replaced, setup),
        cmocka_unit_test_setup(test_replaced_while_one_comes, setup),
        cmocka_unit_test_setup(test_adopted, setup),
        cmocka_unit_test_setup(test_back_off, setup),
        cmocka_unit_test_setup(test_candidate_dies, setup),
        cmocka_unit_test_setup(test_no_process_to_be_had, setup),
        cmocka_unit_test_setup(test_deaf_ones_are_killed, setup),
        cmocka_unit_test_setup(test_no_crowd, setup),
        cmocka_unit_test_setup(test_strangers, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
