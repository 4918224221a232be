/* admin.c: the admin child as a process: forks it, hears it, ends it, and puts up for it what only the
 * master knows (shared/bulletin.h). When it comes and goes is decided in admin_child.h. */
#include "master/driver.h"

#include "master/rewatch.h"
#include "master/spawn.h"
#include "master/state.h"
#include "shared/bulletin.h"
#include "shared/log.h"
#include "shared/message.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_MS = 2000 }; /* at the master's end it has so long to leave */

static void step(struct master *m, enum admin_event_type type, pid_t pid);

/* ---- channels -------------------------------------------------------------------------------- */

static struct admin_channel *channel_of(struct master *m, pid_t pid)
{
    for (size_t i = 0; i < ADMIN_CHANNELS; i++)
        if (m->admin.channels[i].pid == pid)
            return &m->admin.channels[i];
    return NULL;
}

static void close_admin_channel(struct admin_channel *c)
{
    if (!c || c->pid == 0)
        return;
    ev_io_stop(c->master->loop, &c->io);
    close(c->io.fd);
    c->pid = 0;
}

static void on_channel(struct ev_loop *loop, ev_io *io, int revents)
{
    rewatch(loop, io, revents);
    struct admin_channel *c = io->data;
    struct message message;
    while (c->pid != 0) {
        switch (message_receive(io->fd, &message)) {
        case MESSAGE_OK:
            if (message.type == MESSAGE_READY)
                step(c->master, ADMIN_READY, c->pid);
            break;
        case MESSAGE_BAD:
            log_warning("the admin child sent a message that is none; ignored");
            break;
        case MESSAGE_CLOSED:
            ev_io_stop(c->master->loop, io); /* its exit tells */
            return;
        case MESSAGE_NONE:
            return;
        }
    }
}

/* One serves and one comes: there is room. */
static void open_admin_channel(struct master *m, pid_t pid, int fd)
{
    struct admin_channel *c = channel_of(m, 0);
    if (!c || fd < 0)
        return;
    c->master = m;
    c->pid = pid;
    ev_io_init(&c->io, on_channel, fd, EV_READ);
    c->io.data = c;
    ev_io_start(m->loop, &c->io);
}

/* ---- actions --------------------------------------------------------------------------------- */

static void do_spawn(struct master *m)
{
    const struct regime *r = m->current;
    struct spawn_order order = {
        .entry = {.role = ROLE_ADMIN,
                  .slot = -1,
                  .generation = r->generation,
                  .listeners = r->admin.items,
                  .listeners_len = r->admin.len,
                  .handover = {-1, -1},
                  .config = r->config,
                  .scoreboard = m->estate.scoreboard,
                  .bulletin = m->admin.bulletin},
        .identity = &m->identity,
        .with_channel = true,
        .background = true,
        .drop_inherited = drop_for_admin,
        .ctx = m};
    struct child child;
    if (spawn_child(&order, &child) < 0) {
        log_error("the admin child cannot be started: %s; it will be tried again", strerror(errno));
        step(m, ADMIN_SPAWN_FAILED, 0);
        return;
    }
    open_admin_channel(m, child.pid, child.channel_fd);
    step(m, ADMIN_SPAWNED, child.pid);
}

static void perform_admin(struct master *m, const struct admin_action *a)
{
    switch (a->type) {
    case ADMIN_SPAWN:
        do_spawn(m);
        return;
    case ADMIN_TERM:
        close_admin_channel(channel_of(m, a->pid));
        kill(a->pid, SIGTERM); /* our own child, not yet reaped: the pid is right */
        return;
    case ADMIN_KILL:
        log_warning("the admin child (pid %d) does not do as it should; it is killed", (int)a->pid);
        kill(a->pid, SIGKILL); /* the same */
        return;
    }
}

static void arm(struct master *m)
{
    mono_ms wake = admin_child_wake(&m->admin.child);
    ev_timer_stop(m->loop, &m->admin.timer);
    if (!mono_before(wake, MONO_NEVER))
        return;
    int64_t wait_ms = mono_diff_ms(wake, clock_now());
    ev_now_update(m->loop);
    ev_timer_set(&m->admin.timer, wait_ms > 0 ? (double)wait_ms / 1000 : 0, 0);
    ev_timer_start(m->loop, &m->admin.timer);
}

