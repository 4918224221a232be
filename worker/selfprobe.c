/* selfprobe.c: see selfprobe.h. */
#include "worker/selfprobe.h"

#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct selfprobe {
    struct loop *loop; /* borrowed */
    struct ev_io io;
    int fd; /* the client's end */
    void (*done)(void *ctx, int status);
    void *ctx;
    size_t len;
    char answer[64]; /* the beginning is enough */
};

/* Stops watching and closes, so that the session sees its client leave. Harmless twice. */
static void hang_up(struct selfprobe *p)
{
    if (p->fd < 0)
        return;
    ev_io_stop(loop_ev(p->loop), &p->io);
    close(p->fd);
    p->fd = -1;
}

static void finish(struct selfprobe *p, int status)
{
    hang_up(p);
    p->done(p->ctx, status);
}

/* The three digits behind the version; 0: this is no such answer. */
static int status_of(const char *answer, const char *version, size_t version_len)
{
    int status = 0;
    if (memcmp(answer, version, version_len) != 0)
        return 0;
    for (const char *digit = answer + version_len; digit < answer + version_len + 3; digit++)
        status = *digit >= '0' && *digit <= '9' ? 10 * status + (*digit - '0') : 0;
    return status;
}

static void on_readable(struct ev_loop *ev, struct ev_io *io, int revents)
{
    static const char expected[] = "HTTP/1.1 ";
    enum { NEEDED = sizeof expected - 1 + 3 };
    struct selfprobe *p = io->data;
    loop_enter(p->loop, "self-probe");
    ssize_t n = read(p->fd, p->answer + p->len, sizeof p->answer - p->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(revents & EV_ERROR))
        return;
    if (n > 0)
        p->len += (size_t)n;
    if (p->len >= NEEDED)
        finish(p, status_of(p->answer, expected, sizeof expected - 1));
    else if (n <= 0)
        finish(p, 0);
}

struct selfprobe *selfprobe_start(struct http_service *s, void (*done)(void *ctx, int status),
                                  void *ctx)
{
    static const char ask[] = "GET /healthcheck HTTP/1.1\r\nHost: self\r\nConnection: close\r\n\r\n";
    struct selfprobe *p = calloc(1, sizeof *p);
    int pair[2];
    if (!p || FAULT_CALL(probe_socketpair, -1,
                         socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))) {
        log_error("cannot probe this worker: %s", strerror(errno));
        free(p);
        return NULL;
    }
    struct sockaddr peer = {.sa_family = AF_UNIX};
    p->loop = s->loop;
    p->fd = pair[0];
    p->done = done;
    p->ctx = ctx;
    ev_io_init(&p->io, on_readable, p->fd, EV_READ);
    p->io.data = p;
    ev_io_start(loop_ev(p->loop), &p->io);
    session_accept(s, pair[1], &peer, sizeof peer.sa_family);
    if (send(p->fd, ask, sizeof ask - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof ask - 1)) {
        log_error("cannot probe this worker: %s", strerror(errno));
        selfprobe_free(p);
        return NULL;
    }
    return p;
}

void selfprobe_free(struct selfprobe *p)
{
    if (!p)
        return;
    hang_up(p);
    free(p);
}
