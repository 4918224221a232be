/* control.c: see control.h. */
#include "master/control.h"

#include "master/control_client.h"
#include "master/control_door.h"
#include "master/control_text.h"
#include "master/record.h"
#include "master/rewatch.h"
#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IDLE_MS = 10 * 1000,
    ACCEPT_PAUSE_MS = 1000 /* after a failure that lasts, as no descriptors */
};

struct control {
    struct control_options options; /* path: NULL */
    struct control_host host;
    struct listener door;
    ev_io io;
    ev_timer pause;
    unsigned last_id;
    struct control_client clients[CONTROL_CLIENTS_MAX];
    struct control_ring ring;
};

/* ---- commands -------------------------------------------------------------------------------- */

static struct control_client *client_of(struct control *c, unsigned id)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].call == id)
            return &c->clients[i];
    return NULL;
}

static unsigned next_id(struct control *c)
{
    do {
        c->last_id++;
    } while (c->last_id == 0 || client_of(c, c->last_id));
    return c->last_id;
}

static void say_events(struct control *c, struct control_client *cl)
{
    struct buf json = {0};
    control_ring_write(&c->ring, &json);
    if (json.failed)
        control_client_close(cl);
    else
        control_client_say(cl, buf_slice(&json));
    buf_free(&json);
}

static void obey(struct control *c, struct control_client *cl, struct control_call *call)
{
    if (call->command == CONTROL_EVENTS) {
        cl->follows = call->follow;
        say_events(c, cl);
        return;
    }
    call->id = cl->call = next_id(c);
    call->caller = control_door_caller(cl->fd);
    c->options.call(c->options.ctx, call);
}

static void on_line(void *ctx, struct control_client *cl, struct slice line)
{
    struct control_call call;
    struct buf error = {0};
    if (command_parse(line, &call, &error)) {
        call.line = slice_trim(line, " \t\r");
        obey(ctx, cl, &call);
    } else {
        control_client_say_error(cl, buf_slice(&error));
    }
    buf_free(&error);
}

static void on_left(void *ctx, unsigned call)
{
    struct control *c = ctx;
    c->options.gone(c->options.ctx, call);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void turn_away(int fd, struct slice why)
{
    struct buf line = {0};
    control_text_error(&line, why);
    buf_append_char(&line, '\n');
    if (!line.failed) /* a socket that is new has room for it */
        send(fd, line.data, line.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_free(&line);
    close(fd);
}

static struct control_client *free_place(struct control *c)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd < 0)
            return &c->clients[i];
    return NULL;
}

static void admit(struct control *c, int fd)
{
    struct control_client *cl = free_place(c);
    struct control_caller caller = control_door_caller(fd);
    if (!control_door_admits(caller)) {
        record_stranger(caller);
        turn_away(fd, SLICE("only root and the server's own user may ask"));
        return;
    }
    if (!cl) {
        turn_away(fd, SLICE("16 clients are here already; try again later"));
        return;
    }
    control_client_open(cl, fd);
}

static void on_door(struct ev_loop *loop, ev_io *io, int revents)
{
    rewatch(loop, io, revents);
    struct control *c = io->data;
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        int fd = FAULT_CALL(control_accept, -1,
                            accept4(c->door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd >= 0) {
            admit(c, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_warning("control: cannot accept: %s; trying again in %d ms", strerror(errno),
                    ACCEPT_PAUSE_MS);
        ev_io_stop(loop, &c->io);
        ev_timer_set(&c->pause, (double)ACCEPT_PAUSE_MS / 1000, 0);
        ev_timer_start(loop, &c->pause);
        return;
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)revents;
    struct control *c = timer->data;
    ev_io_start(loop, &c->io);
}

/* ---- public ---------------------------------------------------------------------------------- */

static struct control *allocate(struct buf *error)
{
    struct control *c = calloc(1, sizeof *c);
    if (!c)
        buf_printf(error, "cannot open the control socket: out of memory");
    return c;
}

static struct control *begin(struct control *c, const struct control_options *o)
{
    c->options = *o;
    c->options.path = NULL;
    c->host = (struct control_host){.loop = o->loop,
                                    .idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS,
                                    .ctx = c,
                                    .line = on_line,
                                    .left = on_left};
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control_client_init(&c->clients[i], &c->host);
    ev_io_init(&c->io, on_door, c->door.fd, EV_READ);
    c->io.data = c;
    ev_io_start(o->loop, &c->io);
    ev_timer_init(&c->pause, on_pause_over, 0, 0);
    c->pause.data = c;
    return c;
}

struct control *control_open(const struct control_options *o, struct buf *error)
{
    struct control *c = allocate(error);
    if (c && control_door_open(o->path, &c->door, error) == 0)
        return begin(c, o);
    free(c);
    return NULL;
}

/* ---- from program to program ----------------------------------------------------------------- */

struct control *control_adopt(const struct control_options *o, const struct listener *door,
                              struct buf *error)
{
    struct control *c = allocate(error);
    if (!c)
        return NULL;
    c->door = *door;
    return begin(c, o);
}

const struct listener *control_door(const struct control *c)
{
    return &c->door;
}

bool control_guest_at(const struct control *c, size_t i, struct control_guest *guest_r)
{
    const struct control_client *cl = &c->clients[i];
    if (cl->fd < 0 || cl->dismissed)
        return false;
    *guest_r = (struct control_guest){.fd = cl->fd,
                                      .in = buf_slice(&cl->in),
                                      .out = buf_slice(&cl->out),
                                      .follows = cl->follows,
                                      .eof = cl->eof,
                                      .call = cl->call};
    return true;
}

unsigned control_admit(struct control *c, const struct control_guest *guest)
{
    struct control_client *cl = free_place(c);
    if (!cl) {
        close(guest->fd);
        return 0;
    }
    unsigned id = guest->call ? next_id(c) : 0;
    return control_client_resume(cl, guest, id) ? id : 0;
}

void control_answer(struct control *c, unsigned id, struct slice json)
{
    struct control_client *cl = id ? client_of(c, id) : NULL;
    if (!cl)
        return;
    cl->call = 0;
    control_client_say(cl, json);
}

void control_event(struct control *c, struct slice json)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0 && c->clients[i].follows)
            control_client_say(&c->clients[i], json);
    control_ring_add(&c->ring, json);
}

/* All but the driver's ears: nobody is told. */
static void destroy(struct control *c, bool unlink_path)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        c->clients[i].call = 0;
        control_client_close(&c->clients[i]);
    }
    ev_io_stop(c->options.loop, &c->io);
    ev_timer_stop(c->options.loop, &c->pause);
    listener_close(&c->door, unlink_path);
    control_ring_free(&c->ring);
    free(c);
}

void control_drop(struct control *c)
{
    if (c)
        destroy(c, false);
}

void control_close(struct control *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *cl = &c->clients[i];
        if (cl->call) {
            cl->call = 0;
            control_client_say_error(cl, SLICE("the server is leaving"));
        }
        control_client_flush(cl);
    }
    destroy(c, true);
}
