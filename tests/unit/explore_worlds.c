/* explore_worlds.c: see explore_worlds.h. */
#include "explore_worlds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STOP   ASK(STOP)
#define QUIT   ASK(QUIT)
#define RELOAD ASK(RELOAD)
#define RETRY  ASK(RETRY)
#define AGAIN  ASK(RECYCLE)
#define BY     ASK(SCALE_BY)

/* clang-format off */
#define WORLD(title, from, to, asks, ...) \
    {.name = title, .workers = from, .room = to, .requests = asks, __VA_ARGS__}

static const struct world worlds_one[] = {
    WORLD("1 worker, stops", 1, 1, STOPS, .jobs = true, .few_forks = true, .counts_cut = true,
          .long_times = true, .twins_of = 1),
    WORLD("1 worker, delayed stops", 1, 1, STOPS, .delays = true, .late = true, .counts_cut = true,
          .twins_of = 1),
    WORLD("1 worker, reloads", 1, 1, STOP | QUIT | RELOAD, .jobs = true, .late = true,
          .upgrades = true, .twins_of = 1),
    WORLD("1 worker, replaced", 1, 1, STOP | AGAIN | RETRY, .flags = true, .twins_of = 5),
    WORLD("1 worker, reloaded and replaced at any time", 1, 1, STOP | RELOAD | RETRY, .flags = true,
          .jobs = true, .delays = true, .late = true, .upgrades = true),
    WORLD("1 worker, replaced, few forks, cuts", 1, 1, QUIT | RETRY, .flags = true,
          .few_forks = true, .counts_cut = true),
    WORLD("2 workers, stops", 2, 2, STOPS, .jobs = true, .counts_cut = true, .twins_of = 1),
    WORLD("2 workers, reloads", 2, 2, STOP | RELOAD, .upgrades = true, .twins_of = 20),
};
static const struct world worlds_two[] = {
    WORLD("1 worker, upgrades, few forks, cuts", 1, 1, STOP | RELOAD, .upgrades = true,
          .few_forks = true, .counts_cut = true),
    WORLD("1 or 2 workers, upgrades that resize", 1, 2, STOP | RELOAD, .upgrades = true,
          .resizes = true),
    WORLD("2 workers, stops of all kinds", 2, 2, STOPS, .jobs = true, .delays = true, .late = true,
          .few_forks = true, .counts_cut = true, .twins_of = 10),
    WORLD("2 workers, reloads at any time", 2, 2, STOPS | RELOAD | RETRY, .jobs = true,
          .delays = true, .resizes = true, .late = true, .twins_of = 20),
    WORLD("2 workers, reloads, few forks, cuts", 2, 2, STOP | RELOAD, .resizes = true,
          .few_forks = true, .counts_cut = true),
    WORLD("2 workers, replaced, few forks", 2, 2, STOP, .flags = true, .few_forks = true,
          .twins_of = 20),
    WORLD("2 workers, replaced at any time", 2, 2, STOP, .flags = true, .jobs = true,
          .delays = true, .late = true),
    WORLD("1 to 2 workers at any time", 2, 2, STOPS | SCALES | RETRY, .jobs = true, .delays = true,
          .late = true, .twins_of = 20),
};
static const struct world worlds_pairs[] = {
    WORLD("1 to 2 workers, reloads", 2, 2, STOP | RELOAD | BY),
    WORLD("2 workers, reloaded and replaced", 2, 2, STOPS | RELOAD | AGAIN | RETRY, .flags = true),
};
static const struct world worlds_three[] = {
    WORLD("3 workers, stops of all kinds", 3, 3, STOPS, .jobs = true, .delays = true, .late = true,
          .counts_cut = true, .twins_of = 200),
    WORLD("3 workers, reloads", 3, 3, STOP | RELOAD),
    WORLD("1 to 3 workers, few forks", 3, 3, STOP | BY, .few_forks = true),
};
/* The first has 519 000 states and takes 22 s of one core; the others are larger. */
static const struct world worlds_all[] = {
    WORLD("2 workers, replaced and cut", 2, 2, STOP, .flags = true, .counts_cut = true),
    WORLD("1 to 2 workers, few forks, cuts", 2, 2, STOP | BY | RETRY, .few_forks = true,
          .counts_cut = true),
    WORLD("1 to 2 workers, reloads that resize", 2, 2, STOP | RELOAD | BY, .resizes = true),
    WORLD("1 to 2 workers, upgrades", 2, 2, STOP | RELOAD | BY, .upgrades = true),
    WORLD("1 to 2 workers, replaced", 2, 2, STOP | BY, .flags = true),
    WORLD("2 workers, replaced, reloads that resize", 2, 2, STOP | RELOAD, .flags = true,
          .resizes = true),
};
/* clang-format on */

