/* tell.c: the running master as the control socket tells of it: status, and how a worker died. */
#include "master/driver.h"

#include "shared/debug.h"
#include "shared/jsonw.h"
#include "shared/metrics.h"
#include "shared/status.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each worker's memory is a walk over its pages by the kernel: for so many the master has time. */
enum { MEMORY_WORKERS_MAX = 32 };

/* ---- status ---------------------------------------------------------------------------------- */

unsigned tell_ready_workers(const struct master *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        n += m->supervisor->slots[i].wanted && m->supervisor->slots[i].state == SLOT_READY;
    return n;
}

bool tell_all_ready(const struct master *m)
{
    return m->supervisor->phase == SUP_PHASE_SERVING &&
           tell_ready_workers(m) >= sup_target(m->supervisor, &m->supervisor->settings);
}

enum status_state tell_state(const struct master *m)
{
    const struct supervisor *s = m->supervisor;
    if (s->phase >= SUP_PHASE_DELAYING)
        return STATUS_STOPPING;
    if (s->transition.step != SUP_STEP_NONE && s->transition.kind == SUP_KIND_RELOAD)
        return STATUS_RELOADING;
    if (tell_all_ready(m))
        return STATUS_READY;
    return s->announced ? STATUS_DEGRADED : STATUS_STARTING;
}

static const char *last_death(const struct master *m, struct buf *text)
{
    if (m->latest->pid == 0)
        return NULL;
    report_obituary(m->latest, (int)(m->latest - m->last), text);
    buf_append_char(text, '\0');
    return text->failed ? NULL : text->data;
}

static void fill_retries(const struct master *m, mono_ms now, int64_t *retry_ms)
{
    for (size_t i = 0; i < m->supervisor->slots_len; i++) {
        const struct sup_slot *slot = &m->supervisor->slots[i];
        bool waits = slot->state == SLOT_BACKOFF && mono_before(slot->retry_at, MONO_NEVER);
        retry_ms[i] = waits ? mono_diff_ms(slot->retry_at, now) : STATUS_NO_RETRY;
        if (waits && retry_ms[i] < 0)
            retry_ms[i] = 0;
    }
}

/* FNV-1a (draft-eastlake-fnv), to see at a glance whether two servers have the same bytes. */
static uint64_t hash_of(uint64_t hash, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * 0x100000001b3u;
    return hash;
}

