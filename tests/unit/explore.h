/* explore.h: every story that a few workers can live through, breadth first, until no new state
 * appears. In each state every event is offered: reports about each process, requests, time that
 * passes; and with each all ways in which the world may answer what it leads to. Reports that are
 * late or foreign must change nothing; impossible ones must hit an ASSERT.
 *
 * The laws are supervisor_laws.h's, and three about the whole graph: from every state a stop leads
 * to EXIT, every transition ends, and states that state_key.h takes for one behave as one. */
#pragma once

#include "state_key.h"

#define ASK(request) (1u << SUP_REQUEST_##request)
#define STOPS        (ASK(STOP) | ASK(INTERRUPT) | ASK(QUIT))
#define SCALES       (ASK(SCALE) | ASK(SCALE_BY) | ASK(SCALE_RESET))

/* What may happen in one world. All of it together would be too much for three workers. */
struct world {
    const char *name;
    unsigned workers, room;
    unsigned requests;       /* of enum sup_request, a bit each */
    bool flags;              /* HUNG, WORN */
    bool jobs;               /* migration and checkpoint; 70 is a possible exit */
    bool delays;             /* there is a stop_delay */
    bool resizes;            /* a reload may find another number of workers */
    bool upgrades;           /* and another program */
    bool late;               /* events may come before the TICK of their time, which may be long */
    bool few_forks;          /* the bucket of forks can become empty */
    bool counts_cut;         /* CUT matters; elsewhere 0 and 5 are one exit code */
    bool long_times;         /* boot, graceful, kill take two units, back-off grows to four */
    unsigned twins_of;       /* one in so many keys is tried with all its states; 0: none */
};

struct explored {
    size_t states, transitions, twins;
    unsigned depth;
    size_t exits[128];                                           /* by code */
    unsigned long told[SUP_KIND_HUNG + 1][SUP_FAILURE_STOP + 1]; /* transitions' ends */
};

/* All of it, or the test fails; prints a line. */
void explore(const struct world *world, struct explored *found_r);
