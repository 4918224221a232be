/* last_stack.h: where a worker was when it had to abort, left in shared memory for the obituary:
 * after a failed assertion, or when the master aborts one whose loop hangs. */
#pragma once

#include "shared/scoreboard.h"

/* From now on SIGABRT writes return addresses into the slot, then does what it always does. Call
 * before threads start. */
void last_stack_keep(struct scoreboard_slot *slot);
