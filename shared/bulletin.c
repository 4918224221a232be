/* bulletin.c: see bulletin.h. Linux Documentation/locking/seqlock.rst. */
#include "shared/bulletin.h"

#include "shared/memory.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    WORDS = (sizeof(struct bulletin_page) + sizeof(uint64_t) - 1) / sizeof(uint64_t),
    READ_TRIES = 1000
};

struct bulletin {
    _Atomic(uint32_t) edition; /* odd while it is written; 0: never yet */
    _Atomic(uint64_t) words[WORDS];
};

/* A page as words, so that copying it is a matter of atomic loads and stores. */
union sheet {
    struct bulletin_page page;
    uint64_t words[WORDS];
};

struct bulletin *bulletin_new(void)
{
    int fd;
    struct bulletin *b = memory_new("colmeia-bulletin", sizeof *b, &fd);
    if (b)
        close(fd);
    return b;
}

void bulletin_free(struct bulletin *b)
{
    memory_free(b);
}

int bulletin_protect(struct bulletin *b)
{
    return mprotect(b, sizeof *b, PROT_READ);
}

/* ---- writing --------------------------------------------------------------------------------- */

#define COPY_TEXT(to, text) snprintf((to), sizeof(to), "%s", (text) ? (text) : "")

static int64_t at(const struct status_facts *f, int64_t age_ms)
{
    return f->now.ms - age_ms;
}

static void fill_server(const struct status_facts *f, struct bulletin_page *p)
{
    COPY_TEXT(p->version, f->version);
    COPY_TEXT(p->config_path, f->config_path);
    COPY_TEXT(p->config_hash, f->config_hash);
    p->pid = f->pid;
    p->state = f->state;
    p->generation = f->generation;
    p->debug = f->debug;
    p->cpu = f->cpu;
    p->memory = f->memory;
    p->started_ms = at(f, f->uptime_ms);
    p->started_at = f->started_at;
    p->config_loaded_at = f->config_loaded_at;
    p->workers_configured = f->workers_configured;
    p->workers_override = f->workers_override;
    p->workers_target = f->workers_target;
}

static void fill_events(const struct status_facts *f, struct bulletin_page *p)
{
    COPY_TEXT(p->transition_kind, f->transition.kind);
    COPY_TEXT(p->transition_step, f->transition.step);
    p->transition_number = f->transition.number;
    p->transition_generation = f->transition.generation;
    p->transition_ready = f->transition.ready;
    p->transition_needed = f->transition.needed;
    p->transition_leaving = f->transition.leaving;
    p->transition_begun_ms = at(f, f->transition.age_ms);
    p->reload_number = f->last_reload.number;
    COPY_TEXT(p->reload_result, f->last_reload.result);
    COPY_TEXT(p->reload_text, f->last_reload.text);
    p->reload_at_ms = at(f, f->last_reload.age_ms);
    COPY_TEXT(p->last_death, f->last_death);
    for (size_t i = 0; i < f->deaths_len && i < BULLETIN_DEATHS_MAX; i++) {
        struct bulletin_death *d = &p->deaths[p->deaths_len++];
        d->slot = f->deaths[i].slot;
        d->at_ms = at(f, f->deaths[i].age_ms);
        COPY_TEXT(d->text, f->deaths[i].text);
    }
}

static void fill_listeners(const struct status_facts *f, struct bulletin_page *p)
{
    for (size_t i = 0; i < f->listeners_len && i < BULLETIN_LISTENERS_MAX; i++) {
        struct bulletin_listener *l = &p->listeners[p->listeners_len++];
        COPY_TEXT(l->name, f->listeners[i].name);
        COPY_TEXT(l->source, f->listeners[i].source);
        l->queue = f->listeners[i].queue;
        l->limit = f->listeners[i].limit;
        l->limit_asked = f->listeners[i].limit_asked;
        l->words = f->listeners[i].words;
    }
}

static void fill_retries(const struct status_facts *f, struct bulletin_page *p)
{
    size_t slots_len = scoreboard_slots_len(f->scoreboard);
    for (size_t i = 0; i < SCOREBOARD_SLOTS_MAX; i++)
        p->retry_at_ms[i] = f->retry_ms && i < slots_len && f->retry_ms[i] >= 0
                                ? f->now.ms + f->retry_ms[i]
                                : -1;
}

