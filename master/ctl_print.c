/* ctl_print.c: see ctl_print.h. What is missing in an answer (a server of another version) is shown
 * as "-", never an error. */
#include "master/ctl_print.h"

#include "master/ctl_json.h"
#include "master/ctl_say.h"
#include "master/ctl_table.h"
#include "shared/check.h"
#include "shared/door.h"
#include "shared/json_memory.h"

#include <time.h>

/* ---- cells ----------------------------------------------------------------------------------- */

static void add_number(struct table *t, const json_t *object, const char *key)
{
    char text[SAY_MAX];
    say_number(number_of(object, key, -1), text);
    table_add(t, "%s", text);
}

static void add_ms(struct table *t, const json_t *object, const char *key)
{
    char text[SAY_MAX];
    say_ms(number_of(object, key, -1), text);
    table_add(t, "%s", text);
}

static void add_us(struct table *t, const json_t *object, const char *key)
{
    char text[SAY_MAX];
    say_us(number_of(object, key, -1), text);
    table_add(t, "%s", text);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void print_workers(const json_t *status, struct buf *out)
{
    const json_t *w = json_object_get(status, "workers"), *by = json_object_get(w, "by_state");
    buf_printf(out, "workers      %lld of %lld ready", number_of(by, "ready", 0),
               number_of(w, "target", 0));
    const char *state;
    json_t *n;
    json_object_foreach((json_t *)by, state, n)
    {
        if (strcmp(state, "ready") != 0 && json_integer_value(n) > 0)
            buf_printf(out, ", %lld %s", (long long)json_integer_value(n), state);
    }
    if (number_of(w, "override", -1) >= 0)
        buf_printf(out, " (configured %lld; changed by scale)", number_of(w, "configured", 0));
    buf_append_char(out, '\n');
}

static void print_config(const json_t *status, struct buf *out)
{
    const json_t *c = json_object_get(status, "config");
    time_t at = (time_t)number_of(c, "loaded_at", -1);
    const char *path = json_string_value(json_object_get(c, "path"));
    struct tm tm;
    char when[SAY_MAX] = "-";
    if (at >= 0 && gmtime_r(&at, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "config       %s, loaded %s, hash %s\n", path ? path : "(no file)", when,
               text_of(c, "hash"));
}

static void print_listeners(const json_t *status, struct buf *out)
{
    size_t i;
    const json_t *l;
    json_array_foreach(json_object_get(status, "listeners"), i, l)
    {
        long long queue = number_of(l, "queue", -1), limit = number_of(l, "limit", -1);
        long long asked = number_of(l, "limit_asked", -1);
        buf_printf(out, "listener     %s", text_of(l, "address"));
        door_say_words((json_is_true(json_object_get(l, "proxy")) ? DOOR_PROXY : 0u) |
                           (json_is_true(json_object_get(l, "tls")) ? DOOR_TLS : 0u),
                       out);
        buf_printf(out, " (%s)", text_of(l, "source"));
        if (queue >= 0)
            buf_printf(out, ", queue %lld of %lld", queue, limit);
        if (limit >= 0 && asked > limit)
            buf_printf(out, " (%lld asked)", asked);
        buf_append_char(out, '\n');
    }
}

static void print_past(const json_t *status, struct buf *out)
{
    const json_t *reload = json_object_get(status, "last_reload");
    const char *death = json_string_value(json_object_get(status, "last_death"));
    char age[SAY_MAX];
    if (json_is_object(reload)) {
        say_ms(number_of(reload, "age_ms", -1), age);
        buf_printf(out, "last reload  %s, %s ago: %s\n", text_of(reload, "result"), age,
                   text_of(reload, "text"));
    }
    if (death)
        buf_printf(out, "last death   %s\n", death);
}

static bool have_member(const json_t *array, const char *key)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        if (json_object_get(item, key))
            return true;
    }
    return false;
}

