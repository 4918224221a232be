/* supervisor_story.h: whole stories of the supervisor, told step by step: at each time an event,
 * then exactly the actions that must follow, as supervisor_sim.c writes them. */
#pragma once

#include "supervisor_sim.h"

enum what {
    START,
    READY,
    DIES, /* arg: wait status */
    CUT,  /* arg: connections */
    HUNG,
    WORN,
    STOP,
    INT,
    QUIT,
    RELOAD, /* arg 1: an upgrade in any case */
    SCALE,    /* arg: workers */
    SCALE_BY, /* arg: more */
    SCALE_RESET,
    RECYCLE, /* slot, or -1 */
    RETRY,
    TICK,
    /* of the world around; these are no events */
    FORKS_FAIL, /* arg: which of a step's, a bit each; 0: none */
    FORKS_TAKE, /* arg: ms */
    PREPARE_FAILS,
    BIND_FAILS,
    NEW_PROGRAM, /* on the disk */
    EXEC_FAILS,
    ALL_WELL,
    NEXT_WORKERS /* arg: configured in what a reload finds */
};

struct line {
    int64_t at_ms; /* since the beginning */
    enum what what;
    int slot;
    int64_t arg;
    const char *want;   /* actions; NULL: the story is over */
    int64_t wake_in_ms; /* 0: do not look; -1: never */
};

struct story {
    const char *name;
    unsigned workers;
    bool jobs; /* migration and checkpoint */
    const struct line *lines;
    unsigned room; /* scaling can go up to that; 0: to workers */
    int64_t stop_delay_ms;
};

#define EXIT(code) ((code) << 8)
#define STORY_LINES(...)                                                                           \
    (const struct line[])                                                                          \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            -1, TICK, 0, 0, NULL, 0                                                                \
        }                                                                                          \
    }
#define STORY(title, workers, jobs, ...)                                                           \
    {                                                                                              \
        title, workers, jobs, STORY_LINES(__VA_ARGS__), 0, 0                                       \
    }
#define STORY_WITH(title, workers, room, stop_delay_ms, ...)                                       \
    {                                                                                              \
        title, workers, false, STORY_LINES(__VA_ARGS__), room, stop_delay_ms                       \
    }

/* Standard times, but no jitter (back-off 0, 100, 200, 400 … ms) and no limit of forks. Fails the
 * test where the story goes another way. */
void story_run(const struct story *story);
