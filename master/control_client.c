/* control_client.c: see control_client.h. unix(7). */
#include "master/control_client.h"

#include "master/control.h"
#include "master/control_text.h"
#include "shared/check.h"
#include "shared/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 16 * 1024, LINGER_MS = 2 * 1000, HANGUP_CHECK_MS = 1000 };

/* ---- clients --------------------------------------------------------------------------------- */

void control_client_init(struct control_client *cl, const struct control_host *host)
{
    *cl = (struct control_client){.host = host, .fd = -1};
}

void control_client_close(struct control_client *cl)
{
    const struct control_host *host = cl->host;
    unsigned call = cl->call;
    if (cl->fd < 0)
        return;
    ev_io_stop(host->loop, &cl->io);
    ev_timer_stop(host->loop, &cl->timer);
    close(cl->fd);
    buf_free(&cl->in);
    buf_free(&cl->out);
    control_client_init(cl, host);
    if (call)
        host->left(host->ctx, call);
}

/* Closed for good, not only for writing: unix_poll in net/unix/af_unix.c. */
static bool hung_up(const struct control_client *cl)
{
    struct pollfd p = {.fd = cl->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static bool reads(const struct control_client *cl)
{
    return !cl->eof && (cl->dismissed || cl->in.len <= CONTROL_LINE_MAX);
}

static enum control_phase phase_of(const struct control_client *cl)
{
    if (cl->out.len > 0)
        return CONTROL_PHASE_WRITING;
    if (cl->dismissed)
        return CONTROL_PHASE_LEAVING;
    if (cl->call || cl->follows)
        return reads(cl) ? CONTROL_PHASE_CALLED : CONTROL_PHASE_DEAF;
    return CONTROL_PHASE_IDLE;
}

static int64_t deadline_ms(const struct control_host *host, enum control_phase phase)
{
    switch (phase) {
    case CONTROL_PHASE_IDLE:
    case CONTROL_PHASE_WRITING:
        return host->idle_ms;
    case CONTROL_PHASE_CALLED:
        return 0;
    case CONTROL_PHASE_DEAF:
        return HANGUP_CHECK_MS;
    case CONTROL_PHASE_LEAVING:
        return LINGER_MS;
    }
    UNREACHABLE();
}

static void arm(struct control_client *cl)
{
    int64_t ms = deadline_ms(cl->host, cl->phase);
    ev_timer_stop(cl->host->loop, &cl->timer);
    if (ms == 0)
        return;
    ev_timer_set(&cl->timer, (double)ms / 1000, 0);
    ev_timer_start(cl->host->loop, &cl->timer);
}

/* Brings watcher and timer in line with the fields. Time that runs goes on running, unless the
 * client made *progress*. */
static void settle(struct control_client *cl, bool progress)
{
    int events = (reads(cl) ? EV_READ : 0) | (cl->out.len > 0 ? EV_WRITE : 0);
    enum control_phase phase = phase_of(cl);
    if (events != cl->events) {
        ev_io_stop(cl->host->loop, &cl->io);
        ev_io_set(&cl->io, cl->fd, events);
        if (events)
            ev_io_start(cl->host->loop, &cl->io);
        cl->events = events;
    }
    if (phase == cl->phase && !progress)
        return;
    cl->phase = phase;
    arm(cl);
}

void control_client_say(struct control_client *cl, struct slice json)
{
    if (cl->out.len > 0 && cl->out.len + json.len + 1 > CONTROL_OUT_MAX) {
        log_warning("control: a client leaves %zu bytes unread; it is closed", cl->out.len);
        control_client_close(cl);
        return;
    }
    control_text_clean(&cl->out, json);
    buf_append_char(&cl->out, '\n');
    if (cl->out.failed)
        control_client_close(cl);
    else
        settle(cl, false);
}

void control_client_say_error(struct control_client *cl, struct slice text)
{
    struct buf json = {0};
    control_text_error(&json, text);
    if (json.failed)
        control_client_close(cl);
    else
        control_client_say(cl, buf_slice(&json));
    buf_free(&json);
}

/* The last line it gets. */
static void dismiss(struct control_client *cl, struct slice text)
{
    cl->dismissed = true;
    buf_free(&cl->in);
    control_client_say_error(cl, text);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The next whole line goes up; false when there is none. It stays readable to its end, also when the
 * client is closed over it (no memory for the answer): what came is put aside meanwhile. */
static bool take_line(struct control_client *cl)
{
    if (cl->scanned == cl->in.len)
        return false;
    const char *end = memchr(cl->in.data + cl->scanned, '\n', cl->in.len - cl->scanned);
    cl->scanned = cl->in.len;
    if (!end)
        return false;
    size_t len = (size_t)(end - cl->in.data);
    struct buf in = cl->in;
    cl->in = (struct buf){0};
    cl->host->line(cl->host->ctx, cl, (struct slice){in.data, len});
    cl->scanned = 0;
    if (cl->fd >= 0) {
        buf_consume(&in, len + 1);
        cl->in = in;
    } else {
        buf_free(&in);
    }
    return true;
}

static bool is_free(const struct control_client *cl)
{
    return cl->fd >= 0 && !cl->call && !cl->follows && !cl->dismissed && cl->out.len == 0;
}

/* All that can be done with what is there. */
static void advance(struct control_client *cl)
{
    while (is_free(cl) && take_line(cl))
        continue;
    if (is_free(cl) && cl->in.len > CONTROL_LINE_MAX)
        dismiss(cl, SLICE("a command has at most 65536 bytes"));
    else if (is_free(cl) && cl->eof && cl->in.len > 0)
        dismiss(cl, SLICE("the last line has no end; it was not obeyed"));
    else if (is_free(cl) && cl->eof)
        control_client_close(cl);
    if (cl->fd >= 0 && cl->dismissed && cl->out.len == 0 && !cl->shut) {
        shutdown(cl->fd, SHUT_WR);
        cl->shut = true;
    }
    if (cl->fd >= 0 && cl->shut && cl->eof)
        control_client_close(cl);
    if (cl->fd >= 0)
        settle(cl, false);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* What recv or send could not do: nothing yet, or never again. */
static void on_error(struct control_client *cl)
{
    if (errno != EAGAIN && errno != EINTR)
        control_client_close(cl);
}

static void read_some(struct control_client *cl)
{
    char away[CHUNK];
    if (!reads(cl))
        return;
    char *room = away;
    size_t len = sizeof away;
    if (!cl->dismissed) {
        size_t left = CONTROL_LINE_MAX + 1 - cl->in.len;
        len = left < CHUNK ? left : CHUNK;
        room = buf_reserve(&cl->in, len);
    }
    if (!room) {
        control_client_close(cl);
        return;
    }
    ssize_t n = recv(cl->fd, room, len, MSG_DONTWAIT);
    if (n < 0)
        on_error(cl);
    else if (n > 0)
        cl->in.len += cl->dismissed ? 0 : (size_t)n;
    else if (hung_up(cl))
        control_client_close(cl);
    else
        cl->eof = true;
}

static void write_some(struct control_client *cl)
{
    ssize_t n = send(cl->fd, cl->out.data, cl->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        on_error(cl);
        return;
    }
    buf_consume(&cl->out, (size_t)n);
    settle(cl, true);
}

static void on_client(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    struct control_client *cl = io->data;
    if (revents & EV_ERROR) { /* the kernel has no room to watch it */
        control_client_close(cl);
        return;
    }
    if (revents & EV_READ)
        read_some(cl);
    if (cl->fd >= 0 && (revents & EV_WRITE))
        write_some(cl);
    if (cl->fd >= 0)
        advance(cl);
}

/* Time is up, unless we were late ourselves (stopped, suspended) and its bytes are there. */
static void on_idle(struct control_client *cl)
{
    read_some(cl);
    if (cl->fd >= 0)
        advance(cl);
    if (cl->fd >= 0 && cl->phase == CONTROL_PHASE_IDLE)
        dismiss(cl, SLICE("no command came in time"));
}

static void on_no_progress(struct control_client *cl)
{
    size_t left = cl->out.len;
    write_some(cl);
    if (cl->fd >= 0 && cl->out.len == left)
        control_client_close(cl);
    else if (cl->fd >= 0)
        advance(cl);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct control_client *cl = timer->data;
    switch (cl->phase) {
    case CONTROL_PHASE_IDLE:
        on_idle(cl);
        return;
    case CONTROL_PHASE_WRITING:
        on_no_progress(cl);
        return;
    case CONTROL_PHASE_DEAF:
        if (hung_up(cl))
            control_client_close(cl);
        else
            arm(cl);
        return;
    case CONTROL_PHASE_LEAVING:
        control_client_close(cl);
        return;
    case CONTROL_PHASE_CALLED:
        UNREACHABLE();
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

void control_client_open(struct control_client *cl, int fd)
{
    ASSERT(cl->fd < 0);
    cl->fd = fd;
    ev_io_init(&cl->io, on_client, fd, 0);
    cl->io.data = cl;
    ev_timer_init(&cl->timer, on_timer, 0, 0);
    cl->timer.data = cl;
    settle(cl, true);
}

bool control_client_resume(struct control_client *cl, const struct control_guest *guest,
                           unsigned call)
{
    control_client_open(cl, guest->fd);
    buf_append_slice(&cl->in, guest->in);
    buf_append_slice(&cl->out, guest->out);
    cl->follows = guest->follows;
    cl->eof = guest->eof;
    cl->call = call;
    if (cl->in.failed || cl->out.failed) {
        cl->call = 0; /* it is not open for anybody yet */
        control_client_close(cl);
        return false;
    }
    settle(cl, true);
    return true;
}

void control_client_flush(struct control_client *cl)
{
    if (cl->fd >= 0 && cl->out.len > 0)
        send(cl->fd, cl->out.data, cl->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}
