/* stall.c: see stall.h. */
#include "worker/loop/stall.h"

#include "shared/debug.h"
#include "shared/log.h"

#include <stdio.h>

/* ---- reports --------------------------------------------------------------------------------- */

/* "12.3" below a second's tenth, whole milliseconds above. */
static void say_ms(int64_t us, char out[static 32])
{
    if (us < 100000)
        snprintf(out, 32, "%lld.%lld", (long long)(us / 1000), (long long)(us % 1000 / 100));
    else
        snprintf(out, 32, "%lld", (long long)(us / 1000));
}

/* ", POST /users/ (create_user) id=…, the last of 3 requests"; nothing without a request. */
static void say_request(const struct stall *s, struct buf *out)
{
    if (s->requests == 0)
        return;
    buf_printf(out, ", %s", s->route);
    if (s->handler[0])
        buf_printf(out, " (%s)", s->handler);
    buf_printf(out, " id=%s", s->id);
    if (s->requests > 1)
        buf_printf(out, ", the last of %u requests", s->requests);
}

static void report_callback(const struct stall *s, int64_t held_us)
{
    char held[32], limit[32];
    struct buf about = {0};
    say_ms(held_us, held);
    say_ms(s->limit_us, limit);
    say_request(s, &about);
    log_warning("slow callback: %s%s%s%.*s: held the loop for %s ms (limit %s ms)",
                s->what ? s->what : "one without a name", s->made_at ? " made at " : "",
                s->made_at ? s->made_at : "", SLICE_ARGS(buf_slice(&about)), held, limit);
    buf_free(&about);
}

static void report_poll(const struct stall *s, int64_t asked_us, int64_t took_us)
{
    char asked[32], took[32];
    (void)s;
    say_ms(asked_us, asked);
    say_ms(took_us, took);
    log_warning("slow poll: the loop was to wake within %s ms and woke after %s ms", asked, took);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void count(const struct stall *s, enum counter c)
{
    if (s->slot)
        counter_add(s->slot, c, 1);
}

static void callback_over(struct stall *s, int64_t now_us)
{
    int64_t held_us = now_us - s->since_us;
    if (__builtin_expect(s->limit_us > 0 && held_us > s->limit_us, 0)) {
        count(s, COUNTER_slow_callbacks);
        if (debug_is_on())
            report_callback(s, held_us);
    }
    s->requests = 0;
}

void stall_turn_begins(struct stall *s, int64_t now_us)
{
    int64_t asked_until_us = s->wake_by_us > s->ended_us ? s->wake_by_us : s->ended_us;
    if (s->limit_us > 0 && s->wake_by_us > 0 && s->ended_us > 0 &&
        now_us - asked_until_us > s->limit_us) {
        count(s, COUNTER_slow_polls);
        if (debug_is_on())
            report_poll(s, asked_until_us - s->ended_us, now_us - s->ended_us);
    }
    s->began_us = s->since_us = now_us;
    s->what = s->made_at = NULL;
    s->requests = 0;
}

void stall_callback(struct stall *s, const char *what, const char *made_at, int64_t now_us)
{
    if (s->began_us == 0)
        return; /* called by its owner, not by the loop: at the start, at the end, in a test */
    callback_over(s, now_us);
    s->what = what;
    s->made_at = made_at;
    s->since_us = now_us;
}

void stall_turn_ends(struct stall *s, int64_t now_us)
{
    s->ended_us = now_us;
    if (s->began_us == 0)
        return; /* the first one, or the last one was over already */
    callback_over(s, now_us);
    if (s->slot)
        scoreboard_note_turn(s->slot, now_us - s->began_us);
    s->began_us = 0;
}

/* ---- what it is about ------------------------------------------------------------------------ */

void stall_note_request(struct stall *s, struct slice method, struct slice path, struct slice id)
{
    s->requests++;
    s->handler[0] = '\0';
    snprintf(s->route, sizeof s->route, "%.*s %.*s", SLICE_ARGS(method), SLICE_ARGS(path));
    snprintf(s->id, sizeof s->id, "%.*s", SLICE_ARGS(id));
}

void stall_note_handler(struct stall *s, const char *handler)
{
    snprintf(s->handler, sizeof s->handler, "%s", handler);
}
