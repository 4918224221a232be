/* line.h: one line for the operator, built on the stack without snprintf(3), shorter than PIPE_BUF, in
 * which nothing that came from elsewhere can begin another line or command a terminal. For log.c and
 * audit.c. Any thread. */
#pragma once

#include "shared/str.h"

#include <limits.h>

enum { LINE_LEN = PIPE_BUF - 1 /* line end included */ };

/* Start with len = 0. */
struct line {
    size_t len;
    char text[LINE_LEN];
};

/* How bytes that came from elsewhere are written. */
enum style {
    STYLE_BARE,   /* control bytes as \n \r \t \xNN */
    STYLE_QUOTED, /* the same, and a backslash before " and \ */
    STYLE_JSON    /* RFC 8259, section 7 */
};

/* What is ours and short; that it fits is settled by the limits of the fields. */
void line_put(struct line *l, const char *bytes, size_t len);
void line_put_string(struct line *l, const char *s);
void line_put_u64(struct line *l, uint64_t value);
#define LINE_PUT(line, literal) line_put((line), "" literal, sizeof(literal) - 1)
/* "2026-11-20T20:13:37.123Z": now. */
void line_put_time(struct line *l);
/* What came from elsewhere, at most limit bytes of it as written, the last three being "…" when it is
 * cut. Bytes that are no UTF-8 are written \xNN, C1 controls too. */
void line_put_foreign(struct line *l, struct slice s, enum style style, size_t limit);
