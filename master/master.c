/* master.c: the driver. Signals, channels, children's ends and time become events; the supervisor's
 * actions become forks, signals, messages and log lines. The only file that knows both sides; it
 * decides nothing by itself. */
#include "master/master.h"

#include "master/estate.h"
#include "master/report.h"
#include "master/signals.h"
#include "master/spawn.h"
#include "shared/check.h"
#include "shared/log.h"
#include "shared/message.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

/* The master's end of one worker's channel. */
struct channel {
    ev_io io;
    struct master *master; /* borrowed */
    int slot;
    int fd; /* -1: none */
};

struct master {
    const struct config *config; /* borrowed */
    struct estate estate;
    struct signals signals;
    struct ev_loop *loop;
    ev_io signals_io;
    ev_timer wake;
    struct supervisor *supervisor;
    struct channel *channels;  /* one per slot */
    struct sup_event *answers; /* SPAWNED, SPAWN_FAILED not yet told: at most one per slot */
    size_t answers_len;
    struct obituary last; /* of the process that ended last */
    struct sup_actions out;
    bool done; /* SUP_EXIT came; with this code */
    enum exit_code code;
};

/* ---- channels -------------------------------------------------------------------------------- */

static void channel_close(struct channel *c)
{
    if (c->fd < 0)
        return;
    ev_io_stop(c->master->loop, &c->io);
    close(c->fd);
    c->fd = -1;
}

static void feed(struct master *m, const struct sup_event *event);

static void report_message(struct master *m, int slot, const struct message *message)
{
    struct sup_event event = {.slot = slot,
                              .generation = message->generation,
                              .pid = message->pid,
                              .value = message->value};
    if (message->type == MESSAGE_READY)
        event.type = SUP_READY;
    else if (message->type == MESSAGE_CUT)
        event.type = SUP_CUT;
    else
        return; /* not a worker's to send */
    feed(m, &event);
}

/* All that has arrived. A worker that closed its end may still live: its exit tells. */
static void channel_read(struct channel *c)
{
    struct message message;
    while (c->fd >= 0) {
        switch (message_receive(c->fd, &message)) {
        case MESSAGE_OK:
            report_message(c->master, c->slot, &message);
            break;
        case MESSAGE_BAD:
            log_warning("worker %d sent a message that is none; ignored", c->slot);
            break;
        case MESSAGE_CLOSED:
            channel_close(c);
            return;
        case MESSAGE_NONE:
            return;
        }
    }
}

static void on_channel(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    (void)revents;
    channel_read(io->data);
}

static void channel_open(struct master *m, int slot, int fd)
{
    struct channel *c = &m->channels[slot];
    ASSERT(c->fd < 0);
    c->fd = fd;
    ev_io_init(&c->io, on_channel, fd, EV_READ);
    c->io.data = c;
    ev_io_start(m->loop, &c->io);
}

/* ---- actions --------------------------------------------------------------------------------- */

/* In the child. Only its own end of its own channel may stay open, or the others would never see
 * the end-of-file of a dead master. The loop's descriptors are the child's copies: destroying it
 * leaves the master's alone. */
static void drop_masters(void *ctx)
{
    struct master *m = ctx;
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        channel_close(&m->channels[i]);
    ev_io_stop(m->loop, &m->signals_io);
    ev_timer_stop(m->loop, &m->wake);
    ev_loop_destroy(m->loop);
    signals_close(&m->signals);
}

/* A one-shot child serves nobody and signs nothing. */
static void drop_masters_and_workers(void *ctx)
{
    struct master *m = ctx;
    drop_masters(m);
    estate_disown(&m->estate);
}

static struct spawn_order worker_order(struct master *m, const struct sup_action *a)
{
    return (struct spawn_order){.entry = {.role = a->role,
                                          .slot = a->slot,
                                          .generation = a->generation,
                                          .listeners = m->estate.listeners.items,
                                          .listeners_len = m->estate.listeners.len,
                                          .config = m->config,
                                          .secret_key = secret_key(m->estate.secret),
                                          .scoreboard = m->estate.scoreboard,
                                          .tickets = m->estate.tickets},
                                .with_channel = true,
                                .drop_inherited = drop_masters};
}

static struct spawn_order job_order(struct master *m, const struct sup_action *a)
{
    static char upgrade[] = "upgrade";
    static char *words[] = {upgrade, NULL};
    bool migrate = a->role == ROLE_MIGRATE;
    return (struct spawn_order){.entry = {.role = a->role,
                                          .slot = -1,
                                          .generation = a->generation,
                                          .config = m->config,
                                          .argc = migrate ? 1 : 0,
                                          .argv = migrate ? words : words + 1},
                                .drop_inherited = drop_masters_and_workers};
}

/* What the worker must find when it starts, written before the fork: publish() comes after. */
static void prepare_slot(struct master *m, const struct sup_action *a)
{
    struct scoreboard_slot *slot = &m->estate.scoreboard->slots[a->slot];
    atomic_store(&slot->generation, a->generation);
    atomic_store(&slot->state, (uint32_t)SLOT_STARTING);
    atomic_store(&slot->started_ms, clock_now().ms);
}

