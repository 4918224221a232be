/* stall.h: who holds the loop, and for how long. Each callback of a watcher, each done() of a task
 * and each flush hook says what it is when it begins (loop_enter() in loop.h); it lasts until the
 * next one begins or the turn ends. So one clock read a callback is all it costs, and most of them
 * need the time anyway.
 *
 * Counted always (if there is a slot): callbacks longer than the limit, waits that ended that much
 * too late, and how long turns took. Written to the log in debug mode:
 *
 *   slow callback: bytes of a connection, POST /users/ (create_user) id=a0…: held the loop for 132 ms (limit 100 ms)
 *   slow poll: the loop was to wake within 100 ms and woke after 2043 ms
 *
 * Decides without reading a clock: times are given. Thread: the loop's. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { STALL_WHAT_MAX = 96 };

struct stall {
    struct scoreboard_slot *slot; /* counters and histogram; borrowed, NULL: nothing is counted */
    int64_t limit_us;             /* longer is slow; 0: nothing is */
    int64_t wake_by_us;           /* some timer is due then; 0: none that we know of */

    int64_t began_us; /* when the present turn began; 0: the loop sleeps */
    int64_t ended_us; /* … the last one ended; 0: there was none */

    /* the present callback */
    const char *what;     /* static; NULL: none has begun in this turn */
    const char *made_at;  /* of its task, "file.c:123"; NULL: it is none's */
    int64_t since_us;
    unsigned requests;                 /* looked at in it; counted in debug mode only */
    char route[STALL_WHAT_MAX];        /* "POST /users/" of the last one */
    char handler[STALL_WHAT_MAX / 2];  /* "create_user"; empty: not known yet */
    char id[SCOREBOARD_REQUEST_ID_MAX];
};

/* The loop has waited; its watchers' callbacks come now. */
void stall_turn_begins(struct stall *s, int64_t now_us);
/* A callback begins, and with it the one before it is over. */
void stall_callback(struct stall *s, const char *what, const char *made_at, int64_t now_us);
/* The loop is about to wait. */
void stall_turn_ends(struct stall *s, int64_t now_us);

/* In debug mode: the present callback works on this request … */
void stall_note_request(struct stall *s, struct slice method, struct slice path, struct slice id);
/* … which is this handler's affair; static. */
void stall_note_handler(struct stall *s, const char *handler);
