/* top_facts.c: see top_facts.h. */
#include "master/top_facts.h"

#include "master/ctl_json.h"
#include "master/ctl_say.h"
#include "shared/histogram.h"
#include "shared/json_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 4096 };
static const long long LARGEST = INT64_MAX / 100000; /* what comes from outside is reckoned with */

/* ---- members --------------------------------------------------------------------------------- */

/* -1 when it is no number, or none that makes sense. */
static long long count_of(const json_t *object, const char *key)
{
    long long n = number_of(object, key, -1);
    return n < 0 || n > LARGEST ? -1 : n;
}

/* Cut to fit, at a character's end. */
static void copy(char *out, size_t room, const char *text)
{
    size_t len = strnlen(text, room - 1);
    while (len > 0 && text[len] != '\0' && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    memcpy(out, text, len);
    out[len] = '\0';
}

static const char *text_or_nothing(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Microseconds of a member in milliseconds. */
static long long us_of(const json_t *object, const char *key)
{
    long long ms = count_of(object, key);
    return ms < 0 ? -1 : ms * 1000;
}

/* ---- differences ----------------------------------------------------------------------------- */

/* The same worker's row in the answer before; NULL: it is new. */
static const json_t *row_before(const struct top_past *past, const json_t *row)
{
    size_t i;
    const json_t *other;
    long long pid = number_of(row, "pid", -1);
    json_array_foreach(json_object_get(past->status, "slots"), i, other)
    {
        if (pid > 0 && number_of(other, "pid", -1) == pid)
            return other;
    }
    return NULL;
}

/* How much it grew since the answer before, or since the start. */
static long long growth(const json_t *now, const json_t *before, const char *key)
{
    long long n = count_of(now, key), old = before ? count_of(before, key) : 0;
    return n < 0 || old < 0 || n < old ? -1 : n - old;
}

static long long per(long long amount, long long scale, long long ms)
{
    return amount < 0 || ms <= 0 || amount > LARGEST / scale ? -1 : amount * scale / ms;
}

/* False when the server times in other buckets than we know. */
static bool read_latency(const json_t *status, const json_t *row, struct histogram_copy *h_r)
{
    const json_t *bounds = json_object_get(status, "duration_bounds_us");
    const json_t *counts = json_object_get(json_object_get(row, "durations"), "counts");
    *h_r = (struct histogram_copy){0};
    if (json_array_size(bounds) != HISTOGRAM_BOUNDS_LEN || json_array_size(counts) != HISTOGRAM_BUCKETS)
        return false;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS_LEN; i++)
        if (json_integer_value(json_array_get(bounds, i)) != histogram_bounds_us[i])
            return false;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        json_int_t n = json_integer_value(json_array_get(counts, i));
        h_r->cells[i] = n > 0 && n < LARGEST ? (uint64_t)n : 0;
    }
    return true;
}

