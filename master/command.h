/* command.h: the language of the control socket: one command in one line of ASCII words, from the
 * table in commands.def. Pure; the server (control.c) and the client (ctl.c) read it alike. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The options of commands: bit, word, field of struct control_call. */
#define COMMAND_SWITCHES(X)                                                                        \
    X(WAIT, 1, "--wait", wait)                                                                     \
    X(DRY_RUN, 2, "--dry-run", dry_run)                                                            \
    X(QUICK, 4, "--quick", quick)                                                                  \
    X(FOLLOW, 8, "--follow", follow)

enum command_switch {
#define X(name, bit, word, field) SWITCH_##name = (bit),
    COMMAND_SWITCHES(X)
#undef X
};

enum control_command {
#define COMMAND(name, word, argument, switches, usage, help) CONTROL_##name,
#include "master/commands.def"
#undef COMMAND
    CONTROL_COMMANDS
};

enum { CONTROL_PATH_MAX = 4096 };

/* Of a connection, as the kernel says (unix(7), SO_PEERCRED). */
struct control_caller {
    uid_t uid;
    pid_t pid;
};

struct control_call {
    unsigned id; /* for control_answer */
    enum control_command command;
    bool wait, dry_run, quick, follow;
    /* scale N | +N | -N | reset; recycle N | all */
    enum { CONTROL_NONE, CONTROL_SET, CONTROL_MORE, CONTROL_LESS, CONTROL_RESET, CONTROL_ALL } how;
    int number; /* scale's, recycle's, dump's, why's N; log's enum log_level; debug's 1 or 0 */
    /* upgrade's PATH, absolute, "": none was given; throttle's account or address, or CONTROL_ALL */
    char path[CONTROL_PATH_MAX];
    /* filled in by control.c: the line as it came, for the time of the call, and who sent it */
    struct slice line;
    struct control_caller caller;
};

struct command {
    const char *name;
    const char *usage; /* what may stand behind the name; "" for nothing */
    const char *help;
};
const struct command *command_of(enum control_command command);

/* How a path, or an account, stands in a line: what is no plain word as %XX. */
void command_write_path(struct buf *line, const char *path);

/* Takes a line (without its end) apart; id is left 0. False with one line of plain text in *error*,
 * which suggests the nearest word where there is one. Any bytes are fine as input. */
bool command_parse(struct slice line, struct control_call *call_r, struct buf *error);
