/* state_key.c: see state_key.h. */
#include "state_key.h"

#include "shared/check.h"

#include <stdlib.h>
#include <string.h>

/* ---- small parts ----------------------------------------------------------------------------- */

/* A time takes four bits. */
enum { TIME_BITS = 4, TIMES_MAX = 13, CODE_PAST = 14, CODE_NEVER = 15 };

static void put(uint64_t *word, unsigned bits, uint64_t value)
{
    ASSERT(value < UINT64_C(1) << bits && *word >> (64 - bits) == 0);
    *word = *word << bits | value;
}

/* A point in the future, in units from now. */
static unsigned ahead(mono_ms t, mono_ms now)
{
    if (!mono_before(t, MONO_NEVER))
        return CODE_NEVER;
    if (mono_before(t, now))
        return CODE_PAST;
    int64_t units = mono_diff_ms(t, now) / UNIT_MS;
    ASSERT(units <= TIMES_MAX);
    return (unsigned)units;
}

/* A point in the past: its age in units, up to *most*. */
static unsigned age(mono_ms t, mono_ms now, int64_t most)
{
    if (!mono_is_set(t))
        return CODE_NEVER;
    ASSERT(most <= TIMES_MAX);
    int64_t units = mono_diff_ms(now, t) / UNIT_MS;
    return (unsigned)(units < most ? units : most);
}

static unsigned upto(unsigned n, unsigned most)
{
    return n < most ? n : most;
}

uint8_t state_flags(const struct sup_slot *slot)
{
    return (uint8_t)(slot->wanted | slot->candidate << 1 | slot->leaving << 2 |
                     slot->retiring << 3 | slot->recycle << 4 | slot->hung << 5 |
                     slot->moving << 6 | slot->told_to_cut << 7);
}

/* The number of failures, at least *least*, from which on all delays are the longest. */
static unsigned failures_that_matter(const struct backoff_times *times, unsigned least)
{
    uint64_t random = 0;
    unsigned n = least;
    while (backoff_delay_ms(n + 1, times, &random) < times->max_ms)
        n++;
    return n;
}

struct state_lens state_lens_for(const struct sup_settings *settings, bool flags, bool forks,
                                 bool counts_cut)
{
    ASSERT(settings->backoff.jitter_percent == 0);
    unsigned most = failures_that_matter(&settings->backoff, 1);
    return (struct state_lens){
        .flags = flags,
        .forks = forks,
        .counts_cut = counts_cut,
        /* health.c counts slots with two deaths */
        .deaths_most = failures_that_matter(&settings->backoff, 2),
        /* one is added before the delay is taken, and the delay is that of one more */
        .fork_failures_most = most - 1,
        .recycle_failures_most = most - 1,
    };
}

/* ---- one slot -------------------------------------------------------------------------------- */

static bool is_worker(const struct sup_slot *slot)
{
    return slot->wanted || slot->candidate;
}

/* Never both among those one of which is to be chosen: one comes when the other has gone. */
static bool never_meet(const struct sup_slot *a, const struct sup_slot *b)
{
    return (a->candidate && b->leaving) || (a->leaving && b->candidate);
}

/* How many of those that may be chosen with it are younger. Births matter by their order only, and
 * that decides who is scaled away, who is replaced first, and who is started first of two that wait
 * for the same time. */
static unsigned rank(const struct supervisor *s, const struct sup_slot *slot)
{
    unsigned younger = 0;
    for (size_t i = 0; i < s->slots_len; i++) {
        const struct sup_slot *other = &s->slots[i];
        younger += is_worker(other) && !never_meet(slot, other) && other->born > slot->born;
    }
    return younger;
}

static bool waits(const struct sup_slot *slot)
{
    return slot->wanted && !slot_is_live(slot) && mono_before(slot->retry_at, MONO_NEVER);
}

/* Its place among those who wait for a fork. Matters where two are due and one may go. */
static unsigned place(const struct supervisor *s, const struct sup_slot *slot)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->slots_len; i++) {
        const struct sup_slot *other = &s->slots[i];
        if (!waits(other) || other == slot)
            continue;
        n += mono_before(other->retry_at, slot->retry_at) ||
             (other->retry_at.ms == slot->retry_at.ms && other->born < slot->born);
    }
    return n;
}

/* READY, or KILLED and still wanted. Its age decides whether its death counts as a failed boot
 * (before min_ready, while no worker has served) and whether it wipes out earlier deaths (after
 * min_ready or stable): with no earlier ones, in a server that has served, all ages are alike. */
static unsigned age_that_matters(const struct supervisor *s, const struct sup_slot *slot,
                                 mono_ms now)
{
    if (slot->deaths > 0)
        return age(slot->ready_at, now, s->settings.stable_ms / UNIT_MS);
    return age(slot->ready_at, now, s->served ? 0 : s->settings.min_ready_ms / UNIT_MS);
}

