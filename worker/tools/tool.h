/* tool.h: what the verbs of the command line have in common: their words taken apart, their
 * database looked at before it is opened, text made harmless for a terminal. One-shot children;
 * blocks. */
#pragma once

#include "shared/entry.h"
#include "shared/str.h"

#include <stdbool.h>

/* An option of a verb's own: "--json" sets *on_r, "--target X" or "--target=X" sets *value_r; the
 * other pointer is NULL. */
struct tool_option {
    const char *name;
    bool *on_r;
    const char **value_r;
};

enum { TOOL_WORDS_MAX = 4 };

struct tool_words {
    const char *at[TOOL_WORDS_MAX]; /* borrowed from argv */
    size_t len;
};

/* Takes argv apart; "--" ends the options. False with one line on standard error: usage. *verb* is
 * what messages begin with: "user add". */
bool tool_words(const char *verb, int argc, char **argv, const struct tool_option *options,
                size_t options_len, struct tool_words *words_r);

/* Children of the master leave the terminal's keys to it; a verb answers to its user: Ctrl-C,
 * Ctrl-Z and a hang-up do what they do to any program. */
void tool_obey_keys(void);

/* "colmeia VERB: …" and a line end on standard error. */
void tool_say(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The configured database file, which is there and of this version: EXIT_CODE_OK and the path,
 * borrowed from the configuration. Else the code to leave with, and a line on standard error that
 * says what to do: EXIT_CODE_FAILED when there is none (it is not made), EXIT_CODE_DATABASE when it
 * cannot be used, EXIT_CODE_CONFIG when it is none of ours to open. */
enum exit_code tool_database(const char *verb, const struct config *config, const char **path_r);

/* Appends the text as a terminal may show it: control characters, those that turn the direction of
 * writing, and bytes that are no UTF-8 become \xNN or \u{NNNN}. Returns how many columns it takes,
 * counting one for each character. */
size_t tool_show(struct buf *out, struct slice text);

/* Appends the text as a JSON string that a terminal may show: the same characters become \uNNNN, and
 * bytes that are no UTF-8 U+FFFD. */
void tool_show_json(struct buf *out, struct slice text);

/* Writes it to standard output and empties it. False, with a line on standard error, when nobody
 * can read it (a full disk, a closed pipe) or memory ran out before. */
bool tool_print(const char *verb, struct buf *out);
