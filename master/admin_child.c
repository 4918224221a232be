/* admin_child.c: see admin_child.h. */
#include "master/admin_child.h"

#include "shared/check.h"

#include <string.h>

static const struct backoff_times times = {
    .first_ms = 100, .max_ms = 30 * 1000, .jitter_percent = 20};

static void act(struct admin_actions *out, enum admin_action_type type, pid_t pid)
{
    ASSERT(out->len < sizeof out->items / sizeof out->items[0]);
    out->items[out->len++] = (struct admin_action){type, pid};
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void forget_leaving(struct admin_child *a, size_t i)
{
    size_t behind = ADMIN_LEAVING_MAX - 1 - i;
    memmove(&a->leaving[i], &a->leaving[i + 1], behind * sizeof a->leaving[0]);
    a->leaving[ADMIN_LEAVING_MAX - 1] = (struct admin_leaving){0};
}

/* Takes the process out of *who* and tells it to leave. One that is killed to make room is forgotten:
 * whoever reaps it finds that it is nobody's. */
static void dismiss(struct admin_child *a, pid_t *who, mono_ms now, struct admin_actions *out)
{
    size_t i = 0;
    if (*who == 0)
        return;
    if (a->leaving[ADMIN_LEAVING_MAX - 1].pid != 0) {
        act(out, ADMIN_KILL, a->leaving[0].pid);
        forget_leaving(a, 0);
    }
    while (a->leaving[i].pid != 0)
        i++;
    a->leaving[i] = (struct admin_leaving){*who, mono_add(now, ADMIN_LEAVE_MS)};
    act(out, ADMIN_TERM, *who);
    *who = 0;
}

static void kill_the_slow(struct admin_child *a, mono_ms now, struct admin_actions *out)
{
    for (size_t i = 0; i < ADMIN_LEAVING_MAX; i++)
        if (a->leaving[i].pid != 0 && !mono_before(now, a->leaving[i].kill_at)) {
            act(out, ADMIN_KILL, a->leaving[i].pid);
            a->leaving[i].kill_at = MONO_NEVER;
        }
    if (a->coming != 0 && !mono_before(now, a->boot_until)) {
        act(out, ADMIN_KILL, a->coming);
        a->boot_until = MONO_NEVER;
    }
}

/* ---- coming ---------------------------------------------------------------------------------- */

static void start_if_due(struct admin_child *a, mono_ms now, struct admin_actions *out)
{
    bool needed = a->wanted && a->coming == 0 && (a->serving == 0 || a->stale);
    if (needed && !mono_before(now, a->retry_at))
        act(out, ADMIN_SPAWN, 0);
}

static void note_death(struct admin_child *a, mono_ms now)
{
    a->deaths++;
    a->retry_at = mono_add(now, backoff_delay_ms(a->deaths, &times, &a->random));
}

static void on_ready(struct admin_child *a, mono_ms now, struct admin_actions *out)
{
    dismiss(a, &a->serving, now, out);
    a->serving = a->coming;
    a->coming = 0;
    a->ready_at = now;
}

static void on_exited(struct admin_child *a, pid_t pid, mono_ms now)
{
    for (size_t i = 0; i < ADMIN_LEAVING_MAX; i++)
        if (a->leaving[i].pid == pid) {
            forget_leaving(a, i);
            return;
        }
    if (a->coming == pid) {
        a->coming = 0;
        a->stale = a->stale || a->serving != 0; /* that one is of the configuration before */
    } else {
        if (mono_diff_ms(now, a->ready_at) >= ADMIN_STABLE_MS)
            a->deaths = 0;
        a->serving = 0;
    }
    note_death(a, now);
}

/* A configuration that is new, or the first one: what was to be done for the one before is not. */
static void on_want(struct admin_child *a, mono_ms now, struct admin_actions *out)
{
    a->wanted = true;
    a->stale = a->serving != 0;
    a->deaths = 0;
    a->retry_at = now;
    dismiss(a, &a->coming, now, out);
}

static void on_unwant(struct admin_child *a, mono_ms now, struct admin_actions *out)
{
    a->wanted = a->stale = false;
    dismiss(a, &a->coming, now, out);
    dismiss(a, &a->serving, now, out);
}

/* ---- the whole ------------------------------------------------------------------------------- */

void admin_child_init(struct admin_child *a, uint64_t random)
{
    *a = (struct admin_child){.random = random};
}

bool admin_child_has(const struct admin_child *a, pid_t pid)
{
    bool has = pid != 0 && (a->serving == pid || a->coming == pid);
    for (size_t i = 0; i < ADMIN_LEAVING_MAX; i++)
        has = has || (pid != 0 && a->leaving[i].pid == pid);
    return has;
}

static bool apply(struct admin_child *a, mono_ms now, const struct admin_event *event,
                  struct admin_actions *out)
{
    switch (event->type) {
    case ADMIN_WANT:
        on_want(a, now, out);
        return true;
    case ADMIN_UNWANT:
        on_unwant(a, now, out);
        return true;
    case ADMIN_ADOPTED:
        a->serving = event->pid;
        a->ready_at = now;
        return true;
    case ADMIN_SPAWNED:
        a->coming = event->pid;
        a->boot_until = mono_add(now, ADMIN_BOOT_MS);
        a->stale = false;
        return true;
    case ADMIN_SPAWN_FAILED:
        note_death(a, now);
        if (!mono_before(now, a->retry_at)) /* not at once: what was missing is missing still */
            a->retry_at = mono_add(now, times.first_ms);
        return true;
    case ADMIN_READY:
        if (event->pid != a->coming || event->pid == 0)
            return false;
        on_ready(a, now, out);
        return true;
    case ADMIN_EXITED:
        if (!admin_child_has(a, event->pid))
            return false;
        on_exited(a, event->pid, now);
        return true;
    case ADMIN_TICK:
        return true;
    }
    UNREACHABLE();
}

bool admin_child_step(struct admin_child *a, mono_ms now, const struct admin_event *event,
                      struct admin_actions *out)
{
    out->len = 0;
    bool known = apply(a, now, event, out);
    kill_the_slow(a, now, out);
    start_if_due(a, now, out);
    return known;
}

mono_ms admin_child_wake(const struct admin_child *a)
{
    mono_ms wake = MONO_NEVER;
    for (size_t i = 0; i < ADMIN_LEAVING_MAX; i++)
        if (a->leaving[i].pid != 0)
            wake = mono_min(wake, a->leaving[i].kill_at);
    if (a->coming != 0)
        return mono_min(wake, a->boot_until);
    if (a->wanted && (a->serving == 0 || a->stale))
        return mono_min(wake, a->retry_at);
    return wake;
}
