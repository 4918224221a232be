/* top.h: "colmeia ctl top": asks the server for its status once a second and shows it, full-screen
 * on a terminal, else (no terminal, TERM=dumb, --count) as plain screens. Called by ctl.c. */
#pragma once

#include "master/ctl.h"

/* *fd*: a connection to the control socket at *path*; it is closed. Until the person leaves, or
 * --count screens were printed. A server that goes away is waited for on a terminal; leaving
 * meanwhile is CTL_NO_CONNECTION. *error*: one line when it fails. */
enum ctl_code top_run(const struct ctl *ctl, const char *path, int fd, struct buf *error);
