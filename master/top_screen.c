/* top_screen.c: see top_screen.h. */
#include "master/top_screen.h"

#include "master/ctl_say.h"

#include <stdio.h>
#include <string.h>

enum {
    FULL_ROWS = 16, /* below that, only what matters most is above the table */
    CELL_MAX = 48
};

/* ---- lines ----------------------------------------------------------------------------------- */

/* Ends the line that was begun at *from*, cut to the width. */
static void end_line(struct top_screen *s, const struct top_view *view, size_t from,
                     enum top_style style)
{
    size_t columns = 0, at = from;
    say_disarmed(&s->text, from); /* before it is cut: a control character may become two columns */
    while (!s->text.failed && at < s->text.len) {
        bool begins = ((unsigned char)s->text.data[at] & 0xc0) != 0x80;
        if (s->text.data[at] == '\n') /* of a text that came from elsewhere */
            s->text.data[at] = '?';
        if (begins && columns == view->columns)
            break;
        columns += begins;
        at++;
    }
    s->text.len = at;
    while (!s->text.failed && s->text.len > from && s->text.data[s->text.len - 1] == ' ')
        s->text.len--;
    buf_append_char(&s->text, '\n');
    s->styles[s->len++] = (unsigned char)style;
}

static bool is_full(const struct top_screen *s, const struct top_view *view)
{
    return s->len == TOP_ROWS_MAX || (view->rows > 0 && s->len >= view->rows);
}

__attribute__((format(printf, 4, 5))) static void add_line(struct top_screen *s,
                                                           const struct top_view *view,
                                                           enum top_style style, const char *format,
                                                           ...)
{
    size_t from = s->text.len;
    va_list ap;
    if (is_full(s, view))
        return;
    va_start(ap, format);
    buf_vprintf(&s->text, format, ap);
    va_end(ap);
    end_line(s, view, from, style);
}

/* ---- above the table ------------------------------------------------------------------------- */

static enum top_style style_of_server(const struct top_facts *f)
{
    if (f->gone[0])
        return TOP_FAINT;
    if (strcmp(f->state, "ready") == 0)
        return TOP_TITLE;
    return strcmp(f->state, "degraded") == 0 ? TOP_BAD : TOP_WARN;
}

/* The time at the right end, if there is room. */
static void add_title(const struct top_facts *f, const struct top_view *view, struct top_screen *s)
{
    char up[SAY_MAX];
    size_t from = s->text.len, time_len = strlen(f->time);
    if (is_full(s, view))
        return;
    say_ms(f->uptime_ms, up);
    buf_printf(&s->text, "colmeia %s: %s, pid %lld, up %s, generation %lld", f->version, f->state,
               f->pid, up, f->generation);
    size_t len = s->text.len - from;
    if (view->columns < TOP_COLUMNS_ALL && len + 2 + time_len <= view->columns)
        buf_printf(&s->text, "%*s", (int)(view->columns - len), f->time);
    else if (view->columns >= TOP_COLUMNS_ALL)
        buf_printf(&s->text, "  %s", f->time);
    end_line(s, view, from, style_of_server(f));
}

static void add_workers(const struct top_facts *f, const struct top_view *view,
                        struct top_screen *s)
{
    enum top_style style = f->ready < f->target ? TOP_WARN : TOP_PLAIN;
    if (f->override > 0)
        add_line(s, view, style, "workers  %lld of %lld ready%s (configured %lld)", f->ready,
                 f->target, f->others, f->configured);
    else
        add_line(s, view, style, "workers  %lld of %lld ready%s", f->ready, f->target, f->others);
}

static void add_load(const struct top_facts *f, const struct top_view *view, struct top_screen *s)
{
    char rate[SAY_MAX], errors[SAY_MAX], connections[SAY_MAX], busy[SAY_MAX];
    say_short_rate(f->rate_tenths, rate);
    say_short_rate(f->errors_tenths, errors);
    say_number(f->connections, connections);
    say_number(f->busy, busy);
    add_line(s, view, f->errors_tenths > 0 ? TOP_WARN : TOP_PLAIN,
             "load     %s requests/s (%s 5xx), %s connections, %s busy", rate, errors,
             connections, busy);
}

