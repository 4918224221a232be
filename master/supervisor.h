/* supervisor.h: what to do next, decided without doing it.
 * No clock, no system call, no allocation after supervisor_new: tests drive it without forking, and
 * master.c turns what happens into events and actions into what happens. One thread.
 *
 * The contract with the driver:
 *  - the first event is START; or, in a program that takes the place of another (EXEC, RETURN) and
 *    has restored what that one knew, ADOPTED or RETURNED;
 *  - each SPAWN is answered by SPAWNED or SPAWN_FAILED for its slot, PREPARE by PREPARED and BIND
 *    by BOUND, before any other kind of event;
 *  - EXEC and RETURN are carried out when nothing else is to be answered any more; EXEC_FAILED
 *    answers them, if anything does;
 *  - actions are carried out in their order;
 *  - what a child said on its channel is reported before its EXITED;
 *  - at out->wake, or soon after, comes a TICK;
 *  - after EXIT nothing more is asked, and events are ignored. */
#pragma once

#include "master/backoff.h"
#include "master/slots.h"
#include "master/transition.h"
#include "shared/message.h"

#include <stddef.h>

#define SUP_PHASES(X)                                                                              \
    X(IDLE, "idle")                                                                                \
    X(MIGRATING, "migrating")                                                                      \
    X(SERVING, "serving")                                                                          \
    X(DELAYING, "stopping soon")                                                                   \
    X(STOPPING, "stopping")                                                                        \
    X(CHECKPOINTING, "checkpointing")                                                              \
    X(DONE, "done")

enum sup_phase {
#define X(name, text) SUP_PHASE_##name,
    SUP_PHASES(X)
#undef X
};

/* REQUEST is what people ask for; SPAWNED to EXITED, HUNG (its loop stands still) and WORN (it is
 * to be recycled) are about the process in ev->slot. */
#define SUP_EVENTS(X)                                                                              \
    X(START, "start")                                                                              \
    X(SPAWNED, "spawned")                                                                          \
    X(SPAWN_FAILED, "spawn failed")                                                                \
    X(READY, "ready")                                                                              \
    X(CUT, "cut")                                                                                  \
    X(EXITED, "exited")                                                                            \
    X(PREPARED, "prepared")                                                                        \
    X(BOUND, "bound")                                                                              \
    X(ADOPTED, "adopted")                                                                          \
    X(RETURNED, "returned")                                                                        \
    X(EXEC_FAILED, "exec failed")                                                                  \
    X(HUNG, "hung")                                                                                \
    X(WORN, "worn")                                                                                \
    X(REQUEST, "request")                                                                          \
    X(TICK, "tick")

enum sup_event_type {
#define X(name, text) SUP_##name,
    SUP_EVENTS(X)
#undef X
};

enum sup_request {
    SUP_REQUEST_STOP,      /* graceful */
    SUP_REQUEST_INTERRUPT, /* the same; a second one within interrupt_again_ms: quick */
    SUP_REQUEST_QUIT,      /* quick */
    SUP_REQUEST_RELOAD,    /* value 1: with the program on disk, even if it is the same */
    SUP_REQUEST_SCALE,     /* value: workers wanted from now on */
    SUP_REQUEST_SCALE_BY,  /* value: that many more, or less */
    SUP_REQUEST_SCALE_RESET, /* as configured */
    SUP_REQUEST_RECYCLE,   /* slot: that worker; -1: each */
    SUP_REQUEST_RETRY      /* clears every back-off */
};

struct sup_event {
    enum sup_event_type type;
    int slot;                 /* index; -1 where it is about the whole */
    unsigned generation;      /* READY, CUT, EXITED: reports from another one are ignored */
    pid_t pid;                /* SPAWNED to EXITED; reports from another process are ignored */
    int status;               /* EXITED: as wait(2) gives it; SPAWN_FAILED, EXEC_FAILED: errno;
                                 PREPARED, BOUND: 0 or not */
    int64_t value;            /* CUT: connections; PREPARED: 1 if another program is to take over;
                                 REQUEST: see there */
    enum sup_request request; /* REQUEST */
    const struct sup_settings *settings; /* BOUND with status 0: of the new configuration */
};