static unsigned ready_part(const struct state_lens *lens, const struct supervisor *s,
                           const struct sup_slot *slot, mono_ms now)
{
    switch (slot->state) {
    case SLOT_READY:
        return sup_serves(s) ? age_that_matters(s, slot, now) : 0;
    case SLOT_DRAINING: /* whether, not when */
        return age(slot->ready_at, now, 0);
    case SLOT_KILLED: /* the end of one that nobody wants is no death, but clients may be lost */
        if (is_worker(slot))
            return age_that_matters(s, slot, now);
        return lens->counts_cut ? age(slot->ready_at, now, 0) : 0;
    case SLOT_EMPTY:
    case SLOT_STARTING:
    case SLOT_BACKOFF:
        return 0;
    }
    return 0;
}

/* A READY worker's deadline is the end of min_ready: it says that somebody has served, once. */
static unsigned deadline_part(const struct supervisor *s, const struct sup_slot *slot, mono_ms now)
{
    return slot->state == SLOT_READY && s->served ? CODE_NEVER : ahead(slot->deadline, now);
}

/* A READY that was on its way gives back the time there was. */
static unsigned drain_part(const struct sup_slot *slot, mono_ms now)
{
    bool matters = slot->state == SLOT_DRAINING && slot->role == ROLE_SERVE &&
                   !mono_is_set(slot->ready_at) && !slot->told_to_cut;
    return matters ? ahead(slot->drain_until, now) : 0;
}

/* Each counts only in the state in which it is asked for. */
static unsigned flags_part(const struct supervisor *s, const struct sup_slot *slot)
{
    bool flaggable = slot->state == SLOT_READY && slot->wanted;
    bool drains = slot->state == SLOT_DRAINING;
    bool moving = drains && slot->moving && !slot->told_to_cut && sup_serves(s);
    return (unsigned)(slot->wanted | slot->candidate << 1 | slot->leaving << 2 |
                      (slot->retiring && s->transition.step == SUP_STEP_RETIRE) << 3 |
                      (slot->recycle && flaggable) << 4 | (slot->hung && flaggable) << 5 |
                      moving << 6 | (slot->told_to_cut && drains) << 7);
}

/* Not here: the index (no choice depends on it but that among empty slots, which are alike), pid
 * and generation (reports about others are ignored, that is all), last_status and alike (words of
 * the log). */
