/* test_estate.c: what all workers share, from one program to the next: the same memory where both have
 * the same layout; else one of its own, the other's being kept for the way back; and counters that
 * never go backwards. */
#include "master/estate.h"

#include "master/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 6 };

static ino_t inode(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

/* As over an execve: each descriptor is the next program's own. */
static void duplicate(struct state *s)
{
    for (size_t i = 0; i < s->table_len; i++)
        s->table[i].fd = dup(s->table[i].fd);
}

static void save(const struct estate *e, struct state *s)
{
    *s = (struct state){0};
    struct state_master *m = state_add_master(s);
    m->handover_take = dup(e->handover[0]);
    m->handover_give = dup(e->handover[1]);
    estate_save(e, s);
    duplicate(s);
}

static void pretend_other_layout(struct state *s)
{
    for (size_t i = 0; i < s->table_len; i++)
        s->table[i].layout ^= 1;
}

static void fault_once(struct throttle *t)
{
    static const struct throttle_rule rule = {5, 900, true};
    struct throttle_charge c;
    struct throttle_key key = throttle_key_account(t, SLICE("alice@example.com"));
    assert_int_equal(throttle_charge(t, key, &rule, (mono_ms){1000}, &c), 0);
}

static void test_same_layout(void **state)
{
    (void)state;
    struct estate a, b;
    struct state s;
    estate_init(&a);
    estate_init(&b);
    assert_int_equal(estate_open(&a, SLOTS), EXIT_CODE_OK);
    save(&a, &s);
    assert_int_equal(estate_adopt(&b, SLOTS, &s), EXIT_CODE_OK);
    assert_int_equal(inode(a.scoreboard_fd), inode(b.scoreboard_fd));
    assert_int_equal(inode(a.tickets_fd), inode(b.tickets_fd));
    assert_int_equal(inode(a.throttle_fd), inode(b.throttle_fd));
    assert_int_equal(inode(a.handover[0]), inode(b.handover[0]));
    assert_int_equal(inode(a.handover[1]), inode(b.handover[1]));
    assert_int_equal(b.foreign_len, 0);
    scoreboard_use(a.scoreboard, 0);
    counter_add(&a.scoreboard->slots[0], COUNTER_requests, 7);
    assert_int_equal(scoreboard_total(b.scoreboard, COUNTER_requests), 7);
    int ticket = tickets_take(a.tickets, 0);
    assert_int_equal(tickets_held(b.tickets, getpid()), 1);
    tickets_give(b.tickets, ticket);
    fault_once(a.throttle);
    assert_int_equal(throttle_used(b.throttle, (mono_ms){1000}), 1);
    state_free(&s);
    estate_close(&a);
    estate_close(&b);
}

static void test_there_and_back_with_another_layout(void **state)
{
    (void)state;
    struct estate a, b, again;
    struct state s;
    estate_init(&a);
    estate_init(&b);
    estate_init(&again);
    assert_int_equal(estate_open(&a, SLOTS), EXIT_CODE_OK);
    scoreboard_use(a.scoreboard, 0);
    counter_add(&a.scoreboard->slots[0], COUNTER_requests, 7);
    fault_once(a.throttle);
    save(&a, &s);
    pretend_other_layout(&s);
    assert_int_equal(estate_adopt(&b, SLOTS, &s), EXIT_CODE_OK);
    assert_int_not_equal(inode(a.scoreboard_fd), inode(b.scoreboard_fd));
    assert_int_equal(b.foreign_len, 4);
    assert_int_equal(scoreboard_total(b.scoreboard, COUNTER_requests), 7);
    estate_say_stopping(&b);
    assert_int_equal(atomic_load(&a.scoreboard->stopping), 1);
    assert_int_equal(atomic_load(&b.scoreboard->stopping), 1);
    scoreboard_use(b.scoreboard, 0);
    counter_add(&b.scoreboard->slots[0], COUNTER_requests, 5);
    state_free(&s);
    save(&b, &s);
    pretend_other_layout(&s); /* the foreign ones are ours again */
    assert_int_equal(s.table_len, 8);
    counter_add(&a.scoreboard->slots[0], COUNTER_requests, 1);
    assert_int_equal(estate_adopt(&again, SLOTS, &s), EXIT_CODE_OK);
    assert_int_equal(inode(again.scoreboard_fd), inode(a.scoreboard_fd));
    assert_int_equal(inode(again.tickets_fd), inode(a.tickets_fd));
    assert_int_equal(scoreboard_total(again.scoreboard, COUNTER_requests), 12);
    assert_int_equal(again.foreign_len, 4);
    assert_int_equal(throttle_used(again.throttle, (mono_ms){1000}), 1);
    int foreign = again.foreign[0].fd;
    estate_forget_foreign(&again);
    assert_int_equal(fcntl(foreign, F_GETFD), -1);
    state_free(&s);
    estate_close(&a);
    estate_close(&b);
    estate_close(&again);
}

/* Into another layout, cell by cell and by name; what is not known here is left out. */
static void test_durations_over_layouts(void **state)
{
    (void)state;
    struct estate a, b;
    struct state s;
    struct histogram_copy h;
    estate_init(&a);
    estate_init(&b);
    assert_int_equal(estate_open(&a, SLOTS), EXIT_CODE_OK);
    scoreboard_use(a.scoreboard, 0);
    scoreboard_route(a.scoreboard, "GET", "/first");
    unsigned route = scoreboard_route(a.scoreboard, "GET", "/second");
    histogram_note(&a.scoreboard->slots[0].series[scoreboard_series(route, 4)], 300);
    histogram_note(&a.scoreboard->slots[0].series[scoreboard_series(0, 2)], 99000000);
    histogram_note(&a.scoreboard->slots[0].series[TIMED_store_write], 7);
    save(&a, &s);
    pretend_other_layout(&s);
    assert_int_equal(s.histogram_len, 6); /* a bucket and a sum of each */
    struct state_histogram *foreign = state_add_histogram(&s);
    *foreign = (struct state_histogram){.name = SLICE("of_tomorrow"), .value = 1};
    *state_add_histogram(&s) = (struct state_histogram){
        .route = SLICE("GET /second"), .class = 4, .below_us = 333, .value = 1000};
    *state_add_histogram(&s) = (struct state_histogram){
        .route = SLICE("GET /second"), .class = 7, .below_us = 500, .value = 1000};
    assert_int_equal(estate_adopt(&b, SLOTS, &s), EXIT_CODE_OK);
    unsigned there = scoreboard_route(b.scoreboard, "GET", "/second");
    scoreboard_collect(b.scoreboard, scoreboard_series(there, 4), &h);
    assert_int_equal(h.cells[2], 1);
    assert_int_equal(histogram_count(&h), 1);
    assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 300);
    scoreboard_collect(b.scoreboard, scoreboard_series(0, 2), &h);
    assert_int_equal(h.cells[HISTOGRAM_BUCKETS - 1], 1);
    scoreboard_collect(b.scoreboard, TIMED_store_write, &h);
    assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 7);
    state_free(&s);
    estate_close(&a);
    estate_close(&b);
}

static void refuse_table(struct estate *a, int64_t slots)
{
    struct estate b;
    struct state s;
    estate_init(&b);
    save(a, &s);
    assert_int_equal(estate_adopt(&b, (size_t)slots, &s), EXIT_CODE_INTERNAL);
    state_free(&s);
    estate_close(&b);
}

static void test_what_is_none_is_refused(void **state)
{
    (void)state;
    struct estate a, b;
    struct state s;
    estate_init(&a);
    assert_int_equal(estate_open(&a, SLOTS), EXIT_CODE_OK);
    refuse_table(&a, SLOTS + 2);
    refuse_table(&a, SLOTS - 2);
    for (int i = 0; i < 3; i++) { /* each in another's place */
        estate_init(&b);
        save(&a, &s);
        dup2(s.table[(i + 1) % 3].fd, s.table[i].fd);
        assert_int_equal(estate_adopt(&b, SLOTS, &s), EXIT_CODE_INTERNAL);
        state_free(&s);
        estate_close(&b);
    }
    estate_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_layout),
        cmocka_unit_test(test_there_and_back_with_another_layout),
        cmocka_unit_test(test_durations_over_layouts),
        cmocka_unit_test(test_what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
