/* ctl_print.h: the control socket's answers for people. Pure; only ctl.c calls it. */
#pragma once

#include "master/ctl.h"

/* The answer to ctl->call: text for stdout to *out* (with --json the line as it came), and what
 * went wrong to *error*, whole lines both. Nothing in them steers a terminal. CTL_DONE or
 * CTL_FAILED. */
enum ctl_code ctl_print_answer(const struct ctl *ctl, struct slice line, struct buf *out,
                               struct buf *error);

/* A further line of events --follow, the same. */
enum ctl_code ctl_print_event(const struct ctl *ctl, struct slice line, struct buf *out,
                              struct buf *error);
