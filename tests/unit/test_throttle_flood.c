/* test_throttle_flood.c: ten million keys, each seen once, against shared/throttle.h: it takes no more
 * memory, an account under attack and the address that attacks it still have to wait, and who has done
 * nothing does not. */
#include "shared/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FLOOD = 10000000, INNOCENT_EVERY = 1000 };

static const struct throttle_rule pair = {5, 900, true};
static const struct throttle_rule account = {50, 900, true};
static const struct throttle_address attacker = {.len = 4, .bytes = {192, 0, 2, 1}};

/* Pages of this process that are in memory; proc(5). */
static long resident(void)
{
    long size, pages;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);
    return pages;
}

static void fault(struct throttle *t, struct throttle_key key, const struct throttle_rule *rule,
                 mono_ms now)
{
    struct throttle_charge c;
    throttle_charge(t, key, rule, now, &c);
}

static struct throttle_address of_number(uint32_t i)
{
    struct throttle_address a = {.len = 4};
    memcpy(a.bytes, &i, sizeof i);
    return a;
}

/* One who logs in with the right password: is let through, and leaves nothing. */
static unsigned innocent_login(struct throttle *t, uint32_t i, mono_ms now)
{
    char name[32];
    snprintf(name, sizeof name, "innocent%u@example.com", i);
    struct throttle_charge c[2];
    struct throttle_key its_pair = throttle_key_pair(t, slice_of(name), of_number(~i));
    if (throttle_charge(t, its_pair, &pair, now, &c[0]) > 0)
        return 1;
    if (throttle_charge(t, throttle_key_account(t, slice_of(name)), &account, now, &c[1]) > 0)
        return 1;
    throttle_undo(t, &c[1]);
    throttle_undo(t, &c[0]);
    return 0;
}

static void test_flood(void **state)
{
    int fd;
    struct throttle *t = throttle_make(&fd);
    assert_non_null(t);
    mono_ms now = {3600000};
    struct throttle_key victim = throttle_key_account(t, SLICE("victim@example.com"));
    struct throttle_key guilty = throttle_key_pair(t, SLICE("victim@example.com"), attacker);
    for (int i = 0; i < 50; i++)
        fault(t, victim, &account, now);
    for (int i = 0; i < 5; i++)
        fault(t, guilty, &pair, now);
    for (uint32_t i = 0; i < THROTTLE_CELLS * 4; i++) /* every page was touched */
        fault(t, throttle_key_pair(t, SLICE("x"), of_number(i)), &pair, now);
    long before = resident();
    unsigned hindered = 0;
    for (uint32_t i = 0; i < FLOOD; i++) {
        char name[32];
        snprintf(name, sizeof name, "nobody%u@example.com", i);
        fault(t, throttle_key_pair(t, slice_of(name), of_number(i)), &pair, now);
        if (i % INNOCENT_EVERY == 0) {
            hindered += innocent_login(t, i, now);
            now = mono_add(now, 100); /* ten million take a quarter of an hour and more */
            fault(t, victim, &account, now); /* whenever it is free */
            fault(t, guilty, &pair, now);
        }
    }
    assert_int_equal(hindered, 0);
    assert_in_range(resident(), 1, before + 64); /* the keys alone would take 40,000 */
    assert_in_range(throttle_used(t, now), THROTTLE_CELLS * 9 / 10, THROTTLE_CELLS);
    /* ten of them were let through in these 1000 s: 1, 2, 4 … 512 s after one another */
    assert_in_range(throttle_wait_ms(t, victim, &account, now), 1, 512000);
    assert_in_range(throttle_wait_ms(t, guilty, &pair, now), 1, 512000);
    throttle_free(t);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flood)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
