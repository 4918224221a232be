/* slots.h: the life of one process, as a table [state][event] of tiny functions: one table for
 * workers and one for one-shot children (migration, checkpoint). Pure, as supervisor.h, which owns
 * the slots and is the only caller. */
#pragma once

#include "master/backoff.h"
#include "shared/entry.h"
#include "shared/scoreboard.h"

#include <stdbool.h>
#include <sys/types.h>

struct supervisor;
struct sup_event;
struct sup_actions;

/* What can befall a slot. The first five are reports about its process and come from outside; the
 * rest are the supervisor's own decisions. */
#define SLOT_EVENTS(X)                                                                             \
    X(SPAWNED, "spawned")                                                                          \
    X(SPAWN_FAILED, "spawn failed")                                                                \
    X(READY, "ready")                                                                              \
    X(CUT, "cut")                                                                                  \
    X(EXITED, "exited")                                                                            \
    X(START, "start") /* its time has come and a fork is allowed */                                \
    X(DUE, "due")     /* its deadline has come */                                                  \
    X(ACCEPT, "accept") /* newcomers may come to it */                                             \
    X(MOVE, "move")   /* leave; others go on with its connections */                               \
    X(DRAIN, "drain") /* leave; nobody goes on */                                                  \
    X(ABORT, "abort") /* it hangs: ABRT, so that it leaves a stack */                              \
    X(QUIT, "quit")

enum slot_event {
#define X(name, text) SLOT_EVENT_##name,
    SLOT_EVENTS(X)
#undef X
        SLOT_EVENTS_LEN
};
const char *slot_event_name(enum slot_event event);

struct sup_slot {
    enum slot_state state;
    enum role role;         /* ROLE_SERVE, or what the one-shot child in it is for */
    bool wanted;            /* to be filled with a worker and kept filled */
    bool candidate;         /* made by the present transition; wanted once that commits */
    bool held;              /* this process takes nobody until it is told to */
    bool leaving;           /* that commit ends it */
    bool retiring;          /* the transition waits for its end */
    bool recycle;           /* this process is to be replaced */
    bool hung;              /* this process does not answer any more */
    bool moving;            /* DRAINING: was sent MESSAGE_MOVE */
    uint64_t born;          /* of the last process in it: the larger, the younger; 0: none */
    unsigned generation;    /* of the process in it; meaningless when EMPTY */
    pid_t pid;              /* 0: EMPTY, BACKOFF, or SPAWN was asked and is not yet answered */
    mono_ms deadline;       /* DUE happens then; MONO_NEVER unless a process lives in it */
    mono_ms retry_at;       /* BACKOFF: not before; MONO_NEVER: waits for a reload. Else {0} */
    mono_ms ready_at;       /* of the present process; {0}: not yet */
    mono_ms drain_until;    /* DRAINING: then it is told to cut what it still serves */
    bool told_to_cut;       /* DRAINING: it was sent MESSAGE_QUIT */
    int64_t cut;            /* connections that it said it cut */
    unsigned deaths;        /* in a row, each before it was stable */
    unsigned fork_failures; /* in a row */
    int last_status;        /* of the last death, as wait(2) gives it */
    unsigned alike;         /* deaths in a row with that status: repeated log lines are counted */
};

/* Everything a handler sees. */
struct slot_step {
    struct supervisor *s;
    struct sup_slot *slot;
    mono_ms now;
    const struct sup_event *event; /* the report, for the first five; else NULL */
    struct sup_actions *out;
};

void slot_init(struct sup_slot *slot, enum role role, bool wanted);
/* Applies one event. An event that comes too late is counted in s->late; one that cannot happen in
 * this state is our bug and an ASSERT. */
void slot_step(const struct slot_step *t, enum slot_event event);

/* The same for a decision of the supervisor's own: START, DUE, DRAIN, QUIT. */
void slot_decide(struct supervisor *s, struct sup_slot *slot, mono_ms now, enum slot_event event,
                 struct sup_actions *out);

/* A process lives in it, or is just being made. */
static inline bool slot_is_live(const struct sup_slot *slot)
{
    return slot->state != SLOT_EMPTY && slot->state != SLOT_BACKOFF;
}