static void do_spawn(struct master *m, const struct sup_action *a)
{
    prepare_slot(m, a);
    struct spawn_order order = a->role == ROLE_SERVE ? worker_order(m, a) : job_order(m, a);
    order.background = true;
    order.ctx = m;
    struct child child;
    struct sup_event answer = {.slot = a->slot, .generation = a->generation};
    if (spawn_child(&order, &child) == 0) {
        answer.type = SUP_SPAWNED;
        answer.pid = child.pid;
        if (child.channel_fd >= 0)
            channel_open(m, a->slot, child.channel_fd);
    } else {
        answer.type = SUP_SPAWN_FAILED;
        answer.status = errno;
    }
    ASSERT(m->answers_len < m->supervisor->slots_len);
    m->answers[m->answers_len++] = answer;
}

/* A message that cannot be delivered (the worker closed its end, or reads no more) becomes TERM,
 * which it obeys like MESSAGE_DRAIN; the supervisor's deadlines do the rest. */
static void do_notify(struct master *m, const struct sup_action *a)
{
    int fd = m->channels[a->slot].fd;
    if (fd >= 0 && message_send(fd, a->message, a->generation, a->value) == 0)
        return;
    log_debug("worker %d (pid %d) cannot be told; it gets SIGTERM", a->slot, (int)a->pid);
    kill(a->pid, SIGTERM); /* our own child, not yet reaped: the pid is right */
}

static void perform(struct master *m, const struct sup_action *a)
{
    switch (a->type) {
    case SUP_SPAWN:
        do_spawn(m, a);
        return;
    case SUP_SIGNAL:
        kill(a->pid, a->signal); /* the same */
        return;
    case SUP_NOTIFY:
        do_notify(m, a);
        return;
    case SUP_REFUSE:
        atomic_store(&m->estate.scoreboard->stopping, 1);
        listeners_refuse(&m->estate.listeners);
        return;
    case SUP_SHUT:
        listeners_shut(&m->estate.listeners);
        return;
    case SUP_LOG:
        report_log(a, &m->last, &m->estate.listeners);
        return;
    case SUP_EXIT:
        m->done = true;
        m->code = a->code;
        ev_break(m->loop, EVBREAK_ALL);
        return;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void step(struct master *m, const struct sup_event *event)
{
    supervisor_step(m->supervisor, clock_now(), event, &m->out);
    for (size_t i = 0; i < m->out.len; i++)
        perform(m, &m->out.items[i]);
}

/* What the master writes into the scoreboard. */
static void publish(struct master *m)
{
    for (size_t i = 0; i < m->supervisor->slots_len; i++) {
        const struct sup_slot *from = &m->supervisor->slots[i];
        struct scoreboard_slot *to = &m->estate.scoreboard->slots[i];
        atomic_store(&to->pid, from->pid);
        atomic_store(&to->generation, from->generation);
        atomic_store(&to->state, (uint32_t)from->state);
    }
}

static void arm_wake(struct master *m)
{
    ev_timer_stop(m->loop, &m->wake);
    if (!mono_before(m->out.wake, MONO_NEVER))
        return;
    int64_t wait_ms = mono_diff_ms(m->out.wake, clock_now());
    ev_now_update(m->loop); /* forks may have taken a while */
    ev_timer_set(&m->wake, wait_ms > 0 ? (double)wait_ms / 1000 : 0, 0);
    ev_timer_start(m->loop, &m->wake);
}

/* One event and the answers to the forks it led to, which may lead to more. */
static void feed(struct master *m, const struct sup_event *event)
{
    step(m, event);
    while (m->answers_len > 0) {
        struct sup_event answer = m->answers[0];
        m->answers_len--;
        memmove(m->answers, m->answers + 1, m->answers_len * sizeof m->answers[0]);
        step(m, &answer);
    }
    publish(m);
    arm_wake(m);
}

static int slot_of(const struct master *m, pid_t pid)
{
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        if (m->supervisor->slots[i].pid == pid)
            return (int)i;
    return -1;
}

/* Its last words first; then what it held is free again; then the supervisor hears of it. */
static void bury(struct master *m, int slot, pid_t pid, int status)
{
    channel_read(&m->channels[slot]);
    channel_close(&m->channels[slot]);
    obituary_take(&m->last, &m->estate.scoreboard->slots[slot], clock_now());
    scoreboard_retire(m->estate.scoreboard, (size_t)slot);
    tickets_reclaim(m->estate.tickets, pid);
    feed(m, &(struct sup_event){.type = SUP_EXITED,
                                .slot = slot,
                                .generation = m->supervisor->slots[slot].generation,
                                .pid = pid,
                                .status = status});
}

/* The one way in which children are reaped. SIGCHLD may stand for several; strangers (a master that
 * is PID 1 inherits orphans) are reaped and forgotten. */
static void reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        int slot = slot_of(m, pid);
        if (slot >= 0)
            bury(m, slot, pid, status);
        else
            log_debug("reaped process %d, which is none of ours", (int)pid);
    }
}

