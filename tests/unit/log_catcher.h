/* log_catcher.h: what a test's code says on standard error. */
#pragma once

#include <stdbool.h>

/* From here on standard error is kept instead of shown. */
void catcher_begin(void);
/* Shows it again. Returns what was kept: static, until the next call of any of these. */
const char *catcher_end(void);
/* Runs *bug(ctx)* in a forked child that must end by SIGABRT (the test fails else). Returns what it
 * said. */
const char *catcher_abort(void (*bug)(void *ctx), void *ctx);
