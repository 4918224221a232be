/* notify.h: what the service manager is told, and the socket it hears it by: NOTIFY_SOCKET and
 * WATCHDOG_USEC, as sd_notify(3) and sd_watchdog_enabled(3) describe them. What is said when is
 * decided without saying it (notify_decide: no clock, no system call), so that tests need neither.
 * announce.c gathers the facts and sends; nobody else calls this. One thread. */
#pragma once

#include "shared/clock.h"
#include "shared/status.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    NOTIFY_STATUS_EVERY_MS = 1000,
    NOTIFY_EXTEND_EVERY_MS = 5000,
    NOTIFY_EXTEND_MS = 20000 /* what is asked for each time, to do what takes its time */
};

/* How things are. */
struct notify_facts {
    mono_ms now;
    int64_t now_us;          /* of the same clock */
    enum status_state state; /* READY: all workers are */
    unsigned reloads;        /* begun so far */
    struct slice status;     /* one line for people; borrowed */
};

/* What has been said. Zeroed at first, but for watchdog_ms. */
struct notify_said {
    int64_t watchdog_ms; /* between two signs of life at most; 0: none is wanted */
    bool ready;
    bool stopping;
    bool reloading;
    unsigned reloads;
    mono_ms alive_at;
    mono_ms extended_at;
    mono_ms status_at;
    uint64_t status_hash;
};

/* What is to be said now, as one datagram, and what will have been said then: *said becomes *then
 * when it is sent, and stays as it is when that fails, so that it is tried again. False: nothing. */
bool notify_decide(const struct notify_said *said, const struct notify_facts *facts,
                   struct notify_said *then, struct buf *datagram);

/* How often notify_decide wants to be asked even if nothing happens. */
int64_t notify_every_ms(const struct notify_said *said);

/* Where to. fd -1: nobody listens. */
struct notify_socket {
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    bool failed; /* and that was logged */
};

/* Reads and removes NOTIFY_SOCKET (a path, or @name), WATCHDOG_USEC and WATCHDOG_PID; what is wrong
 * with them is logged, and then nobody is told. */
void notify_open(struct notify_socket *s, struct notify_said *said);
void notify_close(struct notify_socket *s);
/* Never waits. False: it could not be sent; the first time that is logged. */
bool notify_send(struct notify_socket *s, struct slice datagram);
