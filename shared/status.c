/* status.c: see status.h. tcp(7), proc(5). */
#include "shared/status.h"

#include "shared/check.h"
#include "shared/door.h"
#include "shared/jsonw.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

static const char *const state_names[] = {
#define X(name, text) [STATUS_##name] = text,
    STATUS_STATES(X)
#undef X
};

const char *status_state_name(enum status_state state)
{
    ASSERT((size_t)state < sizeof state_names / sizeof *state_names);
    return state_names[state];
}

/* ---- questions to the kernel ----------------------------------------------------------------- */

struct status_listener status_listener_of(const struct listener *l, const char *source)
{
    struct status_listener s = {.name = l->name,
                                .source = source,
                                .queue = -1,
                                .limit = l->backlog_effective,
                                .limit_asked = l->backlog_asked,
                                .words = l->words};
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (sock_is_unix(&l->address) || getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return s;
    s.queue = (int)info.tcpi_unacked; /* of a listener: its queue, and the limit of that */
    s.limit = (int)info.tcpi_sacked;
    return s;
}

/* A file of /proc/PID as a string. */
static bool read_about(pid_t pid, const char *file, char *text, size_t room)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, room - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

int64_t status_cpu_ms(pid_t pid)
{
    char text[1024];
    unsigned long long user, system;
    if (!read_about(pid, "stat", text, sizeof text))
        return -1;
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                      &system) != 2)
        return -1;
    return (int64_t)((user + system) * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}

int64_t status_memory_kib(pid_t pid)
{
    char text[4096];
    long long kib;
    if (!read_about(pid, "smaps_rollup", text, sizeof text))
        return -1;
    const char *at = strstr(text, "\nPss:");
    return at && sscanf(at, "\nPss: %lld kB", &kib) == 1 ? kib : -1;
}

/* ---- members --------------------------------------------------------------------------------- */

static void text_member(struct jsonw *w, const char *name, const char *value)
{
    jsonw_name(w, slice_of(name));
    if (value)
        jsonw_string(w, slice_of(value));
    else
        jsonw_null(w);
}

static void number_member(struct jsonw *w, const char *name, int64_t value)
{
    jsonw_name(w, slice_of(name));
    jsonw_i64(w, value);
}

/* Null when it is below 0. */
static void known_member(struct jsonw *w, const char *name, int64_t value)
{
    jsonw_name(w, slice_of(name));
    if (value >= 0)
        jsonw_i64(w, value);
    else
        jsonw_null(w);
}

static void open_member(struct jsonw *w, const char *name)
{
    jsonw_name(w, slice_of(name));
    jsonw_object_open(w);
}

/* ---- parts ----------------------------------------------------------------------------------- */

enum slot_state status_slot_state(const struct scoreboard_slot *slot)
{
    uint32_t state = atomic_load(&slot->state);
    return state <= SLOT_BACKOFF ? (enum slot_state)state : SLOT_EMPTY;
}

static void render_config(const struct status_facts *f, struct jsonw *w)
{
    open_member(w, "config");
    text_member(w, "path", f->config_path);
    number_member(w, "loaded_at", f->config_loaded_at);
    text_member(w, "hash", f->config_hash);
    jsonw_object_close(w);
}

static void render_workers(const struct status_facts *f, struct jsonw *w)
{
    int64_t by_state[SLOT_BACKOFF + 1] = {0};
    for (size_t i = 0; i < scoreboard_slots_used(f->scoreboard); i++)
        by_state[status_slot_state(&f->scoreboard->slots[i])]++;
    open_member(w, "workers");
    number_member(w, "configured", f->workers_configured);
    known_member(w, "override", f->workers_override > 0 ? f->workers_override : -1);
    number_member(w, "target", f->workers_target);
    open_member(w, "by_state");
    for (enum slot_state s = SLOT_STARTING; s <= SLOT_BACKOFF; s++)
        number_member(w, slot_state_name(s), by_state[s]);
    jsonw_object_close(w);
    jsonw_object_close(w);
}

static void render_listeners(const struct status_facts *f, struct jsonw *w)
{
    jsonw_name(w, SLICE("listeners"));
    jsonw_array_open(w);
    for (size_t i = 0; i < f->listeners_len; i++) {
        const struct status_listener *l = &f->listeners[i];
        jsonw_object_open(w);
        text_member(w, "address", l->name);
        text_member(w, "source", l->source);
        jsonw_name(w, SLICE("proxy"));
        jsonw_bool(w, l->words & DOOR_PROXY);
        jsonw_name(w, SLICE("tls"));
        jsonw_bool(w, l->words & DOOR_TLS);
        known_member(w, "queue", l->queue);
        known_member(w, "limit", l->limit);
        known_member(w, "limit_asked", l->limit_asked);
        jsonw_object_close(w);
    }
    jsonw_array_close(w);
}

