/* rewatch.h: descriptors that the kernel had no room to watch: epoll_ctl(2) fails with ENOMEM or
 * ENOSPC, libev stops the watcher and calls it with EV_ERROR. What the master lives by (its signals,
 * its workers' channels, the control socket) is watched again. */
#pragma once

#include <ev.h>

/* In a watcher's callback, first: if it is an error it is told (seldom), waited for a moment, so that
 * the master does not spin, and the watcher started anew. The callback goes on as ever: there may
 * be something to read. */
void rewatch(struct ev_loop *loop, ev_io *io, int revents);
