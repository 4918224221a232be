/* breaker.c: see breaker.h. */
#include "worker/upstream/breaker.h"

#include "shared/check.h"

enum { PROBE_WAIT_MS = 1000 };

static void enter(struct breaker *b, enum breaker_state state)
{
    b->state = state;
    b->epoch++;
    b->calls = b->failures = 0;
    b->probing = false;
}

static void open(struct breaker *b, mono_ms now)
{
    enter(b, BREAKER_OPEN);
    b->open_until = mono_add(now, b->rule.open_ms);
}

struct breaker breaker_closed(const struct breaker_rule *rule)
{
    ASSERT(rule->max_failures_percent <= 100);
    return (struct breaker){.rule = *rule, .state = BREAKER_CLOSED};
}

bool breaker_ask(struct breaker *b, mono_ms now, struct breaker_ticket *ticket_r)
{
    if (b->state == BREAKER_OPEN && !mono_before(now, b->open_until))
        enter(b, BREAKER_HALF_OPEN);
    *ticket_r = (struct breaker_ticket){b->epoch};
    switch (b->state) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_OPEN:
        return false;
    case BREAKER_HALF_OPEN:
        if (b->probing)
            return false;
        b->probing = true;
        return true;
    case BREAKER_NONE:
        break;
    }
    UNREACHABLE();
}

static void count(struct breaker *b, mono_ms now, bool failed)
{
    if (b->calls > 0 && mono_diff_ms(now, b->window_began) >= b->rule.window_ms)
        b->calls = b->failures = 0;
    if (b->calls == 0)
        b->window_began = now;
    b->calls++;
    if (!failed)
        return;
    b->failures++;
    ASSERT(b->failures <= b->calls);
    if (b->calls > b->rule.min_calls &&
        (uint64_t)b->failures * 100 >= (uint64_t)b->calls * b->rule.max_failures_percent)
        open(b, now);
}

static void end_probe(struct breaker *b, mono_ms now, enum breaker_outcome outcome)
{
    ASSERT(b->probing);
    switch (outcome) {
    case BREAKER_SUCCESS:
        enter(b, BREAKER_CLOSED);
        return;
    case BREAKER_FAILURE:
        open(b, now);
        return;
    case BREAKER_FORGOTTEN:
        b->probing = false;
        return;
    }
    UNREACHABLE();
}

void breaker_note(struct breaker *b, mono_ms now, struct breaker_ticket ticket,
                  enum breaker_outcome outcome)
{
    if (ticket.epoch != b->epoch)
        return;
    if (b->state == BREAKER_HALF_OPEN)
        end_probe(b, now, outcome);
    else if (outcome != BREAKER_FORGOTTEN)
        count(b, now, outcome == BREAKER_FAILURE);
}

int64_t breaker_wait_ms(const struct breaker *b, mono_ms now)
{
    if (b->state == BREAKER_OPEN && mono_before(now, b->open_until))
        return mono_diff_ms(b->open_until, now);
    return b->state == BREAKER_HALF_OPEN && b->probing ? PROBE_WAIT_MS : 0;
}