/* What the log is to say; the driver knows the words. *value*, *status*, *count* as noted. */
#define SUP_LOGS(X)                                                                                \
    X(DIED)              /* status, count alike; value: ms to the next try, or < 0: see below */   \
    X(LEFT)              /* as it was told to; status; value: connections cut */                   \
    X(SPAWN_FAILED)      /* status: errno; value: ms to the next try; count in a row */            \
    X(BOOT_TIMEOUT)      /* value: ms it had */                                                    \
    X(ALL_READY)         /* value: workers */                                                      \
    X(ONE_AT_A_TIME)     /* value: slots that fail repeatedly */                                   \
    X(STOP)              /* value: graceful_timeout */                                             \
    X(STOP_QUICK)        /* value: grace in ms */                                                  \
    X(GRACE_OVER)        /* value: ms it had; it is told to cut */                                 \
    X(KILL)              /* it did not leave in time */                                            \
    X(BOOT_FAILURES)     /* value: how many; the master gives up */                                \
    X(NEVER_READY)       /* value: ms waited; the master gives up */                               \
    X(NONE_READY)        /* the same, later */                                                     \
    X(CONFIG_REFUSED)    /* a worker left with 78 at first start */                                \
    X(MIGRATION_FAILED)  /* status */                                                              \
    X(CHECKPOINT_FAILED) /* status */                                                              \
    X(JOB_SPAWN_FAILED)  /* status: errno */                                                       \
    X(CHECKING)          /* count: number of the reload */                                         \
    X(REQUEST_REFUSED)   /* the server is stopping */                                              \
    X(SCALED)            /* value: workers wanted; count: configured */                            \
    X(ABORTED)           /* a hung worker gets ABRT; value: heartbeat_timeout is the driver's */   \
    X(STOP_DELAY)        /* value: ms until newcomers are refused */

enum sup_log {
#define X(name) SUP_LOG_##name,
    SUP_LOGS(X)
#undef X
};
enum { SUP_RETRY_AFTER_RELOAD = -1, SUP_NO_RETRY = -2 }; /* SUP_LOG_DIED: instead of a delay */

enum sup_action_type {
    SUP_SPAWN,  /* fork a child of *role*, *generation* into *slot*; *held*: see entry.h */
    SUP_SIGNAL, /* send *signal* to *pid* */
    SUP_NOTIFY, /* send *message* with *value* to the worker in *slot* */
    SUP_STOPPING, /* a full stop is near: health checks are to say so */
    SUP_REFUSE, /* it begins: let the kernel refuse newcomers, keep what is queued */
    SUP_SHUT,   /* shut down and close the listeners: nobody serves them any more */
    SUP_PREPARE,  /* read the files of the configuration, for *generation*, and look at the program
                     on disk (*value* 1: it is wanted even if unchanged); answer PREPARED */
    SUP_EXEC,     /* all is good: let the other program take this one's place */
    SUP_RETURN,   /* it failed (as TOLD would say): let the one before take its place again */
    SUP_BIND,     /* they are good: open what is new; answer BOUND */
    SUP_COMMIT,   /* the new configuration is the current one; what it has no more ends */
    SUP_ROLLBACK, /* forget the new configuration; what only it has ends */
    SUP_TOLD,     /* a transition is over: *kind*, *count* (of reloads), *failure*, *lost*, *status* */
    SUP_LOG,
    SUP_EXIT /* leave with *code*; no process of ours lives */
};

struct sup_action {
    enum sup_action_type type;
    int slot; /* -1: none */
    pid_t pid;
    unsigned generation;
    enum role role;
    int signal;
    enum message_type message;
    enum sup_log log;
    int64_t value;
    int status;
    unsigned count;
    enum sup_kind kind;
    enum sup_failure failure;
    int lost;    /* TOLD: slot of the candidate that was lost, or -1 */
    bool unborn; /* it could not be forked: status is an errno */
    bool held;
    enum exit_code code;
};

/* A stop touches each slot at most twice (log and message), plus a few of its own. */
enum { SUP_ACTIONS_MAX = 3 * SCOREBOARD_SLOTS_MAX + 16 };

struct sup_actions {
    size_t len;
    mono_ms wake; /* when the next TICK is due; MONO_NEVER: not at all */
    struct sup_action items[SUP_ACTIONS_MAX];
};

/* All that can be tuned. Times in ms. */
struct sup_settings {
    unsigned workers;     /* configured: 1 to workers_max */
    unsigned workers_max; /* room for scaling: 1 to SCOREBOARD_WORKERS_MAX; 0: workers */
    bool keeps_data; /* workers hold the only copy of it (a database in memory): they are not recycled */
    bool migrate;     /* a one-shot child before the first worker */
    bool checkpoint;  /* and one after the last, at a clean stop */
    int64_t boot_timeout_ms;
    int64_t graceful_timeout_ms;
    int64_t min_ready_ms;       /* a death before that is a boot failure */
    int64_t stable_ms;          /* READY for that long clears the back-off */
    int64_t give_up_ms;         /* no READY worker for that long: exit 3 */
    int64_t quick_ms;           /* grace of a quick stop, and of the cut after graceful_timeout */
    int64_t quick_kill_ms;      /* quick stop: SIGKILL after that; more than quick_ms */
    int64_t kill_ms;            /* graceful stop: from being told to cut to SIGKILL; the same */
    int64_t checkpoint_ms;      /* the checkpoint may take that long */
    int64_t check_ms;           /* and the judgement of a configuration */
    int64_t settle_ms;          /* none of a reload's candidates may die meanwhile */
    int64_t stop_delay_ms;      /* graceful stop: so long health checks fail and all else goes on */
    int64_t hung_gap_ms;        /* two hung workers are aborted that far apart */
    int64_t interrupt_again_ms; /* a second INT within that time: quick */
    unsigned boot_failures_max; /* before any worker was READY: exit 3 */
    struct backoff_times backoff;
    int64_t forks_burst; /* 0: twice the workers */
    int64_t forks_per_s; /* 0: the workers */
    uint64_t random;     /* seeds the jitter */
};
/* The usual values, for so many workers. */
struct sup_settings sup_settings_standard(unsigned workers);

