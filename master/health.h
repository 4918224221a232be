/* health.h: are there enough workers, may another be started, is it time to give up. Pure, a part
 * of supervisor.c, which calls it while serving. Heartbeat and recycling belong here too. */
#pragma once

#include "master/supervisor.h"

/* A worker died: when half of the slots die repeatedly, from now on one tries at a time. */
void health_on_death(struct supervisor *s, struct sup_actions *out);

/* EXIT_CODE_OK, or why the master must give up (said in the log). Announces, once, that all are
 * ready. */
enum exit_code health_judge(struct supervisor *s, mono_ms now, struct sup_actions *out);

/* Starts whoever is wanted and may be started now: its back-off over, a token in the bucket. */
void health_start_workers(struct supervisor *s, mono_ms now, struct sup_actions *out);

/* Makes as many slots wanted as there are workers wanted: more are started, or some leave:
 * those that are not READY first, then the youngest. */
void health_scale(struct supervisor *s, mono_ms now, struct sup_actions *out);

/* When the next start or the end of patience is due; MONO_NEVER: nothing is awaited. */
mono_ms health_wake(struct supervisor *s, mono_ms now);
