/* watch.c: looks after the workers once a second: whose heart stands still, who is worn. It only
 * observes; what follows is the supervisor's. */
#include "master/driver.h"

#include "shared/log.h"
#include "shared/log_tally.h"
#include "shared/status.h"

#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 1000,
    LATE_MS = 2 * LOOK_MS, /* between two looks: then it was the master that stood still */
    TIMEOUT_MIN_MS = 2 * LOOK_MS, /* an idle worker's heart beats once a second */
    MEMORY_EVERY = 5, /* looks; a walk over all pages is not free */
    FAT_SAMPLES = 3   /* in a row */
};

/* ---- hearts ---------------------------------------------------------------------------------- */

/* The state letter of /proc/<pid>/stat (proc(5)); '?' when it cannot be read. */
static char process_state(pid_t pid)
{
    char path[40], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return '?';
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    const char *end = strrchr(line, ')');
    return end && end[1] == ' ' ? end[2] : '?';
}

/* Someone stopped or traces it: that is no fault of its own; but others must not wait for what it
 * holds. */
static bool is_held_by_someone(const struct master *m, pid_t pid,
                               const struct scoreboard_slot *slot)
{
    char state = process_state(pid);
    bool held = state == 'T' || state == 't';
    return held && !atomic_load(&slot->holds_db_lock) && tickets_held(m->estate.tickets, pid) == 0;
}

static bool stands_still(const struct master *m, int i, mono_ms now)
{
    const struct scoreboard_slot *slot = &m->estate.scoreboard->slots[i];
    int64_t timeout_ms = m->current->config->supervisor_heartbeat_timeout;
    if (timeout_ms > 0 && timeout_ms < TIMEOUT_MIN_MS)
        timeout_ms = TIMEOUT_MIN_MS;
    mono_ms since = mono_max((mono_ms){atomic_load(&slot->beat_ms)}, m->tenancies[i].born);
    if (timeout_ms == 0 || mono_before(now, m->grace_until) ||
        mono_diff_ms(now, since) < timeout_ms)
        return false;
    return m->tenancies[i].layout == scoreboard_layout() &&
           !is_held_by_someone(m, m->supervisor->slots[i].pid, slot);
}

/* ---- wear ------------------------------------------------------------------------------------ */

static bool is_over(int64_t value, int64_t limit, const struct tenancy *t)
{
    int64_t thousandths; /* a worker's own count may be anything */
    bool endless = __builtin_mul_overflow(value, 1000, &thousandths);
    return limit > 0 && (endless || thousandths >= limit * t->jitter_permille);
}

static bool is_fat(struct master *m, int i)
{
    struct tenancy *t = &m->tenancies[i];
    int64_t limit = m->current->config->supervisor_max_memory;
    if (limit == 0)
        return false;
    if (m->looks % MEMORY_EVERY == 0)
        t->fat = status_memory_kib(m->supervisor->slots[i].pid) * 1024 > limit ? t->fat + 1 : 0;
    return t->fat >= FAT_SAMPLES;
}

static const char *wear(struct master *m, int i, mono_ms now)
{
    const struct config *c = m->current->config;
    const struct tenancy *t = &m->tenancies[i];
    uint64_t requests = atomic_load(&m->estate.scoreboard->slots[i].counters[COUNTER_requests]);
    if (is_over((int64_t)requests, c->supervisor_max_requests, t))
        return "max_requests";
    if (is_over(mono_diff_ms(now, t->born), c->supervisor_max_age, t))
        return "max_age";
    if (t->stray)
        return "its end: it belongs to a program that was rolled back";
    return is_fat(m, i) ? "max_memory" : NULL;
}

/* ---- looking --------------------------------------------------------------------------------- */

static void report(struct master *m, enum sup_event_type type, int i)
{
    const struct sup_slot *slot = &m->supervisor->slots[i];
    feed(m, &(struct sup_event){
                .type = type, .slot = i, .generation = slot->generation, .pid = slot->pid});
}

static void look_at(struct master *m, int i, mono_ms now)
{
    const struct sup_slot *slot = &m->supervisor->slots[i];
    if (slot->state != SLOT_READY || !slot->wanted || m->tenancies[i].regime == NULL)
        return;
    const char *limit;
    if (!slot->hung && stands_still(m, i, now)) {
        log_error("worker %d (pid %d) has shown no sign of life for %lld ms; it will be replaced",
                  i, (int)slot->pid, (long long)m->current->config->supervisor_heartbeat_timeout);
        report(m, SUP_HUNG, i);
    } else if (!slot->recycle && (limit = wear(m, i, now))) {
        log_info("worker %d (pid %d) has reached %s; it will be replaced", i, (int)slot->pid,
                 limit);
        report(m, SUP_WORN, i);
    }
}

/* A master that stood still itself knows nothing about the others: they get a new time. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = timer->data;
    for (uint64_t lost = log_tally(); lost > 0; lost--)
        scoreboard_count(m->estate.scoreboard, COUNTER_log_lines_dropped);
    mono_ms now = clock_now();
    if (mono_diff_ms(now, m->looked_at) > LATE_MS)
        m->grace_until =
            mono_add(now, m->current->config->supervisor_heartbeat_timeout + TIMEOUT_MIN_MS);
    m->looked_at = now;
    m->looks++;
    for (size_t i = 0; i < m->supervisor->slots_len && !m->done; i++)
        look_at(m, (int)i, now);
    tls_keys_turn(m->estate.tls_keys, now, m->current->config->tls_ticket_rotation);
    unsigned weeded = tickets_weed(m->estate.tickets);
    if (weeded > 0)
        log_error("%u tickets for password hashes were no process's: somebody has written there what "
                  "he should not; they are free again",
                  weeded);
    admin_tell(m);
}

void watch_start(struct master *m)
{
    ev_timer_init(&m->look, on_look, LOOK_MS / 1000., LOOK_MS / 1000.);
    m->look.data = m;
    m->looked_at = clock_now();
    ev_timer_start(m->loop, &m->look);
}

void watch_stop(struct master *m)
{
    ev_timer_stop(m->loop, &m->look);
}
