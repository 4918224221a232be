/* stopping.h: the way out: graceful, delayed, quick or because nothing works any more; the last
 * checkpoint; the exit code. Pure, a part of supervisor.c. */
#pragma once

#include "master/supervisor.h"

/* Somebody asks for a graceful or a quick stop; harmless twice. */
void stopping_ask(struct supervisor *s, mono_ms now, struct sup_actions *out);
void stopping_ask_quick(struct supervisor *s, mono_ms now, struct sup_actions *out);
/* The server gives up by itself, with that code. */
void stopping_fail(struct supervisor *s, mono_ms now, enum exit_code code, struct sup_actions *out);
/* DELAYING: its time is over. */
void stopping_delayed(struct supervisor *s, mono_ms now, struct sup_actions *out);
/* STOPPING: goes on when the last process is gone. */
void stopping_run(struct supervisor *s, mono_ms now, struct sup_actions *out);
/* CHECKPOINTING: that child has ended. */
void stopping_checkpointed(struct supervisor *s, int status, struct sup_actions *out);
/* Nobody is left: EXIT. */
void stopping_end(struct supervisor *s, struct sup_actions *out, enum exit_code code);
