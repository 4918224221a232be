/* percent.h: %xx decoding of query strings and urlencoded forms as Python's unquote does it, and
 * the walk over name=value pairs. Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* The text of one encoded name or value, in the arena (or s itself, when nothing was encoded). '+'
 * becomes a space; %xx a byte; a '%' without two hex digits stays. The bytes are read as UTF-8,
 * malformed ones becoming U+FFFD; raw bytes above 0x7f are Latin-1, one character each (the
 * original reads the wire so). {NULL, 0} without memory. */
struct slice percent_decode(struct arena *a, struct slice s);

/* Cuts the next pair off *rest ("a=1&b=2"; '&' alone separates, empty pieces are skipped). False
 * when nothing is left. A piece without '=' has an empty value. Both stay encoded, borrowed. */
bool percent_next_pair(struct slice *rest, struct slice *name_r, struct slice *value_r);
