/* ctl.h: "colmeia ctl": the client of the control socket (control.h). Its exit codes are its own.
 * Called by main.c; everything waits here, with a deadline. */
#pragma once

#include "master/command.h"
#include "shared/config.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_code {
#define CTL_CODE(name, number, meaning) CTL_##name = (number),
#include "master/ctl_codes.def"
#undef CTL_CODE
};

/* The command line taken apart. */
struct ctl {
    bool help;
    bool json;                 /* the answer as it came */
    unsigned count;            /* --count; 0: it was not said */
    int64_t timeout_ms;        /* for the answer */
    const char *control;       /* --control; NULL: where the configuration says */
    struct config_flags flags; /* argv is owned */
    struct buf line;           /* the command, without line end */
    struct control_call call;  /* the same, understood */
};

/* *argv* is what stands behind "ctl". False with one line in *error*: usage. Free it either way. */
bool ctl_parse(int argc, char **argv, char **environment, struct ctl *ctl_r, struct buf *error);
void ctl_free(struct ctl *ctl);

/* Connects within the time. CTL_DONE and *fd_r, or a code and one line in *error*. */
enum ctl_code ctl_connect(const char *path, int64_t timeout_ms, int *fd_r, struct buf *error);

/* Sends the command and prints what comes back. */
enum ctl_code ctl_talk(const struct ctl *ctl, int fd, FILE *out, FILE *err);

/* The verb: an enum ctl_code. */
int ctl_main(int argc, char **argv, char **environment);

/* What "colmeia ctl --help" says. */
void ctl_help(struct buf *out);
