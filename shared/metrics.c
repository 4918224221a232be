/* metrics.c: see metrics.h. Prometheus: docs/instrumenting/exposition_formats; names as its docs
 * (practices/naming) want them. */
#include "shared/metrics.h"

#include "shared/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- lines ----------------------------------------------------------------------------------- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP colmeia_%s %s\n# TYPE colmeia_%s %s\n", name, help, name, type);
}

/* A label's value: \ " and the end of a line are escaped. */
static void quote(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            buf_append_slice(out, SLICE("\\n"));
            continue;
        }
        if (*text == '\\' || *text == '"')
            buf_append_char(out, '\\');
        buf_append_char(out, *text);
    }
}

static void number(struct buf *out, const char *name, double value)
{
    buf_printf(out, "colmeia_%s %.15g\n", name, value);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *text,
                     double value)
{
    buf_printf(out, "colmeia_%s{%s=\"", name, label);
    quote(out, text);
    buf_printf(out, "\"} %.15g\n", value);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    number(out, name, value);
}

/* ---- counters -------------------------------------------------------------------------------- */

/* Those that are named otherwise than in counters.def: because of a unit, or of a label. */
static const struct {
    enum counter counter;
    const char *name, *label, *text, *help;
} renamed[] = {
    {COUNTER_bytes_in, "received_bytes", NULL, NULL, NULL},
    {COUNTER_bytes_out, "sent_bytes", NULL, NULL, NULL},
    {COUNTER_responses_1xx, "responses", "class", "1xx", "answers by class of their status"},
    {COUNTER_responses_2xx, "responses", "class", "2xx", NULL},
    {COUNTER_responses_3xx, "responses", "class", "3xx", NULL},
    {COUNTER_responses_4xx, "responses", "class", "4xx", NULL},
    {COUNTER_responses_5xx, "responses", "class", "5xx", NULL},
    {COUNTER_workers_left, "worker_exits", "reason", "left", "worker processes that ended"},
    {COUNTER_workers_died, "worker_exits", "reason", "died", NULL},
    {COUNTER_reloads_ok, "reloads", "result", "ok", "reloads by how they ended"},
    {COUNTER_reloads_failed, "reloads", "result", "failed", NULL},
};

static void render_counter(const struct scoreboard *s, enum counter c, struct buf *out)
{
    const char *name = counter_name(c), *help = counter_help(c), *label = NULL, *text = "";
    char full[64];
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (renamed[i].counter == c) {
            name = renamed[i].name;
            label = renamed[i].label;
            text = renamed[i].text;
            help = label ? renamed[i].help : help;
        }
    snprintf(full, sizeof full, "%s_total", name);
    if (help)
        head(out, full, "counter", help);
    if (label)
        labelled(out, full, label, text, (double)scoreboard_total(s, c));
    else
        number(out, full, (double)scoreboard_total(s, c));
}

/* ---- histograms ------------------------------------------------------------------------------ */

static void seconds(struct buf *out, double us)
{
    buf_printf(out, "%.15g", us / 1e6);
}

/* *labels* without braces, or "". */
static void render_histogram(const struct scoreboard *s, size_t series, const char *name,
                             const char *labels, struct buf *out)
{
    struct histogram_copy h;
    uint64_t below = 0;
    scoreboard_collect(s, series, &h);
    const char *comma = labels[0] ? "," : "";
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h.cells[i];
        buf_printf(out, "colmeia_%s_seconds_bucket{%s%sle=\"", name, labels, comma);
        if (i < HISTOGRAM_BOUNDS_LEN)
            seconds(out, (double)histogram_bounds_us[i]);
        else
            buf_append_slice(out, SLICE("+Inf"));
        buf_printf(out, "\"} %llu\n", (unsigned long long)below);
    }
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    buf_printf(out, "colmeia_%s_seconds_sum%s%s%s ", name, open, labels, close);
    seconds(out, (double)h.cells[HISTOGRAM_BUCKETS]);
    buf_printf(out, "\ncolmeia_%s_seconds_count%s%s%s %llu\n", name, open, labels, close,
               (unsigned long long)below);
}

static const struct {
    const char *name, *label, *help;
} timings[] = {
#define TIMED(name, metric, label, help) {metric, label, help},
#include "shared/histograms.def"
#undef TIMED
};