static void print_slots(const json_t *slots, struct buf *out)
{
    static const char *const heads[] = {">SLOT", ">PID",   ">GEN",  "STATE",     ">UP",   ">BEAT",
                                        ">LAG",  ">SLOW",  ">CONNS", ">BUSY", ">REQUESTS", ">NEXT", ">KIB"};
    enum { HEADS = sizeof heads / sizeof heads[0] };
    bool memory = have_member(slots, "memory_kib");
    struct table t;
    size_t i;
    const json_t *s;
    table_init(&t, heads, memory ? HEADS : HEADS - 1);
    json_array_foreach(slots, i, s)
    {
        add_number(&t, s, "slot");
        add_number(&t, s, "pid");
        add_number(&t, s, "generation");
        table_add(&t, "%s", text_of(s, "state"));
        add_ms(&t, s, "uptime_ms");
        add_ms(&t, s, "beat_age_ms");
        add_us(&t, s, "lag_us");
        add_number(&t, s, "slow_callbacks");
        add_number(&t, s, "connections");
        add_number(&t, s, "busy");
        add_number(&t, s, "requests");
        add_ms(&t, s, "retry_ms");
        if (memory)
            add_number(&t, s, "memory_kib");
    }
    table_write(&t, out);
    table_free(&t);
}

/* How many turns of all loops took at least so long: of the bounds, the highest that was reached. */
static void print_long_turns(const json_t *slots, struct buf *out)
{
    static const long long bounds_ms[] = {512, 64, 8};
    for (size_t b = 0; b < sizeof bounds_ms / sizeof *bounds_ms; b++) {
        long long count = 0;
        size_t i, j;
        const json_t *slot, *turn;
        json_array_foreach(slots, i, slot)
        {
            json_array_foreach(json_object_get(slot, "turns"), j, turn)
            {
                long long below = number_of(turn, "below_ms", -1);
                if (below < 0 || below > bounds_ms[b])
                    count += number_of(turn, "count", 0);
            }
        }
        if (count == 0)
            continue;
        buf_printf(out, ", held for %lld ms or more %lld times", bounds_ms[b], count);
        return;
    }
}

static void print_loops(const json_t *status, struct buf *out)
{
    const json_t *totals = json_object_get(status, "totals");
    if (number_of(totals, "slow_callbacks", -1) < 0)
        return; /* a server of another version */
    buf_printf(out, "loops        %lld slow callbacks, %lld slow polls",
               number_of(totals, "slow_callbacks", 0), number_of(totals, "slow_polls", 0));
    print_long_turns(json_object_get(status, "slots"), out);
    buf_printf(out, "%s\n", json_is_true(json_object_get(status, "debug")) ? "; debug mode is on" : "");
}

/* Nothing when no worker has an upstream. */
static void print_upstream(const json_t *status, struct buf *out)
{
    const json_t *totals = json_object_get(status, "totals"), *slot;
    long long busy = 0, waiting = 0, workers = 0, closed = 0;
    size_t i;
    json_array_foreach(json_object_get(status, "slots"), i, slot)
    {
        const json_t *u = json_object_get(slot, "upstream");
        if (!json_is_object(u))
            continue;
        workers++;
        closed += strcmp(text_of(u, "breaker"), "closed") == 0;
        busy += number_of(u, "busy", 0);
        waiting += number_of(u, "waiting", 0);
    }
    if (workers == 0)
        return;
    buf_printf(out, "upstream     circuit ");
    if (closed == workers)
        buf_printf(out, "closed");
    else
        buf_printf(out, "broken in %lld of %lld workers", workers - closed, workers);
    buf_printf(out, ", %lld calls under way, %lld waiting; %lld calls (%lld again), %lld failed\n", busy,
               waiting, number_of(totals, "upstream_calls", 0),
               number_of(totals, "upstream_retries", 0), number_of(totals, "upstream_failures", 0));
}

