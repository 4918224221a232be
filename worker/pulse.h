/* pulse.h: what the scoreboard says of a worker's loop: its beat, since when a turn holds it, and
 * the longest turn of late; and the timers by which a loop that wakes too late is noticed. The loop
 * itself measures (worker/loop/stall.h). Thread: the loop's. */
#pragma once

#include "shared/scoreboard.h"
#include "worker/loop/loop.h"

#include <stdint.h>

struct pulse {
    struct ev_check turn_begins; /* before any other watcher's callback */
    struct ev_prepare turn_ends; /* after the last one */
    struct ev_timer second;      /* the beat of an idle loop; ends a window of *longest_us* */
    struct ev_timer tick;        /* debug mode: the loop is to wake at least so often */
    struct scoreboard_slot *slot;
    struct loop *loop;
    uint32_t longest_us; /* of the present second */
    /* Called about once a second, and whenever the loop is about to sleep; set after pulse_start(),
     * NULL: not called. */
    void (*each_second)(void *ctx);
    void (*each_turn)(void *ctx);
    void *ctx;
};

/* Writes beat_ms, busy_since_us and lag_us (of the present and the last whole second). Callbacks and
 * waits longer than *slow_ms* are counted, and in debug mode reported. */
void pulse_start(struct pulse *p, struct loop *l, struct scoreboard_slot *slot, int64_t slow_ms);
void pulse_stop(struct pulse *p);