static void add_queues(const struct top_facts *f, const struct top_view *view, struct top_screen *s)
{
    char queue[SAY_MAX], limit[SAY_MAX];
    bool long_one = f->queue > 0 && f->queue * 2 >= f->queue_limit;
    say_number(f->queue, queue);
    say_number(f->queue_limit, limit);
    add_line(s, view, long_one ? TOP_BAD : TOP_PLAIN,
             "queues   %s of %s to be accepted, %lld hashes, %lld calls of the database", queue,
             limit, f->hashes, f->calls);
}

static void add_past(const struct top_facts *f, const struct top_view *view, struct top_screen *s)
{
    if (f->transition[0])
        add_line(s, view, TOP_WARN, "now      %s", f->transition);
    else
        add_line(s, view, f->last_reload[0] && !f->last_reload_ok ? TOP_WARN : TOP_PLAIN,
                 "reload   %s", f->last_reload[0] ? f->last_reload : "none yet");
}

static void add_head(const struct top_facts *f, const struct top_view *view, struct top_screen *s)
{
    bool full = view->rows == 0 || view->rows >= FULL_ROWS;
    if (f->version[0])
        add_title(f, view, s);
    if (f->gone[0])
        add_line(s, view, TOP_BAD, "GONE     %s", f->gone);
    if (!f->version[0])
        return;
    add_workers(f, view, s);
    add_load(f, view, s);
    if (full)
        add_queues(f, view, s);
    if (full || f->transition[0])
        add_past(f, view, s);
    if (full) {
        add_line(s, view, TOP_PLAIN, "death    %s", f->last_death[0] ? f->last_death : "none yet");
        add_line(s, view, TOP_PLAIN, " ");
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef void write_cell(const struct top_row *r, char out[static SAY_MAX]);

#define NUMBER_CELL(member)                                                                        \
    static void write_##member(const struct top_row *r, char out[static SAY_MAX])                  \
    {                                                                                              \
        say_number(r->member, out);                                                                \
    }
#define TIME_CELL(member)                                                                          \
    static void write_##member(const struct top_row *r, char out[static SAY_MAX])                  \
    {                                                                                              \
        say_short_us(r->member, out);                                                              \
    }
NUMBER_CELL(slot)
NUMBER_CELL(pid)
NUMBER_CELL(generation)
NUMBER_CELL(connections)
NUMBER_CELL(busy)
NUMBER_CELL(hashes)
NUMBER_CELL(calls)
TIME_CELL(uptime_us)
TIME_CELL(p50_us)
TIME_CELL(p99_us)
TIME_CELL(lag_us)
TIME_CELL(retry_us)

static void write_state(const struct top_row *r, char out[static SAY_MAX])
{
    snprintf(out, SAY_MAX, "%s", r->state);
}

static void write_rate(const struct top_row *r, char out[static SAY_MAX])
{
    say_short_rate(r->rate_tenths, out);
}

static void write_cpu(const struct top_row *r, char out[static SAY_MAX])
{
    if (r->cpu_permille < 0)
        say_number(-1, out);
    else
        snprintf(out, SAY_MAX, "%lld%%", (r->cpu_permille + 5) / 10);
}

static void write_memory(const struct top_row *r, char out[static SAY_MAX])
{
    say_short_kib(r->memory_kib, out);
}

/* In order; rank: a narrow terminal shows those up to some rank. Widths fit 80 columns up to 12. */
static const struct column {
    const char *head;
    int width; /* below 0: left-aligned */
    int rank;
    write_cell *write;
} columns[] = {
    {"SLOT", 4, 1, write_slot},
    {"PID", 7, 3, write_pid},
    {"GEN", 3, 11, write_generation},
    {"STATE", -8, 1, write_state},
    {"UP", 6, 10, write_uptime_us},
    {"REQ/S", 7, 2, write_rate},
    {"P50", 6, 5, write_p50_us},
    {"P99", 6, 4, write_p99_us},
    {"LAG", 6, 6, write_lag_us},
    {"CONNS", 5, 8, write_connections},
    {"BUSY", 4, 13, write_busy},
    {"CPU", 4, 7, write_cpu},
    {"MEM", 5, 9, write_memory},
    {"HASHES", 6, 14, write_hashes},
    {"CALLS", 5, 15, write_calls},
    {"RETRY", 6, 16, write_retry_us},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static unsigned width_of(const struct column *c)
{
    return (unsigned)(c->width < 0 ? -c->width : c->width);
}

/* The highest rank up to which all columns fit beside each other. */
static int rank_that_fits(unsigned width)
{
    int rank = 0;
    for (unsigned used = 0;; rank++) {
        for (size_t i = 0; i < COLUMNS; i++)
            used += columns[i].rank == rank + 1 ? width_of(&columns[i]) + 1 : 0;
        if (used > width + 1 || rank == COLUMNS)
            return rank;
    }
}

/* A row, or (NULL) the heads. */
static void add_row(const struct top_row *r, int rank, const struct top_view *view,
                    struct top_screen *s, enum top_style style)
{
    size_t from = s->text.len;
    if (is_full(s, view))
        return;
    for (size_t i = 0; i < COLUMNS; i++) {
        char cell[SAY_MAX];
        if (columns[i].rank > rank)
            continue;
        if (r)
            columns[i].write(r, cell);
        buf_printf(&s->text, "%s%*s", s->text.len > from ? " " : "", columns[i].width,
                   r ? cell : columns[i].head);
    }
    end_line(s, view, from, style);
}

static enum top_style style_of_row(const struct top_row *r)
{
    if (strcmp(r->state, "ready") == 0)
        return TOP_PLAIN;
    bool bad = strcmp(r->state, "killed") == 0 || strcmp(r->state, "backoff") == 0;
    return bad ? TOP_BAD : TOP_WARN;
}

static void add_footer(const struct top_facts *f, const struct top_view *view, struct top_screen *s,
                       size_t shown)
{
    while (s->len + 1 < view->rows)
        add_line(s, view, TOP_PLAIN, " ");
    if (shown < f->rows_len)
        add_line(s, view, TOP_FAINT, "q quits, j and k scroll: %zu to %zu of %zu", view->first + 1,
                 view->first + shown, f->rows_len);
    else
        add_line(s, view, TOP_FAINT, "q quits");
}

static void add_table(const struct top_facts *f, struct top_view *view, struct top_screen *s)
{
    int rank = rank_that_fits(view->columns);
    add_row(NULL, rank, view, s, TOP_HEAD);
    size_t room = f->rows_len;
    if (view->rows > 0 && view->rows < s->len + 1 + room)
        room = view->rows > s->len + 1 ? view->rows - s->len - 1 : 0;
    if (view->first > f->rows_len - room)
        view->first = f->rows_len - room;
    for (size_t i = 0; i < room; i++)
        add_row(&f->rows[view->first + i], rank, view, s, style_of_row(&f->rows[view->first + i]));
    if (view->rows > 0)
        add_footer(f, view, s, room);
}

/* ---- public ---------------------------------------------------------------------------------- */

void top_screen_draw(const struct top_facts *f, struct top_view *view, struct top_screen *s)
{
    buf_clear(&s->text);
    s->len = 0;
    add_head(f, view, s);
    if (f->version[0])
        add_table(f, view, s);
    else
        view->first = 0;
}

void top_screen_free(struct top_screen *s)
{
    buf_free(&s->text);
}

static const char *style_code(unsigned char style, bool colours)
{
    switch ((enum top_style)style) {
    case TOP_PLAIN:
        return "";
    case TOP_TITLE:
        return colours ? "\033[1;32m" : "\033[1m";
    case TOP_HEAD:
        return "\033[7m";
    case TOP_WARN:
        return colours ? "\033[33m" : "";
    case TOP_BAD:
        return colours ? "\033[1;31m" : "\033[1m";
    case TOP_FAINT:
        return "\033[2m";
    }
    return "";
}

void top_screen_paint(const struct top_screen *s, bool colours, struct buf *out)
{
    struct slice rest = buf_slice(&s->text);
    buf_append_slice(out, SLICE("\033[H"));
    for (size_t i = 0; i < s->len && !s->text.failed; i++) {
        const char *style = style_code(s->styles[i], colours);
        struct slice line = slice_split(&rest, '\n');
        buf_printf(out, "%s%s%.*s%s\033[K", i ? "\r\n" : "", style, SLICE_ARGS(line),
                   style[0] ? "\033[m" : "");
    }
    buf_append_slice(out, SLICE("\033[J"));
}
