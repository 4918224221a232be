/* announce.c: tells the service manager how the server fares: gathers the facts after each event and
 * once a second, and sends what notify.h decides. */
#include "master/driver.h"

/* "ready 8/8 gen 3 conns 412 rps 9800 queue 0/2048 last reload ok". */
static void write_status(struct master *m, mono_ms now, struct buf *out)
{
    struct announcer *a = &m->announcer;
    const struct supervisor *s = m->supervisor;
    const struct scoreboard *board = m->estate.scoreboard;
    uint64_t connections = 0;
    for (size_t i = 0; i < scoreboard_slots_used(board); i++)
        connections += atomic_load(&board->slots[i].connections);
    int64_t ms = mono_diff_ms(now, a->counted_at);
    if (ms >= NOTIFY_STATUS_EVERY_MS) {
        uint64_t requests = scoreboard_total(board, COUNTER_requests);
        a->rps = mono_is_set(a->counted_at) ? (requests - a->requests) * 1000 / (uint64_t)ms : 0;
        a->requests = requests;
        a->counted_at = now;
    }
    int queue = 0, limit = 0;
    for (size_t i = 0; i < m->current->listeners.len; i++) {
        struct status_listener l = status_listener_of(&m->current->listeners.items[i], "");
        queue += l.queue > 0 ? l.queue : 0;
        limit += l.limit > 0 ? l.limit : 0;
    }
    buf_printf(out, "%s %u/%u gen %u conns %llu rps %llu queue %d/%d",
               s->phase == SUP_PHASE_MIGRATING ? "migrating" : status_state_name(tell_state(m)),
               tell_ready_workers(m), sup_target(s, &s->settings), s->generation,
               (unsigned long long)connections, (unsigned long long)a->rps, queue, limit);
    if (m->last_reload.len > 0)
        buf_printf(out, " last reload %s", m->last_reload_ok ? "ok" : "failed");
}

void announce(struct master *m)
{
    struct announcer *a = &m->announcer;
    if (a->socket.fd < 0 || !m->current)
        return;
    struct buf status = {0}, datagram = {0};
    struct notify_said then;
    struct notify_facts facts = {.now_us = clock_now_us(),
                                 .state = tell_state(m),
                                 .reloads = m->supervisor->transition.reloads};
    facts.now = (mono_ms){facts.now_us / 1000};
    write_status(m, facts.now, &status);
    facts.status = buf_slice(&status);
    if (notify_decide(&a->said, &facts, &then, &datagram) &&
        notify_send(&a->socket, buf_slice(&datagram)))
        a->said = then;
    buf_free(&status);
    buf_free(&datagram);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    announce(timer->data);
}

void announce_start(struct master *m)
{
    struct announcer *a = &m->announcer;
    double every_s = (double)notify_every_ms(&a->said) / 1000;
    ev_timer_init(&a->timer, on_timer, every_s, every_s);
    a->timer.data = m;
    if (a->socket.fd >= 0)
        ev_timer_start(m->loop, &a->timer);
}

void announce_stop(struct master *m)
{
    ev_timer_stop(m->loop, &m->announcer.timer);
    notify_close(&m->announcer.socket);
}