static void write_hash(const struct master *m, char out[static 17])
{
    uint64_t hash = hash_of(hash_of(0xcbf29ce484222325u, m->text.ini), m->text.env);
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

static void fill_transition(const struct supervisor *s, mono_ms now, struct status_facts *f)
{
    static const char *const kinds[] = {
        [SUP_KIND_RELOAD] = "reload", [SUP_KIND_RECYCLE] = "recycle", [SUP_KIND_HUNG] = "hung"};
    const struct sup_transition *t = &s->transition;
    if (t->step == SUP_STEP_NONE)
        return;
    f->transition.kind = kinds[t->kind];
    f->transition.step = sup_step_name(t->step);
    f->transition.number = t->reloads;
    f->transition.generation = t->generation;
    f->transition.needed = t->needed;
    f->transition.age_ms = mono_diff_ms(now, t->begun);
    for (size_t i = 0; i < s->slots_len; i++) {
        f->transition.ready += s->slots[i].candidate && s->slots[i].state == SLOT_READY;
        f->transition.leaving += s->slots[i].retiring;
    }
}

static void fill_facts(struct master *m, struct status_facts *f)
{
    const struct supervisor *s = m->supervisor;
    mono_ms now = clock_now();
    *f = (struct status_facts){
        .version = COLMEIA_VERSION,
        .pid = getpid(),
        .now = now,
        .uptime_ms = mono_diff_ms(now, m->started),
        .started_at = m->started_wall_s,
        .state = tell_state(m),
        .generation = s->generation,
        .debug = debug_is_on(),
        .config_path = m->text.ini.ptr ? m->text.ini_path : NULL,
        .config_loaded_at = m->loaded_wall_s ? m->loaded_wall_s : m->started_wall_s,
        .workers_configured = (int)s->settings.workers,
        .workers_override = (int)s->override,
        .workers_target = (int)sup_target(s, &s->settings),
        .scoreboard = m->estate.scoreboard,
        .cpu = true,
        .memory = sup_target(s, &s->settings) <= MEMORY_WORKERS_MAX,
    };
    fill_transition(s, now, f);
    f->last_reload.number = m->last_reload.len ? s->transition.reloads : 0;
    f->last_reload.result = m->last_reload_ok ? "ok" : "failed";
    f->last_reload.age_ms = mono_diff_ms(now, m->last_reload_at);
}

static void fill_deaths(const struct master *m, struct tale *t)
{
    for (size_t i = 0; i < m->deaths.len; i++)
        t->deaths[i] = (struct status_death){m->deaths.items[i].slot,
                                             mono_diff_ms(t->facts.now, m->deaths.items[i].at),
                                             m->deaths.items[i].text};
    t->facts.deaths = t->deaths;
    t->facts.deaths_len = m->deaths.len;
}

static void fill_listeners(const struct master *m, struct tale *t)
{
    const struct listeners *l = &m->current->listeners;
    for (size_t n = 0; n < l->len; n++)
        t->listeners[n] =
            status_listener_of(&l->items[n], l->notes[n].source ? l->notes[n].source : "bind");
    t->facts.listeners = t->listeners;
    t->facts.listeners_len = l->len;
}

void tell_gather(struct master *m, struct tale *t)
{
    t->death = t->reload = (struct buf){0};
    t->retry_ms = calloc(m->supervisor->slots_len, sizeof *t->retry_ms);
    fill_facts(m, &t->facts);
    write_hash(m, t->hash);
    t->facts.config_hash = t->hash;
    t->facts.last_death = last_death(m, &t->death);
    buf_append_slice(&t->reload, buf_slice(&m->last_reload));
    buf_append_char(&t->reload, '\0');
    t->facts.last_reload.text = t->reload.failed ? "" : t->reload.data;
    fill_deaths(m, t);
    fill_listeners(m, t);
    if (t->retry_ms)
        fill_retries(m, t->facts.now, t->retry_ms);
    t->facts.retry_ms = t->retry_ms;
}

void tell_free(struct tale *t)
{
    free(t->retry_ms);
    buf_free(&t->death);
    buf_free(&t->reload);
}

/* Of the process that was buried last. */
void tell_note_death(struct master *m, int slot)
{
    struct deaths *d = &m->deaths;
    struct buf text = {0};
    size_t kept = d->len < BULLETIN_DEATHS_MAX ? d->len : BULLETIN_DEATHS_MAX - 1;
    report_obituary(&m->buried, slot, &text);
    memmove(&d->items[1], &d->items[0], kept * sizeof d->items[0]);
    d->len = kept + 1;
    d->items[0].slot = slot;
    d->items[0].at = m->buried.at;
    snprintf(d->items[0].text, sizeof d->items[0].text, "%.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
}

void tell_status(struct master *m, struct buf *json)
{
    struct tale tale;
    tell_gather(m, &tale);
    status_answer(&tale.facts, json);
    tell_free(&tale);
}

void tell_metrics(struct master *m, struct buf *json)
{
    struct tale tale;
    struct buf text = {0};
    struct jsonw w = jsonw_on(json);
    tell_gather(m, &tale);
    metrics_render(&tale.facts, &text);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, true);
    jsonw_name(&w, SLICE("metrics"));
    jsonw_string(&w, buf_slice(&text));
    jsonw_object_close(&w);
    json->failed |= text.failed;
    buf_free(&text);
    tell_free(&tale);
}

/* ---- why ------------------------------------------------------------------------------------- */

static void write_recent(struct jsonw *w, const struct obituary *o)
{
    jsonw_name(w, SLICE("recent"));
    jsonw_array_open(w);
    for (unsigned i = 0; i < o->recent_len; i++) {
        const struct scoreboard_recent *r = &o->recent[i];
        jsonw_object_open(w);
        jsonw_name(w, SLICE("age_ms"));
        jsonw_i64(w, mono_diff_ms(o->at, (mono_ms){r->at_ms}));
        jsonw_name(w, SLICE("route"));
        jsonw_string(w, slice_of(r->route));
        jsonw_name(w, SLICE("status"));
        jsonw_u64(w, r->status);
        jsonw_name(w, SLICE("duration_us"));
        jsonw_u64(w, r->duration_us);
        jsonw_name(w, SLICE("id"));
        jsonw_string(w, slice_of(r->request_id));
        jsonw_object_close(w);
    }
    jsonw_array_close(w);
}

/* Those nobody had answered yet. */
static void write_flights(struct jsonw *w, const struct obituary *o)
{
    jsonw_name(w, SLICE("in_flight"));
    jsonw_array_open(w);
    for (unsigned i = 0; i < o->flights_len; i++) {
        const struct obituary_flight *f = &o->flights[i];
        jsonw_object_open(w);
        jsonw_name(w, SLICE("age_ms"));
        jsonw_i64(w, f->age_ms);
        jsonw_name(w, SLICE("route"));
        jsonw_string(w, slice_of(f->route));
        jsonw_name(w, SLICE("id"));
        jsonw_string(w, slice_of(f->request_id));
        jsonw_object_close(w);
    }
    jsonw_array_close(w);
}

static void write_stack(struct jsonw *w, const struct obituary *o)
{
    char **names = report_frames(o);
    jsonw_name(w, SLICE("stack"));
    jsonw_array_open(w);
    for (unsigned i = 0; names && i < o->stack_len; i++)
        jsonw_string(w, slice_of(names[i]));
    jsonw_array_close(w);
    free(names);
}

bool tell_why(const struct master *m, int slot, struct buf *json)
{
    bool known = slot >= 0 && (size_t)slot + 1 < m->supervisor->slots_len;
    const struct obituary *o = known ? &m->last[slot] : NULL;
    if (!o || o->pid == 0)
        return false;
    struct buf text = {0};
    struct jsonw w = jsonw_on(json);
    report_obituary(o, slot, &text);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, true);
    jsonw_name(&w, SLICE("text"));
    jsonw_string(&w, buf_slice(&text));
    jsonw_name(&w, SLICE("words"));
    jsonw_string(&w, slice_of(o->words));
    write_stack(&w, o);
    write_flights(&w, o);
    write_recent(&w, o);
    jsonw_object_close(&w);
    buf_free(&text);
    return true;
}
