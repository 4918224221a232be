/* master.c: the driver. Signals, channels, children's ends and time become events; the supervisor's
 * actions become forks, signals, messages and log lines. The only file that knows both sides; it
 * decides nothing by itself. */
#include "master/driver.h"

#include "master/activation.h"
#include "master/record.h"
#include "master/rewatch.h"
#include "master/upgrade.h"
#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/message.h"
#include "shared/reserve.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- channels -------------------------------------------------------------------------------- */

void channel_close(struct channel *c)
{
    if (c->fd < 0)
        return;
    ev_io_stop(c->master->loop, &c->io);
    close(c->fd);
    c->fd = -1;
}

/* What is reported late, or by another, is not timed. */
static void time_boot(struct master *m, int slot, pid_t pid)
{
    const struct sup_slot *s = &m->supervisor->slots[slot];
    if (s->state == SLOT_STARTING && s->pid == pid && pid != 0)
        scoreboard_note(m->estate.scoreboard, TIMED_boot,
                        mono_diff_ms(clock_now(), m->tenancies[slot].born) * 1000);
}

static void report_message(struct master *m, int slot, const struct message *message)
{
    struct sup_event event = {.slot = slot,
                              .generation = message->generation,
                              .pid = message->pid,
                              .value = message->value};
    if (message->type == MESSAGE_READY) {
        event.type = SUP_READY;
        time_boot(m, slot, message->pid);
    }
    else if (message->type == MESSAGE_CUT)
        event.type = SUP_CUT;
    else
        return; /* not a worker's to send */
    if (event.type == SUP_READY && m->trial)
        FAULT_POINT(reload_ready);
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
    rewatch(loop, io, revents);
    channel_read(io->data);
}

