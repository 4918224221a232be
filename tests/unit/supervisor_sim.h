/* supervisor_sim.h: a world around the pure supervisor for its tests: it carries out SPAWN with
 * made-up pids, answers PREPARE and BIND, checks the laws (supervisor_laws.h) after every step and
 * shows actions as text. */
#pragma once

#include "master/supervisor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a reload is, as the driver sees it. */
enum sim_stage {
    SIM_NO_RELOAD,
    SIM_ASKED_PREPARE,
    SIM_PREPARED,
    SIM_CHECKING,
    SIM_CHECKED,
    SIM_ASKED_EXEC,
    SIM_ADOPTED,
    SIM_ASKED_BIND,
    SIM_BOUND,
    SIM_COMMITTED,
    SIM_ROLLED_BACK,
    SIM_ASKED_RETURN,
    SIM_BACK
};

/* What the laws must remember from one step to the next. */
struct sim_memory {
    enum sim_stage stage;
    bool reload_asked;   /* a request that no PREPARE has followed yet */
    unsigned generation; /* the highest given to a reload */
    size_t peak;         /* workers wanted, or made, over the present transition */
    mono_ms aborted_at;  /* the last ABRT; {0}: none */
    unsigned char away[SCOREBOARD_SLOTS_MAX]; /* SIM_AWAY_…; the last member: see sim_memory_size */
};
enum { SIM_AWAY_SCALED = 1, SIM_AWAY_ABORTED = 2 };

/* The ways in which the world may answer the forks, PREPARE and BIND of one step, one after the
 * other: a number with as many digits as there were questions. */
enum { FATE_MAX = 24 };
struct fate {
    unsigned char taken[FATE_MAX], of[FATE_MAX];
    unsigned asked, known;
};
/* Goes on to the next; false when all were gone through. */
bool fate_next(struct fate *fate);

struct sim {
    struct supervisor *s; /* owned */
    mono_ms now;
    pid_t next_pid;
    unsigned forks_fail; /* bit n: the n-th SPAWN of a step is answered by SPAWN_FAILED */
    int64_t fork_ms;     /* each takes that long */
    bool prepare_fails, bind_fails;
    bool upgrade;           /* another program stands on the disk */
    bool exec_fails;        /* neither there nor back */
    struct fate *fate;      /* borrowed; decides instead of those above when there is one */
    unsigned workers;       /* configured at first */
    unsigned other_workers; /* with a fate: a reload may also find that many; 0: it does not */
    struct sup_settings next; /* of the configuration that a reload finds */
    bool exited;
    enum exit_code code;
    mono_ms wake;
    unsigned forks, execs; /* that the last step asked for */
    unsigned long told[SUP_KIND_HUNG + 1][SUP_FAILURE_STOP + 1]; /* so far */
    const char *broken; /* the law that did not hold, or NULL */
    struct sim_memory memory;
    char text[8192]; /* what the last step did, its answers included */
    bool quiet;      /* leave text alone: exploration */
    uint64_t deeds;  /* kinds of all actions of the last step but words of the log, in any order */
};

enum { SIM_EPOCH_MS = 1000000 };
#define SIM_ALL_FORKS (~0u)

void sim_init(struct sim *sim, const struct sup_settings *settings);
void sim_fini(struct sim *sim);
/* How many bytes of its memory matter. */
size_t sim_memory_size(const struct sim *sim);
/* One event at sim->now, the answers to what it led to, and all laws. */
void sim_step(struct sim *sim, const struct sup_event *event);
/* Shorthands. Those with a slot are about the process that is in it now. */
void sim_start(struct sim *sim);
void sim_report(struct sim *sim, enum sup_event_type type, int slot, int status, int64_t value);
void sim_ready(struct sim *sim, int slot);
void sim_cut(struct sim *sim, int slot, int64_t connections);
void sim_exited(struct sim *sim, int slot, int status);
void sim_request(struct sim *sim, enum sup_request request);
void sim_request_for(struct sim *sim, enum sup_request request, int slot, int64_t value);
void sim_tick(struct sim *sim);