static void step(struct master *m, enum admin_event_type type, pid_t pid)
{
    struct admin_actions out;
    admin_child_step(&m->admin.child, clock_now(), &(struct admin_event){type, pid}, &out);
    for (size_t i = 0; i < out.len; i++)
        perform_admin(m, &out.items[i]);
    arm(m);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    step(timer->data, ADMIN_TICK, 0);
}

/* ---- what happens ---------------------------------------------------------------------------- */

void admin_tell(struct master *m)
{
    struct tale tale;
    if (!m->admin.bulletin)
        return;
    tell_gather(m, &tale);
    bulletin_write(m->admin.bulletin, &tale.facts); /* else it stays a little behind */
    tell_free(&tale);
}

/* Once, and when it changes. */
static void say_where(struct master *m)
{
    struct buf where = {0};
    listeners_describe(&m->current->admin, &where);
    if (!slice_equals(buf_slice(&where), buf_slice(&m->admin.said))) {
        if (where.len > 0 || where.failed)
            log_info("admin on %.*s", SLICE_ARGS(buf_text(&where)));
        else
            log_info("admin: closed");
    }
    buf_free(&m->admin.said);
    m->admin.said = where;
}

void admin_renew(struct master *m)
{
    bool wanted = m->current->admin.len > 0;
    if (wanted && !m->admin.bulletin)
        m->admin.bulletin = bulletin_new();
    if (wanted && !m->admin.bulletin) {
        log_error("no admin child: no shared memory: %s", strerror(errno));
        return;
    }
    admin_tell(m);
    say_where(m);
    step(m, wanted ? ADMIN_WANT : ADMIN_UNWANT, 0);
}

void admin_begin(struct master *m)
{
    const struct state *s = m->options->state;
    admin_child_init(&m->admin.child, (uint64_t)clock_now_us());
    ev_timer_init(&m->admin.timer, on_timer, 0, 0);
    m->admin.timer.data = m;
    for (size_t i = 0; s && i < s->admin_child_len && i < 1; i++) {
        pid_t pid = (pid_t)s->admin_child[i].pid;
        open_admin_channel(m, pid, s->admin_child[i].channel);
        step(m, ADMIN_ADOPTED, pid);
    }
    admin_renew(m);
}

static void log_end(const struct master *m, pid_t pid, int status, bool unasked)
{
    char how[REPORT_PHRASE_MAX];
    report_status(status, how);
    if (unasked)
        log_error("the admin child (pid %d) %s; it will be replaced", (int)pid, how);
    else
        log_debug("the admin child (pid %d) has left: %s", (int)pid, how);
}

bool admin_reaped(struct master *m, pid_t pid, int status)
{
    const struct admin_child *a = &m->admin.child;
    if (!admin_child_has(a, pid))
        return false;
    log_end(m, pid, status, pid == a->serving || pid == a->coming);
    close_admin_channel(channel_of(m, pid));
    step(m, ADMIN_EXITED, pid);
    return true;
}

/* ---- from program to program ----------------------------------------------------------------- */

void admin_save(const struct master *m, struct state *state)
{
    for (size_t i = 0; i < ADMIN_CHANNELS; i++) {
        const struct admin_channel *c = &m->admin.channels[i];
        if (c->pid == 0 || c->pid != m->admin.child.serving)
            continue; /* one that is coming sees the end of its channel, and leaves */
        struct state_admin_child *to = state_add_admin_child(state);
        to->pid = c->pid;
        to->channel = c->io.fd;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void await_end(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    bool ended = pidfd >= 0 && poll(&p, 1, END_MS) == 1;
    if (!ended)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        close(pidfd);
}

void admin_end(struct master *m)
{
    struct admin_child *a = &m->admin.child;
    struct admin_actions out;
    buf_free(&m->admin.said);
    if (!m->loop)
        return;
    admin_tell(m);
    admin_child_step(a, clock_now(), &(struct admin_event){.type = ADMIN_UNWANT}, &out);
    for (size_t i = 0; i < out.len; i++)
        perform_admin(m, &out.items[i]);
    for (size_t i = 0; i < ADMIN_LEAVING_MAX; i++)
        if (a->leaving[i].pid != 0)
            await_end(a->leaving[i].pid);
    admin_child_init(a, 0);
    ev_timer_stop(m->loop, &m->admin.timer);
    bulletin_free(m->admin.bulletin);
    m->admin.bulletin = NULL;
}

void admin_drop(struct master *m)
{
    for (size_t i = 0; i < ADMIN_CHANNELS; i++)
        close_admin_channel(&m->admin.channels[i]);
    ev_timer_stop(m->loop, &m->admin.timer);
}
