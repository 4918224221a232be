/* transition.h: workers replaced by others. Reload, recycling and the replacement of one that hangs
 * are one mechanism with one way back:
 *
 *   [CHECK]  reload only: a one-shot child judges the new configuration; and if another program is
 *            to take over, that program does
 *   [EXEC]   that program takes the place of this one (SUP_EXEC) and goes on from here (SUP_ADOPTED)
 *            then the driver opens what is new of the configuration (SUP_BIND)
 *   START    candidates beside the old; each must become READY
 *   SETTLE   none of them dies
 *   commit   the candidates are let in: newcomers come to them, too; the old ones are told to leave
 *   RETIRE   until they are gone
 *   [RETURN] another program failed: when its workers are gone, the one before takes its place again
 *
 * Until the commit no old worker is touched and no client meets a candidate, unless there is nobody
 * else: whatever goes wrong before, the candidates leave instead, and nothing was in their hands. One at a time; a reload asked meanwhile is remembered once. Pure, a part of
 * supervisor.c. */
#pragma once

#include "master/slots.h"
#include "shared/clock.h"

#include <stdbool.h>

struct sup_event;
struct sup_actions;
struct supervisor;

#define SUP_STEPS(X)                                                                               \
    X(NONE, "none")                                                                                \
    X(CHECK, "check")                                                                              \
    X(EXEC, "exec")                                                                                \
    X(START, "start")                                                                              \
    X(SETTLE, "settle")                                                                            \
    X(RETIRE, "retire")                                                                            \
    X(RETURN, "return")

enum sup_step {
#define X(name, text) SUP_STEP_##name,
    SUP_STEPS(X)
#undef X
};
const char *sup_step_name(enum sup_step step);

enum sup_kind { SUP_KIND_RELOAD, SUP_KIND_RECYCLE, SUP_KIND_HUNG };

/* Why a transition went back. */
enum sup_failure {
    SUP_FAILURE_NONE,
    SUP_FAILURE_UNREADABLE, /* the driver could not read the files of the configuration */
    SUP_FAILURE_CHECK,      /* the child that judged them; status */
    SUP_FAILURE_EXEC,       /* the other program could not be executed; errno */
    SUP_FAILURE_BIND,       /* the driver could not open what is new */
    SUP_FAILURE_WORKER,     /* a candidate died, or could not be made; status, slot */
    SUP_FAILURE_PROGRAM,    /* the other program has come and gone; it left word why */
    SUP_FAILURE_STOP        /* a stop came between */
};

struct sup_transition {
    enum sup_step step;
    enum sup_kind kind;
    bool reload_asked;   /* a reload is to begin once this one is over */
    bool upgrade_asked;  /* it, with the program on disk in any case */
    bool upgrade;        /* another program takes over in this one */
    bool adopted;        /* it has */
    uint64_t exec_born;  /* it made the workers that are younger than this */
    unsigned reloads;    /* begun so far: the number of the last */
    unsigned generation; /* of the candidates */
    unsigned needed;     /* candidates in all */
    mono_ms begun;
    mono_ms settled_at; /* SETTLE ends then */
    int lost_slot;      /* of a candidate that died; -1: none did */
    int lost_status;    /* as wait(2) gives it; errno when it, or the judge, was not even forked: */
    bool lost_unborn;
    bool failed;        /* RETIRE, RETURN: it is the candidates that leave */
    enum sup_failure failure; /* RETURN: why, not yet told */
    int failure_status;
    mono_ms recycle_at; /* not before, after a failure */
    unsigned recycle_failures;
    mono_ms hung_at; /* two hung workers are aborted that far apart */
};

/* A reload is wanted, perhaps with the program on disk in any case: begins, or is remembered. */
void transition_ask_reload(struct supervisor *s, mono_ms now, bool upgrade,
                           struct sup_actions *out);
/* This program has taken over; or has got its place back; or has never left it. */
void transition_adopted(struct supervisor *s, struct sup_actions *out);
void transition_returned(struct supervisor *s, struct sup_actions *out);
void transition_exec_failed(struct supervisor *s, int status, struct sup_actions *out);
/* The driver's answers to SUP_PREPARE and SUP_BIND; ev->status 0, or why not. */
void transition_prepared(struct supervisor *s, const struct sup_event *event,
                         struct sup_actions *out);
void transition_bound(struct supervisor *s, const struct sup_event *event, struct sup_actions *out);
/* The child that judged has ended; status as wait(2) gives it. */
void transition_checked(struct supervisor *s, int status, struct sup_actions *out);
/* What has become possible or due; begins what was asked or flagged. While serving. */
void transition_run(struct supervisor *s, mono_ms now, struct sup_actions *out);
/* A stop comes between: what is under way is given up. The slots are the stop's at once; or, when
 * the others go on for a while, the candidates leave. */
void transition_abandon(struct supervisor *s, mono_ms now, bool others_go_on,
                        struct sup_actions *out);
/* When the next look is due; MONO_NEVER: nothing is awaited. */
mono_ms transition_wake(const struct supervisor *s);
/* Candidates exist, so that the set of workers must not be changed now. */
bool transition_is_open(const struct supervisor *s);