static void render_last_reload(const struct status_facts *f, struct jsonw *w)
{
    jsonw_name(w, SLICE("last_reload"));
    if (f->last_reload.number == 0) {
        jsonw_null(w);
        return;
    }
    jsonw_object_open(w);
    number_member(w, "number", f->last_reload.number);
    text_member(w, "result", f->last_reload.result);
    text_member(w, "text", f->last_reload.text);
    number_member(w, "age_ms", f->last_reload.age_ms);
    jsonw_object_close(w);
}

static void render_transition(const struct status_facts *f, struct jsonw *w)
{
    jsonw_name(w, SLICE("transition"));
    if (!f->transition.kind) {
        jsonw_null(w);
        return;
    }
    jsonw_object_open(w);
    text_member(w, "kind", f->transition.kind);
    text_member(w, "step", f->transition.step);
    number_member(w, "number", f->transition.number);
    number_member(w, "generation", f->transition.generation);
    number_member(w, "ready", f->transition.ready);
    number_member(w, "needed", f->transition.needed);
    number_member(w, "leaving", f->transition.leaving);
    number_member(w, "age_ms", f->transition.age_ms);
    jsonw_object_close(w);
}

static void render_deaths(const struct status_facts *f, struct jsonw *w)
{
    jsonw_name(w, SLICE("deaths"));
    jsonw_array_open(w);
    for (size_t i = 0; i < f->deaths_len; i++) {
        jsonw_object_open(w);
        number_member(w, "slot", f->deaths[i].slot);
        number_member(w, "age_ms", f->deaths[i].age_ms);
        text_member(w, "text", f->deaths[i].text);
        jsonw_object_close(w);
    }
    jsonw_array_close(w);
}

static void render_totals(const struct status_facts *f, struct jsonw *w)
{
    open_member(w, "totals");
    for (enum counter c = 0; c < COUNTERS; c++) {
        jsonw_name(w, slice_of(counter_name(c)));
        jsonw_u64(w, scoreboard_total(f->scoreboard, c));
    }
    jsonw_object_close(w);
}

/* Since a moment on the scoreboard, or unknown; a clock read a little later there is no past. */
static int64_t age_of(const struct status_facts *f, const _Atomic(int64_t) *at_ms)
{
    int64_t at = atomic_load(at_ms);
    return at <= 0 ? -1 : at < f->now.ms ? f->now.ms - at : 0;
}

/* Turns of its loop by how long they held it, in milliseconds: "below" names the first bound that a
 * bucket does not reach, null the last bucket's. Empty ones are left out. */
static void render_turns(const struct scoreboard_slot *slot, struct jsonw *w)
{
    jsonw_name(w, SLICE("turns"));
    jsonw_array_open(w);
    for (unsigned i = 0; i < SCOREBOARD_TURN_BUCKETS; i++) {
        uint64_t n = atomic_load(&slot->turns[i]);
        if (n == 0)
            continue;
        jsonw_object_open(w);
        known_member(w, "below_ms", i + 1 < SCOREBOARD_TURN_BUCKETS ? 1 << i : -1);
        jsonw_name(w, SLICE("count"));
        jsonw_u64(w, n);
        jsonw_object_close(w);
    }
    jsonw_array_close(w);
}

static void render_quantiles(const struct histogram_copy *h, struct jsonw *w)
{
    known_member(w, "p50_us", histogram_quantile_us(h, 500));
    known_member(w, "p99_us", histogram_quantile_us(h, 990));
}

/* Null when this worker has no upstream; its calls by how long they took. */
static void render_upstream(const struct scoreboard_slot *slot, struct jsonw *w)
{
    struct histogram_copy h = {0};
    histogram_collect(&slot->series[TIMED_upstream], &h);
    uint32_t state = atomic_load(&slot->upstream_breaker);
    jsonw_name(w, SLICE("upstream"));
    if (state == BREAKER_NONE || state > BREAKER_HALF_OPEN) {
        jsonw_null(w);
        return;
    }
    jsonw_object_open(w);
    text_member(w, "breaker", breaker_state_name((enum breaker_state)state));
    number_member(w, "busy", atomic_load(&slot->upstream_busy));
    number_member(w, "waiting", atomic_load(&slot->upstream_waiting));
    render_quantiles(&h, w);
    jsonw_object_close(w);
}

/* Of the requests that it has answered: how long they took. "counts" are those of the buckets whose
 * upper bounds are "duration_bounds_us" of the whole, and one more for what took longer. */
static void render_durations(const struct status_facts *f, size_t i, struct jsonw *w)
{
    struct histogram_copy h;
    scoreboard_collect_slot(f->scoreboard, i, &h);
    open_member(w, "durations");
    render_quantiles(&h, w);
    jsonw_name(w, SLICE("sum_us"));
    jsonw_u64(w, h.cells[HISTOGRAM_BUCKETS]);
    jsonw_name(w, SLICE("counts"));
    jsonw_array_open(w);
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
        jsonw_u64(w, h.cells[b]);
    jsonw_array_close(w);
    jsonw_object_close(w);
}

