/* call.h: one call of an upstream, and whoever can make it: the client (client.h), or in tests a script.
 * Loop thread. */
#pragma once

#include "shared/str.h"
#include "worker/loop/task.h"

#include <stdint.h>

enum call_result {
    CALL_ANSWERED,  /* status and body are set */
    CALL_FAILED,    /* no connection, no name, no TLS, or it broke off: *error* says what */
    CALL_TIMED_OUT, /* not answered within timeout_ms */
    CALL_TOO_LONG,  /* its answer is longer than may be */
    CALL_NO_MEMORY,
    CALL_CANCELLED
};

enum { CALL_ERROR_MAX = 128, CALL_PATH_MAX = 512, CALL_TRACEPARENT_LEN = 55 };

/* Embedded by its owner, who sets the first part after call_init(), and hands it to caller->start().
 * task_cancel() ends it at once; its done() comes in any case. */
struct call {
    struct task task; /* first */

    const char *path;        /* "/maestro/v1/…", at most CALL_PATH_MAX bytes; borrowed */
    const char *traceparent; /* CALL_TRACEPARENT_LEN bytes (W3C Trace Context), or NULL; borrowed */
    int64_t timeout_ms;      /* above 0 */

    /* in done() */
    enum call_result result;
    int status;
    struct buf body;            /* on the heap; the owner's to free */
    char error[CALL_ERROR_MAX]; /* for a log; "" when answered */

    void *transfer; /* the caller's own */
};

struct caller {
    void (*start)(struct caller *caller, struct call *call);
};