static void request(struct master *m, enum sup_request request)
{
    feed(m, &(struct sup_event){.type = SUP_REQUEST, .slot = -1, .request = request});
}

static bool on_signal(struct master *m, const struct signal_report *r)
{
    switch (r->meaning) {
    case SIGNAL_NONE:
        return false;
    case SIGNAL_CHILD:
        reap(m);
        return true;
    case SIGNAL_STOP:
        request(m, SUP_REQUEST_STOP);
        return true;
    case SIGNAL_INTERRUPT:
        request(m, SUP_REQUEST_INTERRUPT);
        return true;
    case SIGNAL_QUICK:
        request(m, SUP_REQUEST_QUIT);
        return true;
    case SIGNAL_NOT_BUILT:
        log_warning("SIG%s from pid %d ignored: %s is not built yet", sigabbrev_np(r->number),
                    (int)r->sender, r->what);
        return true;
    }
    UNREACHABLE();
}

static void on_signals(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = io->data;
    struct signal_report report;
    do {
        report = signals_next(&m->signals);
    } while (on_signal(m, &report));
}

static void on_wake(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    feed(timer->data, &(struct sup_event){.type = SUP_TICK, .slot = -1});
}

/* ---- start and end -----------------------------------------------------------------------------
 */

static enum exit_code open_loop(struct master *m)
{
    /* NOENV: LIBEV_FLAGS in the environment shall not choose another back end. */
    m->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!m->loop) {
        log_error("cannot start: no event loop: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    ev_io_init(&m->signals_io, on_signals, m->signals.fd, EV_READ);
    m->signals_io.data = m;
    ev_io_start(m->loop, &m->signals_io);
    ev_timer_init(&m->wake, on_wake, 0, 0);
    m->wake.data = m;
    return EXIT_CODE_OK;
}

static enum exit_code open_supervisor(struct master *m, const struct sup_settings *settings)
{
    struct sup_settings seeded = *settings;
    if (seeded.random == 0 && getrandom(&seeded.random, sizeof seeded.random, 0) < 0)
        seeded.random = (uint64_t)getpid(); /* jitter needs no secret */
    size_t slots_len = supervisor_slots_len(settings->workers);
    m->supervisor = supervisor_new(&seeded);
    m->channels = calloc(slots_len, sizeof m->channels[0]);
    m->answers = calloc(slots_len, sizeof m->answers[0]);
    if (!m->supervisor || !m->channels || !m->answers) {
        log_error("cannot start: out of memory");
        return EXIT_CODE_INTERNAL;
    }
    for (size_t i = 0; i < slots_len; i++)
        m->channels[i] = (struct channel){.master = m, .slot = (int)i, .fd = -1};
    return EXIT_CODE_OK;
}

static enum exit_code open_all(struct master *m, const struct sup_settings *settings)
{
    enum exit_code code =
        estate_open(&m->estate, m->config, supervisor_slots_len(settings->workers));
    if (code == EXIT_CODE_OK)
        code = open_supervisor(m, settings);
    if (code == EXIT_CODE_OK)
        code = open_loop(m);
    return code;
}

static void close_all(struct master *m)
{
    if (m->loop) {
        for (size_t i = 0; i < m->supervisor->slots_len; i++)
            channel_close(&m->channels[i]);
        ev_io_stop(m->loop, &m->signals_io);
        ev_timer_stop(m->loop, &m->wake);
        ev_loop_destroy(m->loop);
    }
    free(m->answers);
    free(m->channels);
    supervisor_free(m->supervisor);
    estate_close(&m->estate);
    signals_close(&m->signals);
}

struct sup_settings master_settings(const struct config *config)
{
    const char *path;
    struct sup_settings settings = sup_settings_standard((unsigned)config_workers(config));
    bool file = config_database(config, &path) == CONFIG_DATABASE_FILE;
    settings.migrate = file;
    settings.checkpoint = file;
    settings.boot_timeout_ms = config->supervisor_boot_timeout;
    settings.graceful_timeout_ms = config->supervisor_graceful_timeout;
    return settings;
}

int master_run(const struct config *config, const struct sup_settings *settings)
{
    struct master *m = calloc(1, sizeof *m); /* with room for a step's actions: not for the stack */
    if (!m) {
        log_error("cannot start: out of memory");
        return EXIT_CODE_INTERNAL;
    }
    m->config = config;
    log_set_role("master");
    if (signals_open(&m->signals) < 0) {
        log_error("cannot start: no signalfd: %s", strerror(errno));
        free(m);
        return EXIT_CODE_INTERNAL;
    }
    enum exit_code code = open_all(m, settings);
    if (code == EXIT_CODE_OK) {
        feed(m, &(struct sup_event){.type = SUP_START, .slot = -1});
        if (!m->done) /* ev_run would forget an ev_break from before */
            ev_run(m->loop, 0);
        code = m->code;
    }
    close_all(m);
    free(m);
    return (int)code;
}
