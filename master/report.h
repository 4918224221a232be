/* report.h: puts the supervisor's LOG actions into words for the operator: event, subject, cause
 * and what happens next. Called by master.c only; writes through shared/log.h. */
#pragma once

#include "master/listeners.h"
#include "master/supervisor.h"
#include "shared/scoreboard.h"

/* What is known of a process that ended, taken from the scoreboard before its slot is cleared. */
struct obituary {
    pid_t pid;
    unsigned generation;
    int64_t uptime_ms;
    uint64_t requests;
    bool working; /* a request was in hand: route and request_id say which */
    char route[SCOREBOARD_ROUTE_MAX];
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
};

void obituary_take(struct obituary *o, const struct scoreboard_slot *slot, mono_ms now);

/* Writes the line. *last* is about the process that ended last: the one SUP_LOG_DIED and
 * SUP_LOG_LEFT mean. */
void report_log(const struct sup_action *action, const struct obituary *last,
                const struct listeners *listeners);
