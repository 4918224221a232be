/* pulse.h: what the scoreboard says of a worker's loop: its beat, since when a turn holds it, and
 * the longest turn of late. Two clock reads a turn. Loop thread. */
#pragma once

#include "shared/scoreboard.h"
#include "worker/loop/loop.h"

#include <stdint.h>

struct pulse {
    struct ev_check turn_begins; /* before any other watcher's callback */
    struct ev_prepare turn_ends; /* after the last one */
    struct ev_timer second;      /* the beat of an idle loop; ends a window of *longest_us* */
    struct scoreboard_slot *slot;
    struct loop *loop;
    int64_t since_us;    /* when the present turn began; 0: between turns */
    uint32_t longest_us; /* of the present second */
};

/* Writes beat_ms, busy_since_us and lag_us (of the present and the last whole second). */
void pulse_start(struct pulse *p, struct loop *l, struct scoreboard_slot *slot);
void pulse_stop(struct pulse *p);
