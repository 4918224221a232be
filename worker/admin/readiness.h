/* readiness.h: whether this server should be given requests, from what master and workers say of
 * themselves. Pure; any thread. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/status.h"

#define READINESS_REASONS(X)                                                                       \
    X(STARTING, "the server is starting")                                                          \
    X(STOPPING, "the server is stopping")                                                          \
    X(NO_WORKER, "no worker is ready")                                                             \
    X(STORE, "the database does not answer")

enum readiness_reason {
#define X(name, text) READINESS_##name,
    READINESS_REASONS(X)
#undef X
        READINESS_REASONS_LEN
};
const char *readiness_reason_text(enum readiness_reason reason);

/* Bit i: reason i holds. 0: ready. A worker's word about the database counts for *store_ms* (it
 * asks once a second, readiness does not); one that can reach it is enough. */
unsigned readiness_judge(enum status_state state, const struct scoreboard *s, mono_ms now,
                         int64_t store_ms);
