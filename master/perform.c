/* perform.c: the supervisor's actions as deeds. */
#include "master/driver.h"

#include "master/spawn.h"
#include "master/upgrade.h"
#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/message.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- actions --------------------------------------------------------------------------------- */

/* ---- forking --------------------------------------------------------------------------------- */

/* In the child, which belongs to *keep* (NULL: to none). Only its own end of its own channel may
 * stay open, or the others would never see the end-of-file of a dead master. The loop's descriptors
 * are the child's copies: destroying it leaves the master's alone. */
static void drop_but(struct master *m, const struct regime *keep, bool check)
{
    adopt_drop(m, check);
    if (!check) {
        config_text_free(&m->text);
        config_text_free(&m->next);
        upgrade_forget_environment();
    }
    admin_drop(m);
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        channel_close(&m->channels[i]);
    for (struct regime *r = m->regimes; r; r = r->next)
        if (r != keep)
            regime_disown(r);
    commands_drop(m);
    reload_watch_stop(m);
    announce_stop(m);
    watch_stop(m);
    ev_io_stop(m->loop, &m->signals_io);
    ev_timer_stop(m->loop, &m->wake);
    ev_loop_destroy(m->loop);
    signals_close(&m->signals);
}

static struct regime *regime_of(struct master *m, const struct sup_action *a)
{
    return m->trial && m->trial->generation == a->generation ? m->trial : m->current;
}

static void drop_for_worker(void *ctx)
{
    struct master *m = ctx;
    drop_but(m, m->forking, false);
    listeners_drop(&m->forking->admin);
}

/* The key, and all that is secret in configurations and the environment. */
static void forget_secrets(struct master *m)
{
    config_forget_secrets(m->options->config);
    for (struct regime *r = m->regimes; r; r = r->next)
        if (r->config)
            config_forget_secrets(r->config);
    config_forget_environment(environ);
    secret_free(m->current->secret);
    m->current->secret = NULL;
}

/* It serves its own doors, and needs no key. */
void drop_for_admin(void *ctx)
{
    struct master *m = ctx;
    drop_but(m, m->current, false);
    listeners_drop(&m->current->listeners);
    forget_secrets(m);
    estate_disown(&m->estate);
}

/* A one-shot child serves nobody and signs nothing. */
static void drop_for_job(void *ctx)
{
    struct master *m = ctx;
    drop_but(m, NULL, false);
    estate_disown(&m->estate);
}

static void drop_for_check(void *ctx)
{
    struct master *m = ctx;
    drop_but(m, NULL, true);
    estate_disown(&m->estate);
}

static int run_check(void *ctx)
{
    return reload_check(ctx);
}

static struct spawn_order worker_order(struct master *m, const struct sup_action *a)
{
    struct regime *r = m->forking;
    return (struct spawn_order){
        .entry = {.role = a->role,
                  .slot = a->slot,
                  .generation = a->generation,
                  .held = a->held,
                  .listeners = r->listeners.items,
                  .listeners_len = r->listeners.len,
                  .handover = {m->estate.handover[0], m->estate.handover[1]},
                  .config = r->config,
                  .as_configured = r != m->current,
                  .secret_key = secret_key(r->secret),
                  .scoreboard = m->estate.scoreboard,
                  .tickets = m->estate.tickets},
        .identity = &m->identity,
        .with_channel = true,
        .drop_inherited = drop_for_worker};
}

static struct spawn_order job_order(struct master *m, const struct sup_action *a)
{
    static char upgrade[] = "upgrade";
    static char *words[] = {upgrade, NULL};
    bool migrate = a->role == ROLE_MIGRATE;
    return (struct spawn_order){.entry = {.role = a->role,
                                          .slot = -1,
                                          .generation = a->generation,
                                          .handover = {-1, -1},
                                          .config = m->current->config,
                                          .argc = migrate ? 1 : 0,
                                          .argv = migrate ? words : words + 1},
                                .identity = a->role == ROLE_CHECK ? NULL : &m->identity,
                                .run = a->role == ROLE_CHECK ? run_check : NULL,
                                .drop_inherited =
                                    a->role == ROLE_CHECK ? drop_for_check : drop_for_job};
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
    m->last[a->slot].words[0] = '\0'; /* of this process there are none yet */
    m->forking = regime_of(m, a);
    struct spawn_order order = a->role == ROLE_SERVE ? worker_order(m, a) : job_order(m, a);
    order.background = true;
    order.ctx = m;
    bool tried = a->role == ROLE_SERVE && m->forking == m->trial;
    if (a->role == ROLE_CHECK)
        FAULT_POINT(reload_check);
    if (tried)
        FAULT_POINT(reload_start);
    struct child child;
    struct sup_event answer = {.slot = a->slot, .generation = a->generation};
    if (a->role == ROLE_CHECK)
        adopt_before_check(m);
    int result = spawn_child(&order, &child);
    int error = errno;
    adopt_after_check(m);
    if (result == 0) {
        answer.type = SUP_SPAWNED;
        answer.pid = child.pid;
        reload_tenant(m, a->slot, a->role == ROLE_SERVE ? m->forking : NULL);
        if (a->role == ROLE_SERVE)
            scoreboard_count(m->estate.scoreboard, COUNTER_workers_started);
        if (child.channel_fd >= 0)
            channel_open(m, a->slot, child.channel_fd);
        if (tried)
            FAULT_POINT(reload_started);
    } else {
        answer.type = SUP_SPAWN_FAILED;
        answer.status = error;
    }
    feed_later(m, &answer);
}

/* ---- the others ------------------------------------------------------------------------------ */

/* A message that cannot be delivered (the worker closed its end, or reads no more) becomes TERM,
 * which it obeys like MESSAGE_DRAIN; the supervisor's deadlines do the rest. */
static void do_notify(struct master *m, const struct sup_action *a)
{
    int fd = m->channels[a->slot].fd;
    struct regime *r = m->tenancies[a->slot].regime;
    if (a->message == MESSAGE_MOVE)
        FAULT_POINT(reload_move);
    int64_t value = a->message == MESSAGE_MOVE && r ? listeners_ending(&r->listeners) : a->value;
    if (fd >= 0 && message_send(fd, a->message, a->generation, value) == 0)
        return;
    log_debug("worker %d (pid %d) cannot be told; it gets SIGTERM", a->slot, (int)a->pid);
    kill(a->pid, SIGTERM); /* our own child, not yet reaped: the pid is right */
}

void perform(struct master *m, const struct sup_action *a)
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
    case SUP_STOPPING:
        estate_say_stopping(&m->estate);
        return;
    case SUP_REFUSE:
        listeners_refuse(&m->current->listeners);
        return;
    case SUP_SHUT:
        for (struct regime *r = m->regimes; r; r = r->next)
            listeners_shut(&r->listeners);
        return;
    case SUP_PREPARE:
        reload_prepare(m, a);
        return;
    case SUP_EXEC:
        m->exec_due = true;
        return;
    case SUP_RETURN:
        adopt_note_return(m, a);
        m->exec_due = true;
        return;
    case SUP_BIND:
        reload_bind(m, a);
        return;
    case SUP_COMMIT:
        reload_commit(m);
        return;
    case SUP_ROLLBACK:
        reload_rollback(m);
        return;
    case SUP_TOLD:
        reload_told(m, a);
        return;
    case SUP_LOG:
        report_log(a, &m->buried, &m->current->listeners);
        return;
    case SUP_EXIT:
        m->done = true;
        m->code = a->code;
        ev_break(m->loop, EVBREAK_ALL);
        return;
    }
}