static void print_status(const json_t *answer, struct buf *out)
{
    const json_t *s = json_object_get(answer, "status"), *totals = json_object_get(s, "totals");
    char up[SAY_MAX];
    say_ms(number_of(s, "uptime_ms", -1), up);
    buf_printf(out, "colmeia %s: %s, pid %lld, up %s, generation %lld\n", text_of(s, "version"),
               text_of(s, "state"), number_of(s, "pid", 0), up, number_of(s, "generation", 0));
    print_workers(s, out);
    print_config(s, out);
    print_listeners(s, out);
    print_past(s, out);
    buf_printf(out, "requests     %lld (%lld of them 5xx)\n", number_of(totals, "requests", 0),
               number_of(totals, "responses_5xx", 0));
    buf_printf(out, "connections  %lld, %lld busy\n", number_of(s, "connections", 0),
               number_of(s, "busy", 0));
    print_loops(s, out);
    print_upstream(s, out);
    buf_append_char(out, '\n');
    print_slots(json_object_get(s, "slots"), out);
}

/* ---- the others ------------------------------------------------------------------------------ */

static void print_lines(const json_t *array, const char *indent, struct buf *out)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        buf_printf(out, "%s%s\n", indent,
                   json_is_string(item) ? json_string_value(item) : "(no text)");
    }
}