static void render_timings(const struct scoreboard *s, struct buf *out)
{
    for (size_t i = 0; i < sizeof timings / sizeof *timings; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s_seconds", timings[i].name);
        if (i == 0 || strcmp(timings[i].name, timings[i - 1].name) != 0)
            head(out, full, "histogram", timings[i].help);
        render_histogram(s, i, timings[i].name, timings[i].label, out);
    }
}

/* "GET /users/{user_id}" and the class as labels. */
static void write_labels(struct slice name, unsigned status_class, struct buf *labels)
{
    char route[SCOREBOARD_ROUTE_MAX];
    snprintf(route, sizeof route, "%.*s", SLICE_ARGS(name));
    size_t method_len = strcspn(route, " ");
    labels->len = 0;
    buf_printf(labels, "method=\"%.*s\",route=\"", route[method_len] ? (int)method_len : 0, route);
    quote(labels, route[method_len] ? route + method_len + 1 : route);
    buf_printf(labels, "\",class=\"%uxx\"", status_class);
    buf_append_char(labels, '\0');
}

static bool is_empty(const struct scoreboard *s, size_t series)
{
    struct histogram_copy h;
    scoreboard_collect(s, series, &h);
    return histogram_count(&h) == 0;
}

/* Of each route the answers it can be expected to give, and whatever else it has given. */
static void render_requests(const struct scoreboard *s, struct buf *out)
{
    struct buf labels = {0};
    head(out, "request_duration_seconds", "histogram",
         "requests by route and class of the answer, from their complete head to the answer");
    for (unsigned route = 0; route < SCOREBOARD_ROUTES_MAX; route++) {
        struct slice name = scoreboard_route_name(s, route);
        for (unsigned class = 2; class <= 5 && name.ptr; class ++) {
            size_t series = scoreboard_series(route, class);
            if (class != 2 && is_empty(s, series))
                continue;
            write_labels(name, class, &labels);
            if (labels.failed)
                out->failed = true;
            else
                render_histogram(s, series, "request_duration", labels.data, out);
        }
    }
    buf_free(&labels);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void render_server(const struct status_facts *f, struct buf *out)
{
    head(out, "build_info", "gauge", "the version that runs; always 1");
    labelled(out, "build_info", "version", f->version, 1);
    gauge(out, "start_time_seconds", "when the master started, in seconds since 1970",
          (double)f->started_at);
    head(out, "state", "gauge", "1 for the state that the server is in");
    for (enum status_state s = STATUS_STARTING; s <= STATUS_STOPPING; s++)
        labelled(out, "state", "state", status_state_name(s), s == f->state);
    gauge(out, "generation", "of the present configuration", f->generation);
    gauge(out, "config_loaded_time_seconds", "when it was loaded, in seconds since 1970",
          (double)f->config_loaded_at);
    gauge(out, "debug_mode", "1 while debug mode is on", f->debug);
    gauge(out, "last_reload_failed", "1 if the last reload went back, 0 else",
          f->last_reload.number && strcmp(f->last_reload.result, "ok") != 0);
}

static void render_workers(const struct status_facts *f, struct buf *out)
{
    unsigned by_state[SLOT_BACKOFF + 1] = {0};
    for (size_t i = 0; i < scoreboard_slots_used(f->scoreboard); i++)
        by_state[status_slot_state(&f->scoreboard->slots[i])]++;
    head(out, "workers", "gauge", "workers by state");
    for (enum slot_state s = SLOT_STARTING; s <= SLOT_BACKOFF; s++)
        labelled(out, "workers", "state", slot_state_name(s), by_state[s]);
    gauge(out, "workers_wanted", "workers that shall be ready", f->workers_target);
    gauge(out, "workers_configured", "workers that the configuration asks for",
          f->workers_configured);
}

static void render_listeners(const struct status_facts *f, struct buf *out)
{
    head(out, "listener_queue_length", "gauge", "connections not yet accepted (TCP only)");
    for (size_t i = 0; i < f->listeners_len; i++)
        if (f->listeners[i].queue >= 0)
            labelled(out, "listener_queue_length", "address", f->listeners[i].name,
                     f->listeners[i].queue);
    head(out, "listener_queue_limit", "gauge", "how many of them the kernel keeps");
    for (size_t i = 0; i < f->listeners_len; i++)
        if (f->listeners[i].limit >= 0)
            labelled(out, "listener_queue_limit", "address", f->listeners[i].name,
                     f->listeners[i].limit);
}

/* ---- workers one by one ---------------------------------------------------------------------- */

/* NAN: unknown. */
typedef double slot_value(const struct status_facts *f, const struct scoreboard_slot *slot);

static double age_of(const struct status_facts *f, int64_t at_ms)
{
    return at_ms <= 0 ? (double)NAN : at_ms < f->now.ms ? (double)(f->now.ms - at_ms) / 1000 : 0;
}

static double slot_connections(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->connections);
}

