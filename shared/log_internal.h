/* log_internal.h: what log.c has that audit.c writes its lines with, too. Any thread. */
#pragma once

#include "shared/line.h"
#include "shared/log.h"

/* Beside the levels: written whatever the level is. */
enum { LOG_AUDIT = LOG_LEVEL_ERROR + 1 };

bool log_is_json(void);
/* Everything before the message: time, level (or LOG_AUDIT), who speaks; *worker_slot* -1: the role that
 * was set. *to_stderr*: with the journal's priority, if that is who reads. */
void log_prefix(struct line *l, int level, int worker_slot, bool to_stderr);
/* To standard error, without waiting. False: it was dropped, and counted. */
bool log_hand_over(const struct line *l);
