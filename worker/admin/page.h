/* page.h: the status page: status.html, which is built into the program, for one answer. It shows
 * what /status.json says, asks nobody else, and runs nothing but its own script: each answer has a
 * nonce of its own, and a Content-Security-Policy that allows only that. */
#pragma once

#include "shared/arena.h"
#include "shared/str.h"

#include <stdbool.h>

/* Appends the page to *out*; *policy_r: the header lines that belong to it, in the arena. False
 * without memory or random bytes. */
bool page_write(struct arena *arena, struct buf *out, struct slice *policy_r);
