/* admin_child.h: the life of the one child that serves [admin] bind, decided without doing it:
 * events in, actions out; no clock, no system call. It is beside the supervisor, which knows
 * nothing of it: it needs no worker, counts as none, and stays until the supervisor has ended.
 *
 * It is replaced by a new one first, as workers are: whoever serves leaves when the next one has
 * said READY. One that dies is replaced at once the first time, later with a growing delay
 * (backoff.h). master/admin.c feeds it and carries out its actions, in their order. */
#pragma once

#include "master/backoff.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    ADMIN_BOOT_MS = 60 * 1000,   /* it has so long to become ready */
    ADMIN_LEAVE_MS = 10 * 1000,  /* told to leave, until it is killed */
    ADMIN_STABLE_MS = 60 * 1000, /* ready for so long: its deaths are forgotten */
    ADMIN_LEAVING_MAX = 4        /* more: the oldest is killed at once */
};

enum admin_event_type {
    ADMIN_WANT,         /* there are addresses to serve: start, or (a new configuration) replace */
    ADMIN_UNWANT,       /* there are none any more */
    ADMIN_ADOPTED,      /* pid, a child of the program before, serves */
    ADMIN_SPAWNED,      /* answers SPAWN */
    ADMIN_SPAWN_FAILED, /* the same */
    ADMIN_READY,        /* pid says so */
    ADMIN_EXITED,       /* pid was reaped */
    ADMIN_TICK          /* wake has come */
};

struct admin_event {
    enum admin_event_type type;
    pid_t pid;
};

enum admin_action_type {
    ADMIN_SPAWN, /* fork one, under the present configuration; answer at once */
    ADMIN_TERM,  /* tell pid to leave */
    ADMIN_KILL   /* SIGKILL to pid */
};

struct admin_action {
    enum admin_action_type type;
    pid_t pid;
};

struct admin_actions {
    struct admin_action items[ADMIN_LEAVING_MAX + 4];
    size_t len;
};

struct admin_leaving {
    pid_t pid; /* 0: none */
    mono_ms kill_at;
};

struct admin_child {
    bool wanted;
    pid_t serving;                                   /* READY; 0: none */
    pid_t coming;                                    /* forked, not READY; 0: none */
    struct admin_leaving leaving[ADMIN_LEAVING_MAX]; /* the oldest first */
    mono_ms boot_until;                              /* of coming */
    mono_ms ready_at;                                /* of serving */
    bool stale;       /* one under the present configuration is still to be forked */
    unsigned deaths;  /* in a row */
    mono_ms retry_at; /* no fork before */
    uint64_t random;
};

void admin_child_init(struct admin_child *a, uint64_t random);
/* Applies one event; replaces *out*. Reports of processes that are not its own are ignored: false.
 */
bool admin_child_step(struct admin_child *a, mono_ms now, const struct admin_event *event,
                      struct admin_actions *out);
/* When the next TICK is due; MONO_NEVER: not at all. */
mono_ms admin_child_wake(const struct admin_child *a);
/* Whether pid is one of its processes. */
bool admin_child_has(const struct admin_child *a, pid_t pid);
