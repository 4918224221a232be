/* explore_worlds.h: which worlds are explored, and by which program. Each is explored to its
 * end. */
#pragma once

#include "explore.h"

enum tier {
    TIER_ONE,   /* test_explore: with sanitizers, each key with all its states */
    TIER_TWO,   /* test_explore_two */
    TIER_PAIRS, /* test_explore_pairs: the two largest of two workers */
    TIER_THREE, /* test_explore_three */
    TIER_ALL,   /* test_explore_all: tests/run --long */
    TIERS_LEN
};

/* Runs them; fails when something does not hold, or never happened that should. */
void explore_worlds(enum tier tier);
/* Every two features meet in some world: prints a table of the largest, and fails where there is
 * none. */
void explore_pairs(void);