void channel_open(struct master *m, int slot, int fd)
{
    struct channel *c = &m->channels[slot];
    ASSERT(c->fd < 0);
    c->fd = fd;
    ev_io_init(&c->io, on_channel, fd, EV_READ);
    c->io.data = c;
    ev_io_start(m->loop, &c->io);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void step(struct master *m, const struct sup_event *event)
{
    supervisor_step(m->supervisor, clock_now(), event, &m->out);
    for (size_t i = 0; i < m->out.len; i++)
        perform(m, &m->out.items[i]);
    announce(m);
}

/* What the master writes into the scoreboard. */
static void publish(struct master *m)
{
    for (size_t i = 0; i < m->supervisor->slots_len; i++) {
        const struct sup_slot *from = &m->supervisor->slots[i];
        struct scoreboard_slot *to = &m->estate.scoreboard->slots[i];
        bool used = from->born > 0 || i < scoreboard_slots_used(m->estate.scoreboard);
        if (!used || from->role != ROLE_SERVE)
            continue; /* its memory is not even there; or nobody looks there */
        scoreboard_use(m->estate.scoreboard, i);
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

void feed_later(struct master *m, const struct sup_event *answer)
{
    ASSERT(m->answers_len < m->supervisor->slots_len + 2);
    m->answers[m->answers_len++] = *answer;
}

/* One event and the answers to what it led to, which may lead to more. */
void feed(struct master *m, const struct sup_event *event)
{
    step(m, event);
    while (m->answers_len > 0) {
        struct sup_event answer = m->answers[0];
        m->answers_len--;
        memmove(m->answers, m->answers + 1, m->answers_len * sizeof m->answers[0]);
        step(m, &answer);
    }
    publish(m);
    admin_tell(m);
    arm_wake(m);
    answers_look(m);
    if (m->exec_due)
        adopt_exec(m);
}

void feed_request(struct master *m, enum sup_request request, int slot, int64_t value)
{
    feed(m, &(struct sup_event){
                .type = SUP_REQUEST, .slot = slot, .request = request, .value = value});
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
    obituary_take(&m->buried, &m->estate.scoreboard->slots[slot], status, clock_now());
    if (m->tenancies[slot].adopted)
        m->buried.stack_len = 0; /* addresses in another program's memory */
    bool worker = m->supervisor->slots[slot].role == ROLE_SERVE;
    bool unasked = status != 0 || m->supervisor->slots[slot].state != SLOT_DRAINING;
    if (unasked) {
        m->last[slot] = m->buried;
        if (worker) {
            m->latest = &m->last[slot];
            tell_note_death(m, slot);
        }
    }
    if (worker)
        scoreboard_count(m->estate.scoreboard,
                         unasked ? COUNTER_workers_died : COUNTER_workers_left);
    reload_tenant_gone(m, slot);
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
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
        if (pid < 0)
            continue;
        int slot = slot_of(m, pid);
        if (slot >= 0)
            bury(m, slot, pid, status);
        else if (!admin_reaped(m, pid, status))
            log_debug("reaped process %d, which is none of ours", (int)pid);
    }
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
        feed_request(m, SUP_REQUEST_STOP, -1, 0);
        return true;
    case SIGNAL_INTERRUPT:
        feed_request(m, SUP_REQUEST_INTERRUPT, -1, 0);
        return true;
    case SIGNAL_QUICK:
        feed_request(m, SUP_REQUEST_QUIT, -1, 0);
        return true;
    case SIGNAL_RELOAD:
        feed_request(m, SUP_REQUEST_RELOAD, -1, 0);
        return true;
    case SIGNAL_MORE:
        feed_request(m, SUP_REQUEST_SCALE_BY, -1, 1);
        return true;
    case SIGNAL_LESS:
        feed_request(m, SUP_REQUEST_SCALE_BY, -1, -1);
        return true;
    case SIGNAL_REOPEN:
        trail_reopen(m);
        return true;
    case SIGNAL_UPGRADE:
        feed_request(m, SUP_REQUEST_RELOAD, -1, 1);
        return true;
    }
    UNREACHABLE();
}

static void on_signals(struct ev_loop *loop, ev_io *io, int revents)
{
    rewatch(loop, io, revents);
    struct master *m = io->data;
    struct signal_report report;
    do {
        report = signals_next(&m->signals);
        record_signal(&report);
    } while (on_signal(m, &report) && !m->done);
}

static void on_wake(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = timer->data;
    const struct sup_transition *t = &m->supervisor->transition;
    if (t->step == SUP_STEP_SETTLE && !mono_before(clock_now(), t->settled_at))
        FAULT_POINT(reload_settled);
    feed(m, &(struct sup_event){.type = SUP_TICK, .slot = -1});
}

/* ---- start and end --------------------------------------------------------------------------- */

static enum exit_code open_loop(struct master *m)
{
    /* NOENV: LIBEV_FLAGS in the environment shall not choose another back end. */
    ev_set_allocator(reserve_realloc);
    m->loop = FAULT_CALL(loop, NULL, ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
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
    const struct state *state = m->options->state;
    m->supervisor = state ? supervisor_restore(&seeded, state) : supervisor_new(&seeded);
    size_t slots_len = m->supervisor ? m->supervisor->slots_len : 0;
    m->channels = calloc(slots_len, sizeof m->channels[0]);
    m->tenancies = calloc(slots_len, sizeof m->tenancies[0]);
    m->last = calloc(slots_len, sizeof m->last[0]);
    m->answers = calloc(slots_len + 2, sizeof m->answers[0]);
    if (!m->supervisor || !m->channels || !m->tenancies || !m->last || !m->answers) {
        log_error("cannot start: out of memory");
        return EXIT_CODE_INTERNAL;
    }
    m->latest = &m->last[0];
    for (size_t i = 0; i < slots_len; i++)
        m->channels[i] = (struct channel){.master = m, .slot = (int)i, .fd = -1};
    return EXIT_CODE_OK;
}

static enum exit_code open_estate(struct master *m)
{
    const struct state *state = m->options->state;
    return state ? estate_adopt(&m->estate, m->supervisor->slots_len, state)
                 : estate_open(&m->estate, m->supervisor->slots_len);
}

/* What a service manager gave us are the first doors; the configuration's come beside them. */
static enum exit_code open_doors(struct master *m, struct buf *errors)
{
    struct listeners given;
    enum exit_code code = activation_take(&given, errors);
    if (code == EXIT_CODE_OK)
        code = regime_open(m->options->config, m->supervisor->generation, &given, NULL,
                           &m->current, errors);
    if (code == EXIT_CODE_OK)
        listeners_hand_on(&given, &m->current->listeners);
    listeners_shut(&given);
    return code;
}

static enum exit_code open_regime(struct master *m)
{
    struct buf errors = {0};
    if (m->options->state) {
        activation_forget();
        return adopt_regimes(m);
    }
    enum exit_code code = open_doors(m, &errors);
    log_lines(LOG_LEVEL_ERROR, buf_slice(&errors));
    buf_free(&errors);
    m->regimes = m->current;
    return code;
}

/* Doors and key come before anyone touches the database: a second server on a busy port leaves that
 * alone. */
static enum exit_code open_all(struct master *m)
{
    adopt_open(m);
    enum exit_code code = trail_open(m);
    if (code == EXIT_CODE_OK)
        code = open_supervisor(m, &m->options->settings);
    if (code == EXIT_CODE_OK)
        code = open_estate(m);
    if (code == EXIT_CODE_OK)
        code = open_regime(m);
    if (code == EXIT_CODE_OK)
        code = open_loop(m);
    if (code == EXIT_CODE_OK && m->options->state)
        code = adopt_rest(m);
    if (code != EXIT_CODE_OK)
        return code;
    reload_set_title(m);
    watch_start(m);
    announce_start(m);
    reload_watch_start(m);
    commands_open(m);
    return EXIT_CODE_OK;
}

static void close_loop(struct master *m)
{
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        channel_close(&m->channels[i]);
    commands_close(m);
    reload_watch_stop(m);
    announce_stop(m);
    watch_stop(m);
    ev_io_stop(m->loop, &m->signals_io);
    ev_timer_stop(m->loop, &m->wake);
    ev_loop_destroy(m->loop);
}

static void close_all(struct master *m)
{
    admin_end(m);
    if (m->loop)
        close_loop(m);
    reload_close(m);
    adopt_close(m);
    free(m->answers);
    free(m->last);
    free(m->tenancies);
    free(m->channels);
    if (m->supervisor)
        estate_close(&m->estate);
    supervisor_free(m->supervisor);
    notify_close(&m->announcer.socket);
    signals_close(&m->signals);
    audit_stop();
}

struct sup_settings master_settings(const struct config *config)
{
    const char *path;
    struct sup_settings settings = sup_settings_standard((unsigned)config_workers(config));
    bool file = config_database(config, &path) == CONFIG_DATABASE_FILE;
    settings.migrate = file;
    settings.checkpoint = file;
    settings.keeps_data = !file;
    settings.workers_max =
        file ? SCOREBOARD_WORKERS_MAX : 1; /* in memory: each would have its own */
    settings.boot_timeout_ms = config->supervisor_boot_timeout;
    settings.graceful_timeout_ms = config->supervisor_graceful_timeout;
    settings.stop_delay_ms = config->supervisor_stop_delay;
    settings.min_ready_ms = config->supervisor_min_ready;
    settings.settle_ms = config->supervisor_settle;
    return settings;
}

/* The first thing that the supervisor hears. */
static void begin(struct master *m)
{
    enum sup_event_type type = SUP_START;
    if (m->options->state) {
        adopt_done(m);
        type = m->options->way_back ? SUP_RETURNED : SUP_ADOPTED;
    }
    admin_begin(m);
    feed(m, &(struct sup_event){.type = type, .slot = -1});
    if (m->options->state)
        reap(m); /* whose SIGCHLD the program before has read */
}

int master_run(const struct master_options *options)
{
    struct master *m = calloc(1, sizeof *m); /* with room for a step's actions: not for the stack */
    struct config_text text = options->text; /* it is ours now */
    if (!m) {
        log_error("cannot start: out of memory");
        config_text_free(&text);
        return EXIT_CODE_INTERNAL;
    }
    m->options = options;
    m->text = text;
    m->started = clock_now();
    m->started_wall_s = clock_wall_s();
    estate_init(&m->estate);
    log_set_role("master");
    notify_open(&m->announcer.socket, &m->announcer.said);
    if (signals_open(&m->signals) < 0) {
        log_error("cannot start: no signalfd: %s", strerror(errno));
        config_text_free(&m->text);
        free(m);
        return EXIT_CODE_INTERNAL;
    }
    enum exit_code code = open_all(m);
    if (code != EXIT_CODE_OK && options->state) {
        upgrade_fall_back("it could not take over what runs; its log says why");
        _exit((int)code); /* nothing is shut: the workers finish what they have, as orphans */
    }
    if (code == EXIT_CODE_OK) {
        begin(m);
        if (!m->done) /* ev_run would forget an ev_break from before */
            ev_run(m->loop, 0);
        code = m->code;
    }
    close_all(m);
    free(m);
    return (int)code;
}