static const struct {
    const struct world *worlds;
    size_t len;
} tiers[TIERS_LEN] = {
    [TIER_ONE] = {worlds_one, sizeof worlds_one / sizeof worlds_one[0]},
    [TIER_TWO] = {worlds_two, sizeof worlds_two / sizeof worlds_two[0]},
    [TIER_PAIRS] = {worlds_pairs, sizeof worlds_pairs / sizeof worlds_pairs[0]},
    [TIER_THREE] = {worlds_three, sizeof worlds_three / sizeof worlds_three[0]},
    [TIER_ALL] = {worlds_all, sizeof worlds_all / sizeof worlds_all[0]},
};

/* ---- what must have happened ----------------------------------------------------------------- */

/* Each way in which a transition can end was gone. */
static void check_told(const struct world *w, const struct explored *found)
{
    const unsigned long(*told)[SUP_FAILURE_STOP + 1] = found->told;
    if (w->requests & ASK(RELOAD))
        for (int f = SUP_FAILURE_NONE; f <= SUP_FAILURE_STOP; f++)
            assert_true(told[SUP_KIND_RELOAD][f] > 0 ||
                        (!w->upgrades && f == SUP_FAILURE_EXEC) || f == SUP_FAILURE_PROGRAM);
    static const enum sup_failure ends[] = {SUP_FAILURE_NONE, SUP_FAILURE_WORKER, SUP_FAILURE_STOP};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_true(!w->flags || told[SUP_KIND_HUNG][ends[i]] > 0);
        assert_true(!(w->flags || w->requests & ASK(RECYCLE)) ||
                    told[SUP_KIND_RECYCLE][ends[i]] > 0);
    }
}

static void check_exits(const struct world *w, const size_t exits[])
{
    assert_true(exits[EXIT_CODE_OK] > 0 && exits[EXIT_CODE_NO_WORKER] > 0);
    assert_true(exits[EXIT_CODE_CONFIG] > 0);
    assert_true(!w->counts_cut || exits[EXIT_CODE_CUT] > 0);
    assert_true(!w->jobs || exits[EXIT_CODE_INTERNAL] > 0);
}

void explore_worlds(enum tier tier)
{
    for (size_t i = 0; i < tiers[tier].len; i++) {
        const struct world *w = &tiers[tier].worlds[i];
        struct explored found;
        explore(w, &found);
        check_told(w, &found);
        check_exits(w, found.exits);
        assert_true(w->twins_of == 0 || found.twins > 0);
    }
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static const char *const feature_names[] = {"stop",  "quick",  "delay", "jobs",      "reload",
                                            "hung",  "recycle", "retry", "scale",     "resize",
                                            "late",  "few forks", "cut", "upgrade"};
enum { FEATURES = sizeof feature_names / sizeof feature_names[0] };

static bool has(const struct world *w, size_t feature)
{
    const bool in[FEATURES] = {
        w->requests & ASK(STOP),
        w->requests & (ASK(QUIT) | ASK(INTERRUPT)),
        w->delays,
        w->jobs,
        w->requests & ASK(RELOAD),
        w->flags,
        w->flags || w->requests & ASK(RECYCLE),
        w->requests & ASK(RETRY),
        w->requests & SCALES,
        w->resizes && w->requests & ASK(RELOAD),
        w->late,
        w->few_forks,
        w->counts_cut,
        w->upgrades && w->requests & ASK(RELOAD),
    };
    return in[feature];
}

/* The most workers with which the two meet; 0: they never do. */
static unsigned workers_where_they_meet(int tiers_len, size_t a, size_t b)
{
    unsigned most = 0;
    for (int tier = 0; tier < tiers_len; tier++)
        for (size_t i = 0; i < tiers[tier].len; i++) {
            const struct world *w = &tiers[tier].worlds[i];
            if (w->room > most && has(w, a) && has(w, b))
                most = w->room;
        }
    return most;
}

/* How many workers the largest world has in which two features meet; a dot: only --long has one. */
void explore_pairs(void)
{
    for (size_t a = 0; a < FEATURES; a++) {
        char row[2 * FEATURES + 1] = "";
        for (size_t b = 0; b <= a; b++) {
            unsigned most = workers_where_they_meet(TIER_ALL, a, b);
            row[2 * b] = ' ';
            row[2 * b + 1] = most ? (char)('0' + most) : '.';
            assert_true(workers_where_they_meet(TIERS_LEN, a, b) > 0);
        }
        print_message("%10s%s\n", feature_names[a], row);
    }
}
