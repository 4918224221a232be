/* supervisor_sim.h: a world around the pure supervisor for its tests: it carries out SPAWN with
 * made-up pids, checks the invariants after every step and shows actions as text. */
#pragma once

#include "master/supervisor.h"

#include <stdbool.h>
#include <stddef.h>

struct sim {
    struct supervisor *s; /* owned */
    mono_ms now;
    pid_t next_pid;
    bool forks_fail; /* every SPAWN is answered by SPAWN_FAILED */
    bool exited;
    enum exit_code code;
    mono_ms wake;
    const char *broken; /* the invariant that did not hold, or NULL */
    char text[8192];    /* what the last step did, its answers included */
    bool quiet;         /* leave text alone: exploration */
};

enum { SIM_EPOCH_MS = 1000000 };

void sim_init(struct sim *sim, const struct sup_settings *settings);
void sim_fini(struct sim *sim);
/* One event at sim->now, the answers to its forks, and all invariants. */
void sim_step(struct sim *sim, const struct sup_event *event);
/* Shorthands. Those with a slot are about the process that is in it now. */
void sim_start(struct sim *sim);
void sim_ready(struct sim *sim, int slot);
void sim_cut(struct sim *sim, int slot, int64_t connections);
void sim_exited(struct sim *sim, int slot, int status);
void sim_request(struct sim *sim, enum sup_request request);
void sim_tick(struct sim *sim);
