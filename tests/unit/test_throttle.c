/* test_throttle.c: shared/throttle.h on a virtual clock: how long a key waits after how many failures,
 * what is forgotten when, what is taken back, who gives way when a set is full, and that memory
 * which is no table is refused. */
#include "shared/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static const struct throttle_rule pair = {5, 900, true};
static const struct throttle_rule crowd = {50, 900, true};
static const struct throttle_rule hourly = {4, 900, false}; /* four an hour */

static struct throttle *table;
static mono_ms now;

static int setup(void **state)
{
    int fd;
    table = throttle_make(&fd);
    if (!table)
        return -1;
    close(fd);
    now = (mono_ms){7 * DAY_MS + 17}; /* the machine was started a week ago */
    return 0;
}

static int teardown(void **state)
{
    throttle_free(table);
    return 0;
}

static void pass(int64_t ms)
{
    now = mono_add(now, ms);
}

static int64_t fault(struct throttle_key key, const struct throttle_rule *rule)
{
    struct throttle_charge c;
    return throttle_charge(table, key, rule, now, &c);
}

static struct throttle_key named(const char *name)
{
    return throttle_key_account(table, slice_of(name));
}

static struct throttle_address address(const char *text)
{
    uint8_t bytes[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(family, text, bytes), 1);
    return throttle_address_of(family, bytes);
}