uint64_t state_slot_code(const struct state_lens *lens, const struct sim *sim, size_t i)
{
    const struct supervisor *s = sim->s;
    const struct sup_slot *slot = &s->slots[i];
    bool ranked = sup_serves(s) && is_worker(slot);
    uint64_t code = 0;
    put(&code, 3, slot->state);
    put(&code, 3, slot_is_live(slot) ? slot->role : i + 1 == s->slots_len ? 1 : 0);
    put(&code, 8, flags_part(s, slot));
    put(&code, 1, slot->held && slot->state == SLOT_READY);
    put(&code, TIME_BITS, deadline_part(s, slot, sim->now));
    put(&code, TIME_BITS, slot->state == SLOT_BACKOFF ? ahead(slot->retry_at, sim->now) : 0);
    put(&code, TIME_BITS, ready_part(lens, s, slot, sim->now));
    put(&code, TIME_BITS, drain_part(slot, sim->now));
    put(&code, 3, ranked ? rank(s, slot) : 0);
    put(&code, 3, waits(slot) ? place(s, slot) : 0);
    put(&code, 4, slot->wanted ? upto(slot->deaths, lens->deaths_most) : 0);
    put(&code, 4, slot->wanted && slot->state == SLOT_BACKOFF
                      ? upto(slot->fork_failures, lens->fork_failures_most) : 0);
    put(&code, 1, lens->counts_cut && !s->cut && slot->cut > 0);
    put(&code, 2, sim->memory.away[i]);
    return code;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static unsigned tokens_missing(const struct bucket *b, mono_ms now)
{
    int64_t full = b->burst * 1000;
    int64_t level = b->milli_tokens + mono_diff_ms(now, b->filled_at) * b->per_s;
    return (unsigned)((level < full ? full - level : 0) / 1000);
}

/* Not here: announced (words of the log), random (there is no jitter), begun, reloads and the
 * numbers of generations and births (names). */
static uint64_t whole(const struct state_lens *lens, const struct supervisor *s, mono_ms now)
{
    bool serving = sup_serves(s), first = !s->served, wants = s->phase <= SUP_PHASE_DELAYING;
    uint64_t code = 0;
    put(&code, 3, s->phase);
    put(&code, 1, serving && s->served);
    put(&code, 1, serving && s->one_at_a_time);
    put(&code, 1, s->quick);
    put(&code, 7, s->code);
    put(&code, 1, lens->counts_cut && s->cut);
    put(&code, 4, serving && first ? upto(s->boot_failures, s->settings.boot_failures_max) : 0);
    /* while serving: when patience ends; then: whether there is something to be checkpointed */
    put(&code, TIME_BITS, serving && first ? ahead(s->first_deadline, now)
                                           : mono_is_set(s->first_deadline));
    put(&code, TIME_BITS, serving && !first ? ahead(s->give_up_at, now) : 0);
    put(&code, TIME_BITS,
        s->quick ? 0 : age(s->interrupted_at, now, s->settings.interrupt_again_ms / UNIT_MS + 1));
    put(&code, 6, lens->forks && serving ? tokens_missing(&s->forks, now) : 0);
    put(&code, 4, wants ? s->override : 0);
    put(&code, 4, wants ? s->settings.workers : 0);
    put(&code, TIME_BITS, s->phase == SUP_PHASE_DELAYING ? ahead(s->stop_at, now) : 0);
    return code;
}

static uint64_t transition(const struct state_lens *lens, const struct sim *sim)
{
    const struct sup_transition *t = &sim->s->transition;
    const struct sim_memory *m = &sim->memory;
    bool serving = sim->s->phase == SUP_PHASE_SERVING, open = transition_is_open(sim->s);
    bool reload = open && t->kind == SUP_KIND_RELOAD, later = serving && lens->flags;
    bool calm = t->step == SUP_STEP_NONE && serving;
    uint64_t code = 0;
    put(&code, 3, t->step);
    put(&code, 2, t->step != SUP_STEP_NONE ? t->kind : 0);
    put(&code, 1, t->reload_asked);
    put(&code, 1, t->step == SUP_STEP_RETIRE && t->failed);
    put(&code, 1, t->upgrade_asked);
    put(&code, 1, t->step != SUP_STEP_NONE && t->upgrade);
    put(&code, 1, t->step != SUP_STEP_NONE && t->adopted);
    put(&code, 3, t->step != SUP_STEP_NONE && t->adopted && t->failed ? t->failure : 0);
    put(&code, 3, open ? t->needed : 0);
    put(&code, 3, reload ? sim->s->next.workers : 0);
    put(&code, TIME_BITS, t->step == SUP_STEP_SETTLE ? ahead(t->settled_at, sim->now) : 0);
    put(&code, TIME_BITS, later ? ahead(mono_max(t->recycle_at, sim->now), sim->now) : 0);
    put(&code, TIME_BITS, later ? ahead(mono_max(t->hung_at, sim->now), sim->now) : 0);
    put(&code, 4, later ? upto(t->recycle_failures, lens->recycle_failures_most) : 0);
    put(&code, 4, m->stage);
    put(&code, 1, m->reload_asked);
    /* at rest, with no transition, it is set anew */
    put(&code, 4, sup_serves(sim->s) && !calm ? m->peak : 0);
    put(&code, TIME_BITS,
        later ? age(m->aborted_at, sim->now, sim->s->settings.hung_gap_ms / UNIT_MS) : 0);
    return code;
}

void state_key(const struct state_lens *lens, const struct sim *sim, struct state_key *key)
{
    size_t slots = sim->s->slots_len;
    uint64_t *codes = key->words + 2;
    ASSERT(slots <= STATE_SLOTS_MAX);
    key->len = 2 + slots;
    key->words[0] = whole(lens, sim->s, sim->now);
    key->words[1] = transition(lens, sim);
    for (size_t i = 0; i < slots; i++) { /* sorted */
        uint64_t code = state_slot_code(lens, sim, i);
        size_t at = i;
        for (; at > 0 && codes[at - 1] > code; at--)
            codes[at] = codes[at - 1];
        codes[at] = code;
    }
}

/* ---- what has been seen ---------------------------------------------------------------------- */

enum { SEEN_LEAST = 1 << 14 };

/* With ten millions of states two would be taken for one with a probability of 3 in 10^6. */
uint64_t state_hash(const struct state_key *key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key->len; i++) {
        h = (h ^ key->words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
        h *= UINT64_C(0xd6e8feb86659fd93);
        h ^= h >> 29;
    }
    return h ? h : 1;
}

static void alloc_cells(struct seen *seen, size_t cap)
{
    seen->cells = calloc(cap, sizeof seen->cells[0]);
    ASSERT(seen->cells);
    seen->cap = cap;
}

void seen_init(struct seen *seen)
{
    *seen = (struct seen){0};
    alloc_cells(seen, SEEN_LEAST);
}

void seen_fini(struct seen *seen)
{
    free(seen->cells);
    seen->cells = NULL;
}

static size_t cell_of(const struct seen *seen, uint64_t h)
{
    size_t i = h & (seen->cap - 1);
    while (seen->cells[i] != 0 && seen->cells[i] != h)
        i = (i + 1) & (seen->cap - 1);
    return i;
}

static bool add_hash(struct seen *seen, uint64_t h)
{
    size_t i = cell_of(seen, h);
    if (seen->cells[i] == h)
        return false;
    seen->cells[i] = h;
    seen->len++;
    return true;
}

static void grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->len = 0;
    alloc_cells(seen, 2 * old.cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.cells[i] != 0)
            add_hash(seen, old.cells[i]);
    free(old.cells);
}

bool seen_add(struct seen *seen, const struct state_key *key)
{
    if (2 * seen->len >= seen->cap)
        grow(seen);
    return add_hash(seen, state_hash(key));
}

bool seen_has(const struct seen *seen, const struct state_key *key)
{
    uint64_t h = state_hash(key);
    return seen->cells[cell_of(seen, h)] == h;
}