static void print_event(const json_t *event, struct buf *out)
{
    const char *text = json_string_value(json_object_get(event, "text"));
    const char *time = json_string_value(json_object_get(event, "time"));
    if (text) {
        buf_printf(out, "%s%s%s\n", time ? time : "", time ? "  " : "", text);
        return;
    }
    char *raw = json_dumps(event, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_printf(out, "%s\n", raw ? raw : "-");
    free(raw);
}

static void print_events(const json_t *answer, struct buf *out)
{
    size_t i;
    const json_t *event;
    json_array_foreach(json_object_get(answer, "events"), i, event)
    {
        print_event(event, out);
    }
}

static void print_recent(const json_t *recent, struct buf *out)
{
    static const char *const heads[] = {">AGO", "REQUEST", ">STATUS", ">TOOK", "ID"};
    struct table t;
    size_t i;
    const json_t *r;
    table_init(&t, heads, sizeof heads / sizeof heads[0]);
    json_array_foreach(recent, i, r)
    {
        long long status = number_of(r, "status", 0);
        add_ms(&t, r, "age_ms");
        table_add(&t, "%s", text_of(r, "route"));
        if (status > 0)
            table_add(&t, "%lld", status);
        else
            table_add(&t, "-"); /* the client had left */
        add_us(&t, r, "duration_us");
        table_add(&t, "%s", text_of(r, "id"));
    }
    table_write(&t, out);
    table_free(&t);
}

static void print_flights(const json_t *flights, struct buf *out)
{
    static const char *const heads[] = {">BEGAN", "REQUEST", "ID"};
    struct table t;
    size_t i;
    const json_t *f;
    table_init(&t, heads, sizeof heads / sizeof heads[0]);
    json_array_foreach(flights, i, f)
    {
        add_ms(&t, f, "age_ms");
        table_add(&t, "%s", text_of(f, "route"));
        table_add(&t, "%s", text_of(f, "id"));
    }
    table_write(&t, out);
    table_free(&t);
}

static void print_why(const json_t *answer, struct buf *out)
{
    const char *words = json_string_value(json_object_get(answer, "words"));
    const json_t *stack = json_object_get(answer, "stack");
    const json_t *recent = json_object_get(answer, "recent");
    const json_t *flights = json_object_get(answer, "in_flight");
    buf_printf(out, "%s\n", text_of(answer, "text"));
    if (words && words[0])
        buf_printf(out, "\nLast words:\n%s%s", words, words[strlen(words) - 1] == '\n' ? "" : "\n");
    if (json_array_size(stack) > 0) {
        buf_printf(out, "\nStack:\n");
        print_lines(stack, "  ", out);
    }
    if (json_array_size(flights) > 0) {
        buf_printf(out, "\nIn flight, never answered:\n");
        print_flights(flights, out);
    }
    if (json_array_size(recent) > 0) {
        buf_printf(out, "\nLast requests:\n");
        print_recent(recent, out);
    }
}

static void print_changes(const json_t *changes, struct buf *out)
{
    if (json_array_size(changes) == 0)
        buf_printf(out, "nothing would change\n");
    print_lines(changes, "", out);
}

static void print_good(const struct ctl *ctl, const json_t *answer, struct buf *out)
{
    switch (ctl->call.command) {
    case CONTROL_STATUS:
    case CONTROL_TOP:
        print_status(answer, out);
        return;
    case CONTROL_METRICS:
        buf_printf(out, "%s", text_of(answer, "metrics"));
        return;
    case CONTROL_EVENTS:
        print_events(answer, out);
        return;
    case CONTROL_SCALE:
        buf_printf(out, "workers: %lld\n", number_of(answer, "workers", 0));
        return;
    case CONTROL_WHY:
        print_why(answer, out);
        return;
    case CONTROL_RELOAD:
    case CONTROL_UPGRADE:
        if (ctl->call.dry_run) {
            print_changes(json_object_get(answer, "changes"), out);
            return;
        }
        break;
    case CONTROL_RECYCLE:
    case CONTROL_DUMP:
    case CONTROL_LOG:
    case CONTROL_DEBUG:
    case CONTROL_RETRY:
    case CONTROL_THROTTLE:
    case CONTROL_WAIT:
    case CONTROL_STOP:
        break;
    case CONTROL_COMMANDS:
        UNREACHABLE();
    }
    buf_printf(out, "%s\n", json_object_get(answer, "text") ? text_of(answer, "text") : "done");
}

/* ---- public ---------------------------------------------------------------------------------- */

static void print_raw(struct slice line, struct buf *out)
{
    buf_append_slice(out, line);
    buf_append_char(out, '\n');
}

static json_t *read_json(struct slice line, struct buf *error)
{
    bool was_short;
    json_t *json = json_memory_load(line, &was_short);
    if (was_short) {
        buf_printf(error, "colmeia: out of memory\n");
        return NULL;
    }
    if (!json_is_object(json)) {
        buf_printf(error, "colmeia: the answer is no JSON object: %.*s\n",
                   line.len < 200 ? (int)line.len : 200, line.ptr);
        json_decref(json);
        return NULL;
    }
    return json;
}

enum ctl_code ctl_print_answer(const struct ctl *ctl, struct slice line, struct buf *out,
                               struct buf *error)
{
    size_t out_from = out->len, error_from = error->len;
    json_t *answer = read_json(line, error);
    bool good = json_is_true(json_object_get(answer, "ok"));
    if (ctl->json)
        print_raw(line, out);
    else if (good)
        print_good(ctl, answer, out);
    if (answer && !good) {
        buf_printf(error, "colmeia: %s\n", text_of(answer, "error"));
        print_lines(json_object_get(answer, "log"), "  ", error);
    }
    json_decref(answer);
    if (!ctl->json)
        say_disarmed(out, out_from);
    say_disarmed(error, error_from);
    return good ? CTL_DONE : CTL_FAILED;
}

enum ctl_code ctl_print_event(const struct ctl *ctl, struct slice line, struct buf *out,
                              struct buf *error)
{
    size_t out_from = out->len, error_from = error->len;
    json_t *event = read_json(line, error);
    bool good = event != NULL;
    if (ctl->json)
        print_raw(line, out);
    else if (good)
        print_event(event, out);
    json_decref(event);
    if (!ctl->json)
        say_disarmed(out, out_from);
    say_disarmed(error, error_from);
    return good ? CTL_DONE : CTL_FAILED;
}