/* The waits are kept in units of 125 ms. */
static void assert_waits(struct throttle_key key, const struct throttle_rule *rule, int64_t ms)
{
    int64_t wait_ms = throttle_wait_ms(table, key, rule, now);
    if (wait_ms > ms || wait_ms < ms - 125)
        fail_msg("waits %lld ms, not %lld", (long long)wait_ms, (long long)ms);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void test_doubling(void **state)
{
    static const int waits_s[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 900, 900, 900};
    for (int i = 0; i < 5; i++)
        assert_int_equal(fault(named("a"), &pair), 0);
    for (size_t i = 0; i < COUNT(waits_s); i++) { /* 512 twice: the first one is forgotten by then */
        assert_waits(named("a"), &pair, waits_s[i] * 1000);
        pass(waits_s[i] * 1000 - 250);
        assert_in_range(fault(named("a"), &pair), 1, 250); /* not counted */
        pass(250);
        assert_int_equal(fault(named("a"), &pair), 0);
    }
    assert_waits(named("b"), &pair, 0);
}

static void test_limits_are_the_rules(void **state)
{
    for (int i = 0; i < 49; i++)
        assert_int_equal(fault(named("a"), &crowd), 0);
    assert_waits(named("a"), &crowd, 0);
    assert_int_equal(fault(named("a"), &crowd), 0);
    assert_waits(named("a"), &crowd, 1000);
}

static void test_one_is_forgotten_in_a_quarter_of_an_hour(void **state)
{
    for (int i = 0; i < 5; i++)
        fault(named("a"), &pair);
    pass(15 * MINUTE_MS + 1000);
    assert_int_equal(fault(named("a"), &pair), 0);
    assert_waits(named("a"), &pair, 1000); /* the fifth, not the sixth */
    pass(74 * MINUTE_MS);
    assert_int_equal(throttle_used(table, now), 1);
    pass(MINUTE_MS);
    assert_int_equal(throttle_used(table, now), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fault(named("a"), &pair), 0);
    assert_waits(named("a"), &pair, 1000);
}

static void test_hourly(void **state)
{
    for (int i = 0; i < 4; i++)
        assert_int_equal(fault(named("a"), &hourly), 0);
    assert_waits(named("a"), &hourly, 15 * MINUTE_MS);
    pass(15 * MINUTE_MS - 250);
    assert_in_range(fault(named("a"), &hourly), 1, 250);
    pass(250);
    assert_int_equal(fault(named("a"), &hourly), 0);
    assert_waits(named("a"), &hourly, 15 * MINUTE_MS);
    pass(HOUR_MS);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fault(named("a"), &hourly), 0);
    assert_true(fault(named("a"), &hourly) > 0);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void test_another_process_is_a_moment_behind(void **state)
{
    for (int i = 0; i < 5; i++)
        fault(named("a"), &pair);
    pass(-1500);
    assert_waits(named("a"), &pair, 1000);
    assert_true(fault(named("a"), &pair) > 0);
}

static void test_time_wraps(void **state)
{
    enum { WRAP_MS = 125 << 24 };
    now = (mono_ms){(int64_t)WRAP_MS - 400};
    for (int i = 0; i < 8; i++) {
        fault(named("a"), &pair);
        pass(8000); /* over the rim */
    }
    assert_in_range(now.ms, WRAP_MS, INT64_MAX);
    pass(-8000);
    assert_waits(named("a"), &pair, 8000);
    pass(20 * DAY_MS);
    assert_waits(named("a"), &pair, 0);
    assert_int_equal(throttle_used(table, now), 0);
    assert_int_equal(fault(named("a"), &pair), 0);
}

/* ---- taking back ----------------------------------------------------------------------------- */

static void test_undone_is_as_if_it_had_not_been(void **state)
{
    struct throttle_charge c;
    for (int i = 0; i < 7; i++) {
        fault(named("a"), &pair);
        pass(4000);
    }
    assert_int_equal(throttle_charge(table, named("a"), &pair, now, &c), 0);
    assert_waits(named("a"), &pair, 8000);
    throttle_undo(table, &c);
    assert_waits(named("a"), &pair, 0); /* nor was the time of the last failure moved */
    pass(-2000);
    assert_waits(named("a"), &pair, 2000);
    assert_int_equal(throttle_charge(table, named("b"), &pair, now, &c), 0);
    throttle_undo(table, &c);
    assert_int_equal(throttle_used(table, now), 1);
}

static void test_undone_among_others(void **state)
{
    struct throttle_charge c[8];
    for (size_t i = 0; i < COUNT(c); i++)
        assert_int_equal(throttle_charge(table, named("a"), &crowd, now, &c[i]), 0);
    static const size_t order[] = {3, 0, 7, 1};
    for (size_t i = 0; i < COUNT(order); i++)
        throttle_undo(table, &c[order[i]]);
    for (int i = 0; i < 45; i++)
        assert_int_equal(fault(named("a"), &crowd), 0);
    assert_waits(named("a"), &crowd, 0);
    fault(named("a"), &crowd); /* the fiftieth */
    assert_waits(named("a"), &crowd, 1000);
    throttle_undo(table, &c[2]);
    assert_waits(named("a"), &crowd, 0);
}

static void test_attempts_at_once_are_no_more_than_others(void **state)
{
    struct throttle_charge c[6];
    for (int i = 0; i < 5; i++)
        assert_int_equal(throttle_charge(table, named("a"), &pair, now, &c[i]), 0);
    assert_in_range(throttle_charge(table, named("a"), &pair, now, &c[5]), 875, 1000);
    throttle_undo(table, &c[4]);
    assert_int_equal(throttle_charge(table, named("a"), &pair, now, &c[5]), 0);
    assert_true(fault(named("a"), &pair) > 0);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool same(struct throttle_key a, struct throttle_key b)
{
    return a.set == b.set && a.tag == b.tag;
}

static void test_addresses(void **state)
{
    struct throttle_address v4 = address("192.0.2.1"), v6 = address("2001:db8:1:2:3:4:5:6");
    struct throttle_address unix_socket = throttle_address_of(AF_UNIX, v6.bytes);
    assert_int_equal(unix_socket.len, 0);
    assert_true(same(throttle_key_address(table, v6),
                     throttle_key_address(table, address("2001:db8:1:2:ffff::1"))));
    assert_false(same(throttle_key_address(table, v6),
                      throttle_key_address(table, address("2001:db8:1:3:3:4:5:6"))));
    assert_false(same(throttle_key_address(table, v4),
                      throttle_key_address(table, address("192.0.2.2"))));
    assert_false(same(throttle_key_address(table, v4), throttle_key_sign_up(table, v4)));
    assert_false(same(throttle_key_pair(table, SLICE("a"), v4), throttle_key_pair(table, SLICE("b"), v4)));
    assert_false(same(throttle_key_pair(table, SLICE("a"), v4), throttle_key_pair(table, SLICE("a"), v6)));
    assert_false(same(throttle_key_pair(table, SLICE("a"), unix_socket), named("a")));
    assert_false(same(named("a"), named("A"))); /* as the look-up of accounts has it */
    assert_false(same(throttle_key_account(table, ((struct slice){"a\0b", 3})), named("a")));
    /* no account makes up for another address */
    struct slice longer = {"\2\1a", 3};
    struct throttle_address shorter = {.len = 2, .bytes = {192, 0}};
    assert_false(same(throttle_key_pair(table, longer, shorter), throttle_key_pair(table, SLICE("a"), v4)));
}

static void test_another_table_hashes_otherwise(void **state)
{
    int fd, alike = 0;
    struct throttle *other = throttle_make(&fd);
    assert_non_null(other);
    close(fd);
    for (char name[] = "a"; name[0] <= 'z'; name[0]++)
        alike += same(named(name), throttle_key_account(other, slice_of(name)));
    assert_int_equal(alike, 0);
    throttle_free(other);
}

static void test_keys_are_spread_evenly(void **state)
{
    static unsigned sets[THROTTLE_CELLS / THROTTLE_WAYS];
    enum { KEYS = 16 * COUNT(sets) };
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d@example.com", i);
        sets[named(name).set]++;
    }
    double chi = 0;
    for (size_t i = 0; i < COUNT(sets); i++)
        chi += (sets[i] - 16.0) * (sets[i] - 16.0) / 16;
    /* mean 8191, deviation 128 */
    assert_in_range((long)chi, 8191 - 8 * 128, 8191 + 8 * 128);
}

/* ---- forgetting ------------------------------------------------------------------------------ */

static void test_forget(void **state)
{
    for (int i = 0; i < 6; i++) {
        fault(named("a"), &pair);
        fault(named("b"), &pair);
        pass(1000);
    }
    throttle_forget(table, named("a"));
    assert_waits(named("a"), &pair, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fault(named("a"), &pair), 0);
    assert_true(fault(named("a"), &pair) > 0);
    throttle_forget(table, named("c")); /* was never heard of */
    pass(-1000);
    assert_waits(named("b"), &pair, 2000);
}

static void test_forget_an_account_from_everywhere(void **state)
{
    for (uint8_t i = 0; i < 100; i++) {
        struct throttle_address from = {.len = 4, .bytes = {10, 0, 0, i}};
        for (int n = 0; n < 6; n++) {
            fault(throttle_key_pair(table, SLICE("a@x.com"), from), &pair);
            fault(named("a@x.com"), &crowd);
        }
        fault(throttle_key_pair(table, SLICE("b@x.com"), from), &pair);
    }
    unsigned used = throttle_used(table, now);
    assert_int_equal(used, 201);
    unsigned forgotten = throttle_forget_account(table, SLICE("a@x.com"));
    /* the other account's 11 bits are the same once in 2048 runs */
    assert_true(forgotten == 101 || forgotten == 201);
    assert_int_equal(throttle_used(table, now), used - forgotten);
    assert_waits(named("a@x.com"), &crowd, 0);
    struct throttle_address from = {.len = 4, .bytes = {10, 0, 0, 9}};
    assert_waits(throttle_key_pair(table, SLICE("a@x.com"), from), &pair, 0);
    assert_int_equal(throttle_forget_all(table), 201 - forgotten);
    assert_int_equal(throttle_used(table, now), 0);
}

/* ---- a full set ------------------------------------------------------------------------------ */

static struct throttle_key in_set(uint32_t tag)
{
    return (struct throttle_key){.set = 77, .tag = tag};
}

static void test_the_least_guilty_gives_way(void **state)
{
    for (uint32_t tag = 1; tag <= THROTTLE_WAYS; tag++)
        for (uint32_t n = 0; n < 2 + (tag * 5) % 8; n++) /* 7 4 9 6 3 8 5 2 */
            assert_int_equal(fault(in_set(tag), &crowd), 0);
    assert_int_equal(throttle_used(table, now), THROTTLE_WAYS);
    fault(in_set(100), &crowd); /* instead of 8 */
    fault(in_set(8), &crowd);   /* instead of 100 */
    fault(in_set(8), &crowd);
    fault(in_set(8), &crowd);
    fault(in_set(8), &crowd);
    fault(in_set(101), &crowd); /* instead of 5 */
    assert_int_equal(throttle_used(table, now), THROTTLE_WAYS);
    for (int i = 0; i < 46; i++)
        assert_int_equal(fault(in_set(2), &crowd), 0); /* is still there */
    assert_waits(in_set(2), &crowd, 1000);
    for (int i = 0; i < 49; i++)
        assert_int_equal(fault(in_set(5), &crowd), 0); /* was forgotten */
    assert_waits(in_set(5), &crowd, 0);
}

static void test_what_is_nearly_forgotten_gives_way(void **state)
{
    for (uint32_t tag = 1; tag <= THROTTLE_WAYS; tag++) {
        fault(in_set(tag), &pair);
        fault(in_set(tag), &pair);
        if (tag == 3)
            pass(20 * MINUTE_MS);
        else
            pass(tag * 1000);
    }
    fault(in_set(1), &pair); /* three, but older */
    fault(in_set(9), &pair); /* instead of 2 or 3, which are older than the others */
    fault(in_set(10), &pair);
    for (uint32_t tag = 4; tag <= THROTTLE_WAYS; tag++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(fault(in_set(tag), &pair), 0);
        assert_true(fault(in_set(tag), &pair) > 0);
    }
}

static void test_a_success_gives_the_cell_back(void **state)
{
    struct throttle_charge c;
    for (uint32_t tag = 1; tag <= THROTTLE_WAYS; tag++)
        for (int i = 0; i < 6; i++) {
            assert_int_equal(fault(in_set(tag), &pair), 0);
            pass(1000);
        }
    assert_int_equal(throttle_charge(table, in_set(100), &pair, now, &c), 0);
    throttle_undo(table, &c);
    assert_int_equal(throttle_used(table, now), THROTTLE_WAYS);
    for (uint32_t tag = 1; tag <= THROTTLE_WAYS; tag++) {
        pass(4000);
        assert_int_equal(fault(in_set(tag), &pair), 0);
        assert_waits(in_set(tag), &pair, 4000); /* its seventh */
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_another_process_and_program(void **state)
{
    int fd;
    struct throttle *t = throttle_make(&fd);
    assert_non_null(t);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct throttle *again = throttle_map(fd);
        struct throttle_charge c;
        for (int i = 0; again && i < 5; i++)
            throttle_charge(again, throttle_key_account(again, SLICE("a")), &pair, now, &c);
        _exit(again ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_in_range(throttle_wait_ms(t, throttle_key_account(t, SLICE("a")), &pair, now), 875, 1000);
    close(fd);
    throttle_free(t);
    throttle_free(NULL);
}

static void test_what_is_no_table(void **state)
{
    int fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_null(throttle_map(fd));
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_null(throttle_map(fd));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    assert_null(throttle_map(fd));
    assert_int_equal(errno, EINVAL);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_doubling),
        TEST(test_limits_are_the_rules),
        TEST(test_one_is_forgotten_in_a_quarter_of_an_hour),
        TEST(test_hourly),
        TEST(test_another_process_is_a_moment_behind),
        TEST(test_time_wraps),
        TEST(test_undone_is_as_if_it_had_not_been),
        TEST(test_undone_among_others),
        TEST(test_attempts_at_once_are_no_more_than_others),
        TEST(test_addresses),
        TEST(test_another_table_hashes_otherwise),
        TEST(test_keys_are_spread_evenly),
        TEST(test_forget),
        TEST(test_forget_an_account_from_everywhere),
        TEST(test_the_least_guilty_gives_way),
        TEST(test_what_is_nearly_forgotten_gives_way),
        TEST(test_a_success_gives_the_cell_back),
        TEST(test_another_process_and_program),
        TEST(test_what_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
