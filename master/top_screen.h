/* top_screen.h: "colmeia ctl top": facts into lines of text, and these into what a terminal
 * understands. Pure: golden screens are in tests/unit/top_screens/. */
#pragma once

#include "master/top_facts.h"
#include "shared/str.h"

enum { TOP_ROWS_MAX = 4500, TOP_COLUMNS_ALL = 1000 };

enum top_style { TOP_PLAIN, TOP_TITLE, TOP_HEAD, TOP_WARN, TOP_BAD, TOP_FAINT };

struct top_view {
    unsigned columns; /* what does not fit is left out or cut */
    unsigned rows;    /* 0: as many as there are */
    size_t first;     /* of the workers: scrolled so far; top_screen_draw() keeps it in range */
};

struct top_screen {
    struct buf text; /* lines, each with its end; nothing in it steers a terminal */
    size_t len;      /* of them */
    unsigned char styles[TOP_ROWS_MAX]; /* enum top_style */
};

/* Draws anew. A view with rows is for a person at a terminal, and has a last line that says which
 * keys there are. */
void top_screen_draw(const struct top_facts *f, struct top_view *view, struct top_screen *s);
void top_screen_free(struct top_screen *s);

/* The screen as bytes for a terminal that knows ECMA-48: from the upper left corner, each line to
 * its end, and nothing below. */
void top_screen_paint(const struct top_screen *s, bool colours, struct buf *out);