static void take_latency(struct top_row *r, const json_t *status, const json_t *row,
                         const struct top_past *past, const json_t *before)
{
    struct histogram_copy now, old;
    r->p50_us = r->p99_us = -1;
    if (!read_latency(status, row, &now))
        return;
    if (before && read_latency(past->status, before, &old))
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
            now.cells[i] = now.cells[i] > old.cells[i] ? now.cells[i] - old.cells[i] : 0;
    r->p50_us = histogram_quantile_us(&now, 500);
    r->p99_us = histogram_quantile_us(&now, 990);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void take_row(struct top_row *r, const json_t *status, const json_t *row,
                     const struct top_past *past, mono_ms now)
{
    const json_t *before = row_before(past, row);
    long long uptime_ms = count_of(row, "uptime_ms");
    long long ms = before ? mono_diff_ms(now, past->at) : uptime_ms;
    *r = (struct top_row){
        .slot = count_of(row, "slot"),
        .pid = count_of(row, "pid"),
        .generation = count_of(row, "generation"),
        .uptime_us = us_of(row, "uptime_ms"),
        .rate_tenths = per(growth(row, before, "requests"), 10000, ms),
        .lag_us = count_of(row, "lag_us"),
        .connections = count_of(row, "connections"),
        .busy = count_of(row, "busy"),
        .hashes = count_of(row, "hashes_queued"),
        .calls = count_of(row, "store_queued"),
        .cpu_permille = per(growth(row, before, "cpu_ms"), 1000, ms),
        .memory_kib = count_of(row, "memory_kib"),
        .retry_us = us_of(row, "retry_ms"),
    };
    copy(r->state, sizeof r->state, text_of(row, "state"));
    take_latency(r, status, row, past, before);
}

static bool take_rows(struct top_facts *f, const json_t *status, const struct top_past *past,
                      mono_ms now)
{
    const json_t *slots = json_object_get(status, "slots"), *row;
    size_t i, len = json_array_size(slots);
    len = len < ROWS_MAX ? len : ROWS_MAX;
    struct top_row *rows = calloc(len ? len : 1, sizeof *rows);
    if (!rows)
        return false;
    free(f->rows);
    f->rows = rows;
    f->rows_len = len;
    f->hashes = f->calls = 0;
    json_array_foreach(slots, i, row)
    {
        if (i == len)
            break;
        take_row(&rows[i], status, row, past, now);
        f->hashes += rows[i].hashes > 0 ? rows[i].hashes % INT32_MAX : 0;
        f->calls += rows[i].calls > 0 ? rows[i].calls % INT32_MAX : 0;
    }
    return true;
}

static void take_workers(struct top_facts *f, const json_t *status)
{
    const json_t *w = json_object_get(status, "workers"), *by = json_object_get(w, "by_state");
    struct buf others = {0};
    const char *state;
    json_t *n;
    f->ready = count_of(by, "ready");
    f->target = count_of(w, "target");
    f->configured = count_of(w, "configured");
    f->override = count_of(w, "override");
    json_object_foreach((json_t *)by, state, n)
    {
        if (strcmp(state, "ready") != 0 && json_integer_value(n) > 0)
            buf_printf(&others, ", %lld %s", (long long)json_integer_value(n), state);
    }
    buf_append_char(&others, '\0');
    copy(f->others, sizeof f->others, others.failed ? "" : others.data);
    buf_free(&others);
}

static void take_queue(struct top_facts *f, const json_t *status)
{
    size_t i;
    const json_t *l;
    f->queue = f->queue_limit = -1;
    json_array_foreach(json_object_get(status, "listeners"), i, l)
    {
        long long queue = count_of(l, "queue"), limit = count_of(l, "limit");
        if (queue < 0 || limit < 0)
            continue;
        f->queue = (f->queue < 0 ? 0 : f->queue) + queue % INT32_MAX;
        f->queue_limit = (f->queue_limit < 0 ? 0 : f->queue_limit) + limit % INT32_MAX;
    }
}

static void take_load(struct top_facts *f, const json_t *status, const struct top_past *past,
                      mono_ms now)
{
    const json_t *totals = json_object_get(status, "totals");
    const json_t *before = json_object_get(past->status, "totals");
    long long ms = before ? mono_diff_ms(now, past->at) : f->uptime_ms;
    f->rate_tenths = per(growth(totals, before, "requests"), 10000, ms);
    f->errors_tenths = per(growth(totals, before, "responses_5xx"), 10000, ms);
    f->connections = count_of(status, "connections");
    f->busy = count_of(status, "busy");
}

static void take_transition(struct top_facts *f, const json_t *status)
{
    const json_t *t = json_object_get(status, "transition");
    const char *kind = text_of(t, "kind");
    char age[SAY_MAX], what[SAY_MAX];
    f->transition[0] = '\0';
    if (!json_is_object(t))
        return;
    say_ms(count_of(t, "age_ms"), age);
    if (strcmp(kind, "reload") == 0)
        snprintf(what, sizeof what, "reload %lld", count_of(t, "number"));
    else
        snprintf(what, sizeof what, "%.20s", strcmp(kind, "hung") == 0 ? "a hung worker" : kind);
    snprintf(f->transition, sizeof f->transition,
             "%s: %.20s, %lld of %lld new ready, %lld leaving, for %s", what, text_of(t, "step"),
             count_of(t, "ready"), count_of(t, "needed"), count_of(t, "leaving"), age);
}

static void take_past_events(struct top_facts *f, const json_t *status)
{
    const json_t *reload = json_object_get(status, "last_reload");
    char age[SAY_MAX];
    say_ms(count_of(reload, "age_ms"), age);
    f->last_reload_ok = strcmp(text_or_nothing(reload, "result"), "ok") == 0;
    f->last_reload[0] = '\0';
    if (json_is_object(reload))
        snprintf(f->last_reload, sizeof f->last_reload, "%.20s, %s ago: %.180s",
                 text_of(reload, "result"), age, text_of(reload, "text"));
    copy(f->last_death, sizeof f->last_death, text_or_nothing(status, "last_death"));
}

/* ---- public ---------------------------------------------------------------------------------- */

static bool take(struct top_facts *f, struct top_past *past, json_t *status, mono_ms now)
{
    if (!take_rows(f, status, past, now))
        return false;
    copy(f->version, sizeof f->version, text_of(status, "version"));
    copy(f->state, sizeof f->state, text_of(status, "state"));
    f->pid = count_of(status, "pid");
    f->uptime_ms = count_of(status, "uptime_ms");
    f->generation = count_of(status, "generation");
    take_workers(f, status);
    take_load(f, status, past, now);
    take_queue(f, status);
    take_transition(f, status);
    take_past_events(f, status);
    json_decref(past->status);
    past->status = json_incref(status);
    past->at = now;
    return true;
}

bool top_facts_take(struct top_facts *f, struct top_past *past, struct slice answer, mono_ms now,
                    struct buf *error)
{
    bool was_short;
    json_t *json = json_memory_load(answer, &was_short);
    json_t *status = json_object_get(json, "status");
    bool good = json_is_true(json_object_get(json, "ok")) && json_is_object(status);
    if (was_short)
        buf_printf(error, "out of memory");
    else if (!json_is_object(json))
        buf_printf(error, "the answer is no JSON object");
    else if (!good)
        buf_printf(error, "%.200s", text_of(json, "error"));
    if (good && !(good = take(f, past, status, now)))
        buf_printf(error, "out of memory");
    json_decref(json);
    return good;
}

void top_facts_free(struct top_facts *f)
{
    free(f->rows);
    f->rows = NULL;
    f->rows_len = 0;
}

void top_past_free(struct top_past *past)
{
    json_decref(past->status);
    past->status = NULL;
}