bool bulletin_write(struct bulletin *b, const struct status_facts *facts)
{
    union sheet *sheet = calloc(1, sizeof *sheet);
    if (!sheet)
        return false;
    fill_server(facts, &sheet->page);
    fill_events(facts, &sheet->page);
    fill_listeners(facts, &sheet->page);
    fill_retries(facts, &sheet->page);
    uint32_t edition = atomic_load_explicit(&b->edition, memory_order_relaxed);
    atomic_store_explicit(&b->edition, edition | 1, memory_order_relaxed);
    for (size_t i = 0; i < WORDS; i++) /* none of them is seen before the odd number */
        atomic_store_explicit(&b->words[i], sheet->words[i], memory_order_release);
    atomic_store_explicit(&b->edition, (edition | 1) + 1, memory_order_release);
    free(sheet);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

#define END_TEXT(text) ((text)[sizeof(text) - 1] = '\0')

static uint32_t at_most(uint32_t value, uint32_t max)
{
    return value < max ? value : max;
}

/* A point of mono_ms, or -1; far from where sums overflow. */
static void bound_time(int64_t *at_ms)
{
    const int64_t max = INT64_C(1) << 60;
    *at_ms = *at_ms < -1 ? -1 : *at_ms > max ? max : *at_ms;
}

static void bound_times(struct bulletin_page *p)
{
    bound_time(&p->started_ms);
    bound_time(&p->transition_begun_ms);
    bound_time(&p->reload_at_ms);
    for (size_t i = 0; i < BULLETIN_DEATHS_MAX; i++)
        bound_time(&p->deaths[i].at_ms);
    for (size_t i = 0; i < SCOREBOARD_SLOTS_MAX; i++)
        bound_time(&p->retry_at_ms[i]);
}

static void sanitise(struct bulletin_page *p)
{
    bound_times(p);
    END_TEXT(p->version);
    END_TEXT(p->config_path);
    END_TEXT(p->config_hash);
    END_TEXT(p->transition_kind);
    END_TEXT(p->transition_step);
    END_TEXT(p->reload_result);
    END_TEXT(p->reload_text);
    END_TEXT(p->last_death);
    p->state = at_most(p->state, STATUS_STOPPING);
    p->deaths_len = at_most(p->deaths_len, BULLETIN_DEATHS_MAX);
    p->listeners_len = at_most(p->listeners_len, BULLETIN_LISTENERS_MAX);
    for (size_t i = 0; i < p->deaths_len; i++)
        END_TEXT(p->deaths[i].text);
    for (size_t i = 0; i < p->listeners_len; i++) {
        END_TEXT(p->listeners[i].name);
        END_TEXT(p->listeners[i].source);
    }
}

/* One try. A writer that was killed in the middle leaves it odd for good. */
static bool take(const struct bulletin *b, union sheet *sheet)
{
    uint32_t before = atomic_load_explicit(&b->edition, memory_order_acquire);
    for (size_t i = 0; i < WORDS; i++)
        sheet->words[i] = atomic_load_explicit(&b->words[i], memory_order_acquire);
    uint32_t after = atomic_load_explicit(&b->edition, memory_order_relaxed);
    return before == after && before % 2 == 0 && before > 0;
}

bool bulletin_read(const struct bulletin *b, struct bulletin_page *page_r)
{
    union sheet *sheet = malloc(sizeof *sheet);
    bool whole = false;
    for (int tries = 0; sheet && !whole && tries < READ_TRIES; tries++) {
        whole = take(b, sheet);
        if (atomic_load_explicit(&b->edition, memory_order_relaxed) == 0)
            break;
        if (!whole)
            sched_yield();
    }
    if (whole) {
        sanitise(&sheet->page);
        *page_r = sheet->page;
    }
    free(sheet);
    return whole;
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static int64_t age(mono_ms now, int64_t at_ms)
{
    return now.ms > at_ms ? now.ms - at_ms : 0;
}

static void tell_lists(const struct bulletin_page *p, mono_ms now, struct bulletin_facts *f)
{
    for (size_t i = 0; i < p->listeners_len; i++) {
        const struct bulletin_listener *l = &p->listeners[i];
        f->listeners[i] =
            (struct status_listener){l->name,  l->source,      l->queue,
                                     l->limit, l->limit_asked, l->words};
    }
    for (size_t i = 0; i < p->deaths_len; i++)
        f->deaths[i] = (struct status_death){p->deaths[i].slot, age(now, p->deaths[i].at_ms),
                                             p->deaths[i].text};
    for (size_t i = 0; i < SCOREBOARD_SLOTS_MAX; i++) {
        int64_t left = p->retry_at_ms[i] - now.ms;
        f->retry_ms[i] = p->retry_at_ms[i] < 0 ? STATUS_NO_RETRY : left > 0 ? left : 0;
    }
}

void bulletin_tell(const struct bulletin_page *p, const struct scoreboard *scoreboard, mono_ms now,
                   struct bulletin_facts *f)
{
    tell_lists(p, now, f);
    f->facts = (struct status_facts){
        .version = p->version,
        .pid = p->pid,
        .now = now,
        .uptime_ms = age(now, p->started_ms),
        .started_at = p->started_at,
        .state = (enum status_state)p->state,
        .generation = p->generation,
        .debug = p->debug != 0,
        .config_path = text_or_null(p->config_path),
        .config_loaded_at = p->config_loaded_at,
        .config_hash = text_or_null(p->config_hash),
        .workers_configured = p->workers_configured,
        .workers_override = p->workers_override,
        .workers_target = p->workers_target,
        .listeners = f->listeners,
        .listeners_len = p->listeners_len,
        .last_death = text_or_null(p->last_death),
        .deaths = f->deaths,
        .deaths_len = p->deaths_len,
        .scoreboard = scoreboard,
        .retry_ms = f->retry_ms,
        .cpu = p->cpu != 0,
        .memory = p->memory != 0,
    };
    f->facts.last_reload.number = p->reload_number;
    f->facts.last_reload.result = p->reload_result;
    f->facts.last_reload.text = p->reload_text;
    f->facts.last_reload.age_ms = age(now, p->reload_at_ms);
    f->facts.transition.kind = text_or_null(p->transition_kind);
    f->facts.transition.step = p->transition_step;
    f->facts.transition.number = p->transition_number;
    f->facts.transition.generation = p->transition_generation;
    f->facts.transition.ready = p->transition_ready;
    f->facts.transition.needed = p->transition_needed;
    f->facts.transition.leaving = p->transition_leaving;
    f->facts.transition.age_ms = age(now, p->transition_begun_ms);
}
