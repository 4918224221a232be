/* rewatch.c: see rewatch.h. */
#include "master/rewatch.h"

#include "shared/clock.h"
#include "shared/log.h"

#include <time.h>

enum { PAUSE_MS = 10, LOG_GAP_MS = 10000 };

void rewatch(struct ev_loop *loop, ev_io *io, int revents)
{
    static mono_ms quiet_until;
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    if (!(revents & EV_ERROR))
        return;
    mono_ms now = clock_now();
    if (!mono_is_set(quiet_until) || !mono_before(now, quiet_until)) {
        log_error("the kernel has no room to watch a descriptor (epoll_ctl); tried again until it has");
        quiet_until = mono_add(now, LOG_GAP_MS);
    }
    nanosleep(&pause, NULL);
    ev_io_set(io, io->fd, EV_READ); /* or libev believes that the kernel knows of it already */
    ev_io_start(loop, io);
}
