/* balance.h: when a worker leaves a newcomer to another one. All workers are woken by the same
 * shared listener, and whoever is least busy is often the last to come: so one that has clearly
 * more to do than the least loaded waits a moment. Pure: reads the scoreboard, decides. Any thread.
 */
#pragma once

#include "shared/scoreboard.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    BALANCE_SILENT_MS = 2500,   /* no beat for so long: it is not running (an idle one beats once a second) */
    BALANCE_STUCK_MS = 50,      /* a turn that takes longer: that worker takes nobody now */
    BALANCE_QUIET = 4,          /* with fewer connections a worker never yields */
    BALANCE_MARGIN = 4,         /* load above the least that is not yet too much … */
    BALANCE_MARGIN_PERCENT = 12 /* … or this share of the least, if that is more */
};

static inline uint64_t balance_load(uint32_t connections, uint32_t busy)
{
    return connections + 4 * (uint64_t)busy;
}

/* The smallest load of the workers beside *own* that can accept: those that are ready, take newcomers at all and are not
 * held by one turn of their loop. An idle worker's beat is a second old, so that it is its
 * busy_since_us that tells, not its beat. UINT64_MAX: there is none. */
uint64_t balance_least(const struct scoreboard *s, const struct scoreboard_slot *own,
                       int64_t now_us);
/* Whether a worker with so much to do yields to one with the least. */
bool balance_yields(uint32_t connections, uint32_t busy, uint64_t least);
