/* guard.h: the strict look at a request's head before the parser sees it: rules 1 and 2 of what no
 * packaged parser does alone. It finds where the head ends, and refuses what parsers disagree on:
 * bare CR or LF, folded lines, blanks in the wrong place of the request line. Pure; any thread. */
#pragma once

#include "worker/http/input.h"

#include "shared/str.h"

/* How far an incomplete head was looked at. {0} before its first byte. */
struct guard {
    uint32_t line_at; /* where the line that is still incomplete begins */
    uint32_t lines;   /* complete lines before it, the request line included */
    uint32_t skipped; /* bytes of one empty line before the request line (RFC 9112, 2.2) */
};

/* A complete head. */
struct guard_head {
    size_t skipped;      /* bytes before the request line */
    size_t len;          /* from the request line to the blank line's LF */
    size_t headers;      /* header lines */
    struct slice method; /* the request line's three parts, into the bytes given */
    struct slice target;
    struct slice version; /* "HTTP/1.1" or "HTTP/1.0" */
};

/* Looks at bytes, which begin where the head does; call again with the same bytes and more behind
 * while INPUT_MORE. INPUT_COMPLETE: *head_r is set. Anything else is an error, found as early as
 * the bytes show it. */
enum http_input guard_scan(struct guard *g, const struct input_limits *limits, const char *bytes,
                           size_t len, struct guard_head *head_r);
