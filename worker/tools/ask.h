/* ask.h: questions to whoever runs the command: passwords without echo, yes or no. On a terminal
 * its keys work as in any program (Ctrl-C, Ctrl-Z), and its settings come back whatever happens.
 * Else standard input is read. Blocks; one-shot children. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

enum { ASK_PASSWORD_MAX = 4095 }; /* bytes; a terminal gives no longer lines: termios(3) */

/* A password in memory of its own, which core dumps leave out. */
struct ask_password;

/* Asks twice on a terminal, and again when the two differ or are empty; reads one line from
 * standard input when that is no terminal. NULL, with a line on standard error, when there is none
 * to be had: empty, too long, no UTF-8, end of input, no memory. Free it. */
struct ask_password *ask_password(const char *verb);
struct slice ask_password_text(const struct ask_password *p);
/* Wipes and frees. Accepts NULL. */
void ask_password_free(struct ask_password *p);

/* Whether there is somebody to ask. */
bool ask_is_possible(void);
/* Puts the question, "… [y/N] " behind it; only y or yes is yes. ask_is_possible(). */
bool ask_yes(struct slice question);