static double slot_busy(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->busy);
}

static double slot_lag(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->lag_us) / 1e6;
}

static double slot_beat(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return age_of(f, atomic_load(&slot->beat_ms));
}

static double slot_uptime(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return age_of(f, atomic_load(&slot->started_ms));
}

static double slot_generation(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->generation);
}

static double slot_memory(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    int64_t kib = f->memory ? status_memory_kib(atomic_load(&slot->pid)) : -1;
    return kib < 0 ? (double)NAN : (double)kib * 1024;
}

static double slot_hashes(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->hashes_queued);
}

static double slot_store(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return atomic_load(&slot->store_queued);
}

/* What a worker without an upstream does not have. */
static double of_upstream(const struct scoreboard_slot *slot, double value)
{
    return atomic_load(&slot->upstream_breaker) == BREAKER_NONE ? (double)NAN : value;
}

static double slot_breaker(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    uint32_t state = atomic_load(&slot->upstream_breaker);
    return of_upstream(slot, state == BREAKER_HALF_OPEN ? 0.5 : state == BREAKER_OPEN);
}

static double slot_calls(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return of_upstream(slot, atomic_load(&slot->upstream_busy));
}

static double slot_calls_waiting(const struct status_facts *f, const struct scoreboard_slot *slot)
{
    return of_upstream(slot, atomic_load(&slot->upstream_waiting));
}

static const struct {
    const char *name, *help;
    slot_value *value;
} slot_gauges[] = {
    {"worker_connections", "open connections", slot_connections},
    {"worker_busy", "connections with a request in flight", slot_busy},
    {"worker_loop_lag_seconds", "longest time that one turn held the loop of late", slot_lag},
    {"worker_beat_age_seconds", "since the loop's last sign of life", slot_beat},
    {"worker_uptime_seconds", "since the process was forked", slot_uptime},
    {"worker_generation", "of the configuration that it serves", slot_generation},
    {"worker_memory_bytes", "proportional set size", slot_memory},
    {"worker_hashes_queued", "password hashes asked for and not answered", slot_hashes},
    {"worker_store_queued", "calls of the database, the same", slot_store},
    {"worker_upstream_open", "the upstream's circuit: 0 closed, 0.5 half-open, 1 open", slot_breaker},
    {"worker_upstream_calls", "calls of the upstream under way", slot_calls},
    {"worker_upstream_waiting", "calls of the upstream that wait for their turn", slot_calls_waiting},
};

static void render_slots(const struct status_facts *f, struct buf *out)
{
    for (size_t g = 0; g < sizeof slot_gauges / sizeof *slot_gauges; g++) {
        head(out, slot_gauges[g].name, "gauge", slot_gauges[g].help);
        for (size_t i = 0; i < scoreboard_slots_used(f->scoreboard); i++) {
            const struct scoreboard_slot *slot = &f->scoreboard->slots[i];
            enum slot_state state = status_slot_state(slot);
            char number_text[24];
            snprintf(number_text, sizeof number_text, "%zu", i);
            if (state == SLOT_EMPTY || state == SLOT_BACKOFF || atomic_load(&slot->pid) <= 0)
                continue;
            double value = slot_gauges[g].value(f, slot);
            if (!isnan(value))
                labelled(out, slot_gauges[g].name, "slot", number_text, value);
        }
    }
}

void metrics_render(const struct status_facts *facts, struct buf *out)
{
    render_server(facts, out);
    render_workers(facts, out);
    render_listeners(facts, out);
    render_slots(facts, out);
    for (enum counter c = 0; c < COUNTERS; c++)
        render_counter(facts->scoreboard, c, out);
    render_requests(facts->scoreboard, out);
    render_timings(facts->scoreboard, out);
}
