/* report.h: puts the supervisor's LOG actions into words for the operator: event, subject, cause
 * and what happens next. Called by master.c only; writes through shared/log.h. */
#pragma once

#include "master/listeners.h"
#include "master/supervisor.h"
#include "shared/log.h"
#include "shared/scoreboard.h"

/* A request that it took along. */
struct obituary_flight {
    int64_t age_ms; /* when it died */
    char route[SCOREBOARD_ROUTE_MAX];
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
};

/* What is known of a process that ended, taken from the scoreboard before its slot is cleared. */
struct obituary {
    pid_t pid;
    unsigned generation;
    int64_t uptime_ms;
    uint64_t requests;
    uint32_t torn; /* connections that ended with it, because a signal killed it */
    bool working; /* a request was in hand: route and request_id say which */
    char route[SCOREBOARD_ROUTE_MAX];
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
    int status; /* as wait(2) gives it */
    mono_ms at;
    char words[SCOREBOARD_WORDS_MAX]; /* its error lines */
    unsigned stack_len;
    void *stack[SCOREBOARD_STACK_MAX]; /* return addresses; ours, too: it was forked from us */
    unsigned flights_len;
    struct obituary_flight flights[SCOREBOARD_FLIGHTS_MAX]; /* oldest first; texts are clean */
    unsigned recent_len;
    struct scoreboard_recent recent[SCOREBOARD_RECENT_MAX]; /* oldest first; texts are clean */
};

void obituary_take(struct obituary *o, const struct scoreboard_slot *slot, int status, mono_ms now);

enum { REPORT_PHRASE_MAX = 192 };
/* "exited with code 6 (database unusable)", "killed by signal 9 (SIGKILL, Killed)". */
void report_status(int status, char out[static REPORT_PHRASE_MAX]);
/* "worker 1 (pid 7, gen 2) killed by … after 3.2 s, 17 requests". */
void report_obituary(const struct obituary *o, int slot, struct buf *out);

/* Where each frame of the stack is, in words for addr2line(1); freed by the caller in one; NULL: no
 * memory, or no stack. */
char **report_frames(const struct obituary *o);

/* Who else hears what is reported, as it is logged; NULL: nobody. */
void report_set_sink(void (*sink)(void *ctx, enum log_level level, struct slice line), void *ctx);
/* Only to the sink. */
void report_event(enum log_level level, struct slice line);

/* Writes the line. *last* is about the process that ended last: the one SUP_LOG_DIED and
 * SUP_LOG_LEFT mean. */
void report_log(const struct sup_action *action, const struct obituary *last,
                const struct listeners *listeners);
