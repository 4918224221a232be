/* bulletin.h: what only the master knows of the server's state, put up in shared memory for its
 * admin child: one writer, readers that never wait for it (a sequence lock). What a worker knows of
 * itself stands on the scoreboard. Plain data, no pointers; a reader trusts no byte of it. */
#pragma once

#include "shared/status.h"

#include <stdatomic.h>

enum {
    BULLETIN_LISTENERS_MAX = 60,
    BULLETIN_DEATHS_MAX = 8,
    BULLETIN_TEXT_MAX = 600 /* longer texts are cut */
};

struct bulletin_listener {
    char name[SOCK_NAME_MAX];
    char source[64];
    int32_t queue, limit, limit_asked;
    uint32_t words;
};

struct bulletin_death {
    int32_t slot;
    int64_t at_ms; /* mono_ms */
    char text[BULLETIN_TEXT_MAX];
};

/* A copy, to be read at leisure. Texts are "" where there is none. */
struct bulletin_page {
    char version[32];
    int32_t pid;
    uint32_t state; /* enum status_state */
    uint32_t generation;
    uint32_t debug;
    uint32_t cpu, memory;
    int64_t started_ms; /* mono_ms */
    int64_t started_at; /* wall seconds */
    char config_path[512];
    char config_hash[20];
    int64_t config_loaded_at;
    int32_t workers_configured, workers_override, workers_target;
    char transition_kind[16], transition_step[16];
    uint32_t transition_number, transition_generation;
    uint32_t transition_ready, transition_needed, transition_leaving;
    int64_t transition_begun_ms;
    uint32_t reload_number;
    char reload_result[16];
    char reload_text[BULLETIN_TEXT_MAX];
    int64_t reload_at_ms;
    char last_death[BULLETIN_TEXT_MAX];
    uint32_t deaths_len;
    struct bulletin_death deaths[BULLETIN_DEATHS_MAX];
    uint32_t listeners_len;
    struct bulletin_listener listeners[BULLETIN_LISTENERS_MAX];
    int64_t retry_at_ms[SCOREBOARD_SLOTS_MAX]; /* mono_ms; -1: no try is due */
};

struct bulletin;

/* Maps an empty one, shared with children that are forked later. NULL with errno. */
struct bulletin *bulletin_new(void);
void bulletin_free(struct bulletin *b);
/* In a child: it can only be read from now on. -1 with errno. */
int bulletin_protect(struct bulletin *b);

/* The writer puts these facts up. False without memory: what stood there stays. */
bool bulletin_write(struct bulletin *b, const struct status_facts *facts);
/* Copies it. False when nothing was written yet, or no whole page was to be had: then *page_r is as
 * before. Whatever it holds, texts end and numbers are in bounds afterwards. */
bool bulletin_read(const struct bulletin *b, struct bulletin_page *page_r);

/* The facts of a page, with pointers into it and into what is given here. */
struct bulletin_facts {
    struct status_facts facts;
    struct status_listener listeners[BULLETIN_LISTENERS_MAX];
    struct status_death deaths[BULLETIN_DEATHS_MAX];
    int64_t retry_ms[SCOREBOARD_SLOTS_MAX];
};
void bulletin_tell(const struct bulletin_page *page, const struct scoreboard *scoreboard,
                   mono_ms now, struct bulletin_facts *facts_r);
