/* status.h: the server's state as one JSON object, for the control socket and whoever else shows
 * it. Pure but for two questions to the kernel that are asked on request: listeners' queues and
 * workers' memory. The master gathers the facts. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/sock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum status_state {
#define STATUS_STATES(X)                                                                           \
    X(STARTING, "starting")                                                                        \
    X(READY, "ready")                                                                              \
    X(DEGRADED, "degraded")                                                                        \
    X(RELOADING, "reloading")                                                                      \
    X(STOPPING, "stopping")
#define X(name, text) STATUS_##name,
    STATUS_STATES(X)
#undef X
};
const char *status_state_name(enum status_state state);

/* Numbers below 0 are unknown, and null in the JSON. */
struct status_listener {
    const char *name;   /* borrowed */
    const char *source; /* borrowed: where the socket comes from: "bind", "systemd NAME" */
    int queue;          /* connections not yet accepted */
    int limit;          /* of the queue, as the kernel applies it */
    int limit_asked;
    unsigned words; /* bits of door.h */
};

/* Asks the kernel how long the queue is now (TCP only). The name is borrowed from the listener. */
struct status_listener status_listener_of(const struct listener *l, const char *source);

/* How a worker ended that was not told to. */
struct status_death {
    int slot;
    int64_t age_ms;
    const char *text; /* borrowed */
};

enum { STATUS_NO_RETRY = -1 };

/* All pointers are borrowed; a NULL text is null in the JSON. */
struct status_facts {
    const char *version;
    pid_t pid;
    mono_ms now;
    int64_t uptime_ms;
    int64_t started_at; /* wall seconds */
    enum status_state state;
    unsigned generation;
    bool debug; /* debug mode is on */
    const char *config_path;  /* NULL: no file */
    int64_t config_loaded_at; /* wall seconds */
    const char *config_hash;
    int workers_configured;
    int workers_override; /* 0: none */
    int workers_target;
    const struct status_listener *listeners;
    size_t listeners_len;
    struct {
        unsigned number; /* 0: there was none */
        const char *result;
        const char *text;
        int64_t age_ms;
    } last_reload;
    /* Workers being replaced. */
    struct {
        const char *kind; /* "reload", "recycle", "hung"; NULL: nothing goes on */
        const char *step;
        unsigned number;     /* of the reload */
        unsigned generation; /* of the workers that come */
        unsigned ready;      /* of the new ones */
        unsigned needed;     /* … in all */
        unsigned leaving;    /* old ones, or new ones after a failure */
        int64_t age_ms;
    } transition;
    const char *last_death;
    const struct status_death *deaths; /* the last ones, the latest first */
    size_t deaths_len;
    const struct scoreboard *scoreboard;
    /* By slot of the scoreboard: until the next try, or STATUS_NO_RETRY. NULL: none at all. */
    const int64_t *retry_ms;
    bool cpu;    /* read each worker's processor time */
    bool memory; /* read each worker's Pss: a walk over its pages by the kernel */
};

/* A slot's state; of shared memory: anything may have been written there. */
enum slot_state status_slot_state(const struct scoreboard_slot *slot);

/* Appends one JSON object without line end. Slots that are empty are left out. */
void status_render(const struct status_facts *facts, struct buf *out);

/* Processor time that a process has used, -1 when it cannot be read. */
int64_t status_cpu_ms(pid_t pid);
/* The same as the control socket answers it: {"ok":true,"status":…}. */
void status_answer(const struct status_facts *facts, struct buf *out);
/* Proportional set size of a process in KiB, -1 when it cannot be read. */
int64_t status_memory_kib(pid_t pid);
