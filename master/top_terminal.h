/* top_terminal.h: the terminal of "colmeia ctl top": its modes and size, the signals that concern
 * it, and what is typed. Standard input and output; one at a time. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <termios.h>

struct terminal {
    bool entered;
    struct termios before; /* as it was found */
    int signals_fd;        /* signalfd(2) */
};

enum terminal_news {
    TERMINAL_NOTHING,
    TERMINAL_CHANGED, /* another size, or we are back in the foreground: paint anew */
    TERMINAL_QUIT     /* Ctrl-C */
};

/* Both ends are a terminal that understands more than lines ($TERM is neither empty nor "dumb"). */
bool terminal_is_able(void);
/* Columns and rows, 80 and 24 when it does not say; of lines on standard output. */
void terminal_size(unsigned *columns_r, unsigned *rows_r);

/* The alternate screen, keys at once and without echo, signals by signals_fd. -1 with errno. */
int terminal_enter(struct terminal *t);
/* All as it was found. Twice is harmless. */
void terminal_leave(struct terminal *t);

/* After signals_fd became readable. TERM, HUP and QUIT end the process, as they would, and TSTP
 * stops it; with the terminal as it was found. */
enum terminal_news terminal_signals(struct terminal *t);

enum terminal_key { KEY_NONE, KEY_QUIT, KEY_UP, KEY_DOWN, KEY_PAGE_UP, KEY_PAGE_DOWN };
/* Takes the first key off the bytes that were typed. KEY_NONE: it means nothing here, or *bytes* is
 * empty, or holds the beginning of a sequence whose end is still to come. */
enum terminal_key terminal_key(struct slice *bytes);
