/* trailer.h: reads away what may follow the last chunk of a body: field lines and an empty one (RFC
 * 9112, 7.1.2). llhttp ends them at a bare LF, too, and takes folded lines and empty names;
 * somebody in front of us who does not would see another end of the message. Pure; any thread. */
#pragma once

#include "worker/http/input.h"

/* Where reading stands. {0} behind the last chunk's line. */
struct trailer {
    enum { TRAILER_LINE, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, TRAILER_LAST_LF } state;
};

/* Takes bytes: how many is in *taken_r. INPUT_MORE: all of them; INPUT_COMPLETE: the message ends
 * behind the taken ones; INPUT_MALFORMED. */
enum http_input trailer_read(struct trailer *t, const char *bytes, size_t len, size_t *taken_r);
