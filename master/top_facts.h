/* top_facts.h: what "colmeia ctl top" shows, taken from the answers to "status": rates and
 * percentiles are of the time between two answers. Pure. Numbers below 0 are unknown. */
#pragma once

#include "shared/clock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum { TOP_WORD_MAX = 24, TOP_LINE_MAX = 256 };

struct top_row {
    long long slot, pid, generation;
    char state[TOP_WORD_MAX];
    long long uptime_us;
    long long rate_tenths; /* requests in ten seconds */
    long long p50_us, p99_us; /* half of the answers, and 99 of 100, took no longer */
    long long lag_us;
    long long connections, busy, hashes, calls;
    long long cpu_permille; /* of one processor */
    long long memory_kib;
    long long retry_us;
};

struct top_facts {
    char version[TOP_WORD_MAX];
    char state[TOP_WORD_MAX];
    char time[TOP_WORD_MAX]; /* of the answer, for people; the caller's */
    long long pid, uptime_ms, generation;
    long long ready, target, configured, override;
    char others[TOP_LINE_MAX]; /* ", 1 starting, 2 draining" */
    long long connections, busy;
    long long rate_tenths, errors_tenths; /* errors: answers 5xx */
    long long queue, queue_limit;         /* of all listeners that tell */
    long long hashes, calls;              /* in all queues */
    char transition[TOP_LINE_MAX];        /* what is under way; "": nothing */
    char last_reload[TOP_LINE_MAX];       /* "": there was none */
    bool last_reload_ok;
    char last_death[TOP_LINE_MAX]; /* "": none */
    struct top_row *rows;          /* owned; by slot */
    size_t rows_len;
    char gone[TOP_LINE_MAX]; /* why there is no newer answer; the caller's; "": there is */
};

/* The answer before; {0}: there was none, then rates are averages since each worker's start. */
struct top_past {
    struct json_t *status; /* owned */
    mono_ms at;
};

/* Takes an answer that came at *now*; *time* and *gone* stay. False, with one line in *error* and
 * the facts as they were, when it is none. */
bool top_facts_take(struct top_facts *f, struct top_past *past, struct slice answer, mono_ms now,
                    struct buf *error);
void top_facts_free(struct top_facts *f);
void top_past_free(struct top_past *past);