struct supervisor {
    struct sup_settings settings;
    enum sup_phase phase;
    unsigned generation;    /* of the current configuration: workers that are started now */
    unsigned last_generation; /* given to any configuration so far */
    unsigned override;      /* workers wanted by scaling; 0: as configured */
    struct sup_settings next; /* of the configuration on trial */
    struct sup_transition transition;
    mono_ms stop_at;        /* DELAYING ends */
    uint64_t born;          /* workers started so far */
    bool served;            /* some worker was READY for min_ready: first start is over */
    bool announced;         /* ALL_READY was logged */
    bool one_at_a_time;     /* half of the slots fail: only one may be STARTING */
    bool config_refused;    /* a worker left with 78 before any was READY */
    bool quick;             /* the stop is a quick one */
    enum exit_code code;    /* why we stop; OK: somebody asked */
    unsigned boot_failures; /* before served */
    bool cut;               /* connections were cut, or a worker was lost, during the stop */
    mono_ms first_deadline; /* some worker must be READY by then */
    mono_ms give_up_at;     /* nobody is READY: exit 3 then; MONO_NEVER: somebody is */
    mono_ms interrupted_at; /* the last INT; {0}: none */
    struct bucket forks;
    uint64_t random;
    uint64_t foreign; /* reports ignored: of another process or generation */
    uint64_t late;    /* reports ignored: they came too late to matter */
    size_t slots_len; /* 2 * workers_max + 2; the last is for one-shot children */
    struct sup_slot slots[];
};

struct state;

/* The only allocation. NULL without memory. */
struct supervisor *supervisor_new(const struct sup_settings *settings);
void supervisor_free(struct supervisor *s);
size_t supervisor_slots_len(unsigned workers);
/* The slot for one-shot children. */
int supervisor_job_slot(const struct supervisor *s);

/* Everything that it knows, for EXEC or RETURN, as records of the state (state.h); and a new one that
 * knows the same, for these settings (but for the number of workers) and a sound state. */
void supervisor_save(const struct supervisor *s, struct state *state);
struct supervisor *supervisor_restore(const struct sup_settings *settings,
                                      const struct state *state);

/* Applies one event: empties *out*, appends at most SUP_ACTIONS_MAX actions and sets out->wake.
 * Never fails: an impossible event is an ASSERT, a late or foreign one is counted and ignored. */
void supervisor_step(struct supervisor *s, mono_ms now, const struct sup_event *event,
                     struct sup_actions *out);

/* How many workers are wanted with these settings: configured, or what scaling says, as long as the
 * configured number is the present one. */
unsigned sup_target(const struct supervisor *s, const struct sup_settings *settings);

/* How many slots are in *state* (one-shot children included). */
unsigned supervisor_count(const struct supervisor *s, enum slot_state state);
const char *sup_phase_name(enum sup_phase phase);
const char *sup_event_name(enum sup_event_type type);

/* For the other pure files. Appends an action of that type for a slot (pid, generation and role
 * filled in; slot -1: none) and returns it for the rest. */
struct sup_action *sup_act(struct supervisor *s, struct sup_actions *out, enum sup_action_type type,
                           int slot);
/* Workers are kept alive: serving, or about to stop. */
bool sup_serves(const struct supervisor *s);
/* The forks that are allowed, for as many workers as are wanted now. */
void sup_size_bucket(struct supervisor *s);
/* A slot for a worker: nobody lives in it and nobody is wanted there. NULL: all are taken. */
struct sup_slot *sup_free_slot(struct supervisor *s);
/* Starts a one-shot child in the slot for such. */
void sup_start_job(struct supervisor *s, enum role role, struct sup_actions *out);
/* The settings of the configuration that is current from now on. */
void sup_adopt_settings(struct supervisor *s, const struct sup_settings *settings);
/* A log line about the whole; its facts are filled in by the caller. */
struct sup_action *sup_say(struct supervisor *s, struct sup_actions *out, enum sup_log log);
