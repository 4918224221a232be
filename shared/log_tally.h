/* log_tally.h: lines of the log that standard error would not take (a full pipe, a full disk). They are
 * lost; that they are is counted, and said as soon as it takes lines again. */
#pragma once

#include <stdint.h>

/* Once a second, on one thread of a process: how many were dropped since the call before. When none
 * was, says how many had been, if that is still unsaid. */
uint64_t log_tally(void);
