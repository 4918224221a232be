/* breaker.h: a circuit breaker: whether an upstream may be called now, judged by how its calls of late
 * have ended. Pure: no clock, no system call; times are given. Loop thread.
 *
 *             over half of the calls failed                    its time is over
 *    CLOSED ────────────────────────────────► OPEN ────────────────────────────► HALF_OPEN
 *       ▲                                      ▲                                  │     │
 *       │                                      └───────── the probe failed ───────┘     │
 *       └────────────────────────────── the probe succeeded ────────────────────────────┘
 *
 * CLOSED: all calls are let through and counted; both counts begin anew window_ms after the first. A
 * failure opens it when more than min_calls were counted and the failures among them are at least
 * max_failures_percent. OPEN: none is let through. HALF_OPEN: one is, the probe. */
#pragma once

#include "shared/clock.h"
#include "shared/scoreboard.h"

#include <stdbool.h>

struct breaker_rule {
    unsigned max_failures_percent;
    unsigned min_calls; /* so many are never enough to open it */
    int64_t window_ms;
    int64_t open_ms;
};

enum breaker_outcome {
    BREAKER_SUCCESS,
    BREAKER_FAILURE,
    BREAKER_FORGOTTEN /* it was cancelled: says nothing */
};

struct breaker {
    struct breaker_rule rule;
    enum breaker_state state; /* never NONE */
    unsigned calls;           /* CLOSED: since window_began */
    unsigned failures;        /* <= calls */
    mono_ms window_began;     /* … of the first call counted */
    mono_ms open_until;       /* OPEN */
    bool probing;             /* HALF_OPEN: the probe is under way */
    unsigned epoch;           /* grows with each change of state */
};

/* What breaker_ask() gave: calls of an earlier state count for nothing. */
struct breaker_ticket {
    unsigned epoch;
};

struct breaker breaker_closed(const struct breaker_rule *rule);
/* True: the call may be made, and breaker_note() must follow with its ticket. */
bool breaker_ask(struct breaker *b, mono_ms now, struct breaker_ticket *ticket_r);
void breaker_note(struct breaker *b, mono_ms now, struct breaker_ticket ticket,
                  enum breaker_outcome outcome);
/* How long until asking may help; 0: now. While a probe is under way nobody knows: 1 s. */
int64_t breaker_wait_ms(const struct breaker *b, mono_ms now);