static void render_bounds(struct jsonw *w)
{
    jsonw_name(w, SLICE("duration_bounds_us"));
    jsonw_array_open(w);
    for (size_t b = 0; b < HISTOGRAM_BOUNDS_LEN; b++)
        jsonw_i64(w, histogram_bounds_us[b]);
    jsonw_array_close(w);
}

static void counter_member(struct jsonw *w, const struct scoreboard_slot *slot, enum counter c)
{
    jsonw_name(w, slice_of(counter_name(c)));
    jsonw_u64(w, atomic_load(&slot->counters[c]));
}

static void render_slot(const struct status_facts *f, size_t i, struct jsonw *w)
{
    const struct scoreboard_slot *slot = &f->scoreboard->slots[i];
    enum slot_state state = status_slot_state(slot);
    pid_t pid = atomic_load(&slot->pid);
    bool lives = pid > 0 && state != SLOT_BACKOFF;
    jsonw_object_open(w);
    number_member(w, "slot", (int64_t)i);
    known_member(w, "pid", lives ? pid : -1);
    number_member(w, "generation", atomic_load(&slot->generation));
    text_member(w, "state", slot_state_name(state));
    jsonw_name(w, SLICE("accepting"));
    jsonw_bool(w, lives && atomic_load(&slot->accepting) != 0);
    known_member(w, "uptime_ms", lives ? age_of(f, &slot->started_ms) : -1);
    known_member(w, "beat_age_ms", lives ? age_of(f, &slot->beat_ms) : -1);
    number_member(w, "lag_us", atomic_load(&slot->lag_us));
    counter_member(w, slot, COUNTER_slow_callbacks);
    counter_member(w, slot, COUNTER_slow_polls);
    render_turns(slot, w);
    render_upstream(slot, w);
    number_member(w, "connections", atomic_load(&slot->connections));
    number_member(w, "busy", atomic_load(&slot->busy));
    jsonw_name(w, SLICE("requests"));
    jsonw_u64(w, atomic_load(&slot->counters[COUNTER_requests]));
    render_durations(f, i, w);
    number_member(w, "hashes_queued", atomic_load(&slot->hashes_queued));
    number_member(w, "store_queued", atomic_load(&slot->store_queued));
    if (f->cpu)
        known_member(w, "cpu_ms", lives ? status_cpu_ms(pid) : -1);
    if (f->memory)
        known_member(w, "memory_kib", lives ? status_memory_kib(pid) : -1);
    known_member(w, "retry_ms", f->retry_ms ? f->retry_ms[i] : STATUS_NO_RETRY);
    jsonw_object_close(w);
}

static void render_slots(const struct status_facts *f, struct jsonw *w)
{
    jsonw_name(w, SLICE("slots"));
    jsonw_array_open(w);
    for (size_t i = 0; i < scoreboard_slots_used(f->scoreboard); i++)
        if (status_slot_state(&f->scoreboard->slots[i]) != SLOT_EMPTY)
            render_slot(f, i, w);
    jsonw_array_close(w);
}

/* Gauges of all workers together. */
static void render_gauges(const struct status_facts *f, struct jsonw *w)
{
    int64_t connections = 0, busy = 0;
    for (size_t i = 0; i < scoreboard_slots_used(f->scoreboard); i++) {
        connections += atomic_load(&f->scoreboard->slots[i].connections);
        busy += atomic_load(&f->scoreboard->slots[i].busy);
    }
    number_member(w, "connections", connections);
    number_member(w, "busy", busy);
}

void status_render(const struct status_facts *facts, struct buf *out)
{
    struct jsonw json = jsonw_on(out), *w = &json;
    jsonw_object_open(w);
    text_member(w, "version", facts->version);
    number_member(w, "pid", facts->pid);
    number_member(w, "uptime_ms", facts->uptime_ms);
    text_member(w, "state", status_state_name(facts->state));
    number_member(w, "generation", facts->generation);
    jsonw_name(w, SLICE("debug"));
    jsonw_bool(w, facts->debug);
    render_config(facts, w);
    render_workers(facts, w);
    render_listeners(facts, w);
    render_transition(facts, w);
    render_last_reload(facts, w);
    text_member(w, "last_death", facts->last_death);
    render_deaths(facts, w);
    render_gauges(facts, w);
    render_totals(facts, w);
    render_bounds(w);
    render_slots(facts, w);
    jsonw_object_close(w);
}

void status_answer(const struct status_facts *facts, struct buf *out)
{
    buf_append_slice(out, SLICE("{\"ok\":true,\"status\":"));
    status_render(facts, out);
    buf_append_char(out, '}');
}
