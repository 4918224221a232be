/* dynamic.h: whether a shared library can be loaded that is loaded only when it is needed: asked before,
 * so that a start, a check or a reload says what a request would meet. Thread: any of a process that
 * may fork. */
#pragma once

#include "shared/config.h"
#include "shared/entry.h"
#include "shared/str.h"

#include <stdbool.h>

enum dynamic_result {
    DYNAMIC_GOOD,
    DYNAMIC_BAD,     /* missing, no library, of another kind than it should be */
    DYNAMIC_UNTRIED, /* no process or descriptor for a child: nobody knows, it may pass */
};

/* Loads it in a child, which is awaited: nothing of it stays here, and its start cannot harm us. *symbol*
 * must be in it. The reason in *error* unless it is good. */
enum dynamic_result dynamic_probe(const char *file, const char *symbol, struct buf *error);

/* The function *name* of what dlopen(3) has loaded from *file*, into the pointer *function_r*. False with the
 * reason in *error*. */
bool dynamic_find(void *library, const char *file, const char *name, void *function_r,
                  struct buf *error);

/* All that this configuration will need. EXIT_CODE_OK, or the code to leave with (that of a bad configuration
 * only if the library is) and a line for the operator appended to *errors*. */
enum exit_code dynamic_probe_for(const struct config *config, struct buf *errors);
