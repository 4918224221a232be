/* metrics.h: the server's state as Prometheus reads it (text format 0.0.4), for the admin child and
 * for `colmeia ctl metrics`. The names come from counters.def, histograms.def and the tables in
 * metrics.c; all begin with "colmeia_" and say their unit. Pure, as status.h, from the same facts.
 *
 * Counters and histograms are those of all workers, the dead included, and never go backwards while
 * the master lives. What belongs to one worker is a gauge with the label "slot". */
#pragma once

#include "shared/status.h"

/* Content-Type of that text. */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the whole text. */
void metrics_render(const struct status_facts *facts, struct buf *out);
