/* test_scribble.c: whatever a worker gone mad has written all over the memory that it shares with the
 * master, what the master does with it comes to an end and touches nothing beyond. */
#include "master/estate.h"
#include "master/report.h"
#include "master/state.h"
#include "shared/bulletin.h"
#include "shared/memory.h"
#include "shared/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 6, SEEDS = 24 };

static struct {
    struct estate estate;
    struct bulletin *bulletin;
} held;

static int setup(void **state)
{
    (void)state;
    estate_init(&held.estate);
    held.bulletin = bulletin_new();
    return held.bulletin && estate_open(&held.estate, SLOTS) == EXIT_CODE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    estate_close(&held.estate);
    bulletin_free(held.bulletin);
    return 0;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static unsigned char all_zero(uint64_t *random)
{
    (void)random;
    return 0;
}

static unsigned char all_one(uint64_t *random)
{
    (void)random;
    return 0xff;
}

/* xorshift64: https://www.jstatsoft.org/article/view/v008i14 */
static unsigned char any(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (unsigned char)(*random >> 32);
}

/* Small numbers are taken for states and lengths. */
static unsigned char mostly_small(uint64_t *random)
{
    unsigned char byte = any(random);
    return byte < 40 ? byte : byte < 120 ? byte % 3 : byte < 130 ? 0x80 : 0;
}

typedef unsigned char pattern(uint64_t *random);

static void scribble(void *memory, pattern *next, uint64_t *random)
{
    unsigned char *p = memory;
    for (size_t i = 0, len = memory_len(memory); i < len; i++)
        p[i] = next(random);
}

static void scribble_everywhere(pattern *next, uint64_t seed)
{
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    scribble(held.estate.scoreboard, next, &random);
    scribble(held.estate.tickets, next, &random);
    scribble(held.estate.throttle, next, &random);
    scribble(held.estate.tls_keys, next, &random);
    scribble(held.bulletin, next, &random);
    /* it was half-way through a fold, or was not: readers need not wait 10000 times for each number */
    atomic_store(&held.estate.scoreboard->fold, (uint32_t)random & ~1U);
}

/* ---- what the master does -------------------------------------------------------------------- */

static void look(const struct scoreboard *board)
{
    struct obituary o;
    assert_int_equal(scoreboard_slots_len(board), SLOTS);
    assert_true(scoreboard_slots_used(board) <= SLOTS);
    for (size_t i = 0; i < SLOTS; i++) {
        struct buf line = {0};
        obituary_take(&o, &board->slots[i], SIGKILL, (mono_ms){1000});
        report_obituary(&o, (int)i, &line);
        assert_false(line.failed);
        buf_free(&line);
        for (unsigned f = 0; f < o.flights_len; f++)
            assert_non_null(memchr(o.flights[f].route, 0, sizeof o.flights[f].route));
    }
    for (unsigned r = 0; r < SCOREBOARD_ROUTES_MAX; r++) {
        assert_true(scoreboard_route_name(board, r).len < SCOREBOARD_ROUTE_MAX);
    }
}

static void tell(struct scoreboard *board)
{
    static struct bulletin_page page;
    static struct bulletin_facts told;
    struct buf text = {0};
    int64_t retry_ms[SLOTS] = {0};
    struct status_facts facts = {.version = "1",
                                 .now = {1000},
                                 .last_reload = {.result = "", .text = ""},
                                 .scoreboard = board,
                                 .retry_ms = retry_ms};
    status_render(&facts, &text);
    metrics_render(&facts, &text);
    assert_false(text.failed);
    buf_free(&text);
    if (bulletin_read(held.bulletin, &page))
        bulletin_tell(&page, board, (mono_ms){1000}, &told);
    for (int edition = 0; edition < 2; edition++) /* one of them may be number 0, which is none */
        assert_true(bulletin_write(held.bulletin, &facts));
    assert_true(bulletin_read(held.bulletin, &page));
    assert_string_equal(page.version, "1");
}

static void bury(struct scoreboard *board)
{
    for (size_t i = 0; i < SLOTS; i++) {
        scoreboard_use(board, i);
        scoreboard_retire(board, i);
        assert_int_equal(atomic_load(&board->slots[i].pid), 0);
    }
    assert_int_equal(atomic_load(&board->fold) % 2, 0);
    scoreboard_count(board, COUNTER_workers_died);
    scoreboard_note(board, (enum timed)0, 1000);
}

/* Cells that are the dead one's, among others. */
static void take_back(struct tickets *t)
{
    uint64_t *cells = (uint64_t *)((char *)t + memory_len(t)) - tickets_wanted();
    cells[0] = 1000;
    assert_int_equal(tickets_count(t), tickets_wanted());
    assert_true(tickets_taken(t) <= tickets_count(t));
    assert_true(tickets_held(t, 1000) >= 1);
    assert_true(tickets_reclaim(t, 1000) >= 1);
    assert_int_equal(tickets_reclaim(t, 1000), 0);
    assert_true(tickets_held(t, 1000) <= tickets_count(t));
}

static void other_tables(struct estate *e)
{
    struct tls_key key;
    throttle_used(e->throttle, (mono_ms){1000});
    throttle_forget_account(e->throttle, SLICE("ana@test.com"));
    throttle_forget_all(e->throttle);
    assert_int_equal(throttle_used(e->throttle, (mono_ms){1000}), 0);
    tls_keys_turn(e->tls_keys, clock_now(), 1000);
    tls_keys_newest(e->tls_keys, &key);
    tls_keys_find(e->tls_keys, key.name, &key);
}

/* The next program maps the same memory. */
static void pass_on(const struct estate *e)
{
    struct state s = {0};
    struct estate next;
    estate_init(&next);
    struct state_master *m = state_add_master(&s);
    m->handover_take = m->handover_give = -1;
    estate_save(e, &s);
    for (size_t i = 0; i < s.table_len; i++)
        s.table[i].fd = dup(s.table[i].fd);
    enum exit_code code = estate_adopt(&next, SLOTS, &s);
    assert_true(code == EXIT_CODE_OK || next.tls_keys == NULL); /* no keys were ever made: refused */
    if (code == EXIT_CODE_OK)
        assert_int_equal(scoreboard_slots_len(next.scoreboard), SLOTS);
    estate_close(&next);
    state_free(&s);
}

static void live_with(pattern *next, uint64_t seed)
{
    scribble_everywhere(next, seed);
    look(held.estate.scoreboard);
    pass_on(&held.estate);
    tell(held.estate.scoreboard);
    bury(held.estate.scoreboard);
    take_back(held.estate.tickets);
    other_tables(&held.estate);
    look(held.estate.scoreboard);
    estate_say_stopping(&held.estate);
}

static void test_zeros(void **state)
{
    (void)state;
    live_with(all_zero, 0);
}

static void test_ones(void **state)
{
    (void)state;
    live_with(all_one, 0);
}

static void test_anything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        live_with(seed % 2 ? any : mostly_small, seed);
}

/* The process that tells is not the one that folds: it does not wait for ever. */
static void test_fold_left_odd(void **state)
{
    (void)state;
    struct scoreboard *board = held.estate.scoreboard;
    atomic_store(&board->fold, UINT32_MAX);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 0);
    scoreboard_retire(board, 0);
    assert_int_equal(atomic_load(&board->fold) % 2, 0);
}

/* Quantiles of counts whose sum has run over. */
static void test_counts_run_over(void **state)
{
    (void)state;
    struct histogram_copy h;
    memset(&h, 0, sizeof h);
    h.cells[0] = UINT64_MAX / 500;
    assert_true(histogram_quantile_us(&h, 990) >= 0);
    memset(&h, 0xff, sizeof h);
    assert_true(histogram_quantile_us(&h, 999) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_zeros, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold_left_odd, setup, teardown),
        cmocka_unit_test(test_counts_run_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
