/* state_key.h: which states of the supervisor have been seen.
 *
 * Time is counted in units: all settings are whole units and it moves one unit at a time, so that
 * the states are finite. Two states are the same when nothing that can still matter differs: times
 * count from now, counters up to where they stop mattering, slots in any order. */
#pragma once

#include "master/supervisor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNIT_MS = 1000, STATE_WORKERS_MAX = 3 };

struct seen {
    uint64_t *cells;
    size_t cap; /* a power of two */
    size_t len;
};

/* True when it was not in yet. */
bool seen_add(struct seen *seen, const struct supervisor *s, mono_ms now);
/* What is decided about a slot, a bit each. */
uint8_t state_flags(const struct sup_slot *slot);
