/* fanout_internal.h: what fanout.c (one fan-out and its calls) and fanouts.c (what all of them share: the
 * breaker, the ring of those that wait, the numbers that are shown) know of each other. Inner header of
 * worker/upstream. Loop thread. */
#pragma once

#include "worker/upstream/fanout.h"
#include "worker/upstream/pace.h"

enum fanout_call_state { CALL_WAITING, CALL_UNDER_WAY, CALL_RESTING, CALL_OVER };

struct fanout_call {
    struct call call; /* first */
    struct fanout *fanout;
    struct fanout_call *next_of_all;
    struct fanout_call *next_waiting;
    enum fanout_call_state state;
    unsigned tag;
    unsigned tries;
    bool late; /* cancelled because the time of the whole was over: the upstream's failure */
    struct breaker_ticket ticket;
    int64_t began_us;
    struct ev_timer rest;
};

struct fanouts {
    struct loop *loop;
    struct fanouts_options options;
    struct breaker breaker;
    unsigned under_way;
    unsigned waiting;
    unsigned open_fanouts;
    struct fanout *ring_first;
    struct fanout *ring_last;
    unsigned burst; /* calls begun in this turn of the loop */
    struct loop_flush turn_ends;
    struct pace pace;
    struct ev_timer next_begins; /* when the pace allows it */
    uint64_t random; /* never 0 */
};

/* ---- in fanouts.c ---------------------------------------------------------------------------- */

/* Puts the state of the breaker and how many calls there are on the scoreboard. */
void fanouts_show(const struct fanouts *s);
/* The breaker's word before a call, and what it is told behind it. Changes of its state are logged. */
bool fanouts_ask(struct fanouts *s, struct breaker_ticket *ticket_r);
void fanouts_tell(struct fanouts *s, const struct fanout_call *c, enum breaker_outcome outcome);
/* A call has ended; one that was cancelled for no fault of the upstream's does not count. */
void fanouts_count_latency(struct fanouts *s, const struct fanout_call *c);
/* The call waits for its turn from now on. */
void fanouts_wait(struct fanout_call *c);
/* The oldest call of the fan-out whose turn it is; that one goes to the end. There must be one. */
struct fanout_call *fanouts_take_turn(struct fanouts *s);
/* Nothing of it waits any more. Harmless when it is not in the ring. */
void fanouts_leave_ring(struct fanouts *s, struct fanout *f);

/* ---- in fanout.c ----------------------------------------------------------------------------- */

void fanouts_on_turn_ends(struct loop_flush *flush);
void fanouts_on_next_begins(struct ev_loop *ev, struct ev_timer *timer, int revents);
