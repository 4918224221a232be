/* estate.c: see estate.h. */
#include "master/estate.h"

#include "master/state.h"
#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void estate_init(struct estate *e)
{
    *e = (struct estate){.scoreboard_fd = -1,
                         .tickets_fd = -1,
                         .throttle_fd = -1,
                         .tls_keys_fd = -1,
                         .handover = {-1, -1}};
}

static enum exit_code make_tables(struct estate *e, size_t slots_len)
{
    if (!e->scoreboard)
        e->scoreboard = scoreboard_make(slots_len, &e->scoreboard_fd);
    if (e->scoreboard && !e->tickets)
        e->tickets = tickets_make(tickets_wanted(), &e->tickets_fd);
    if (e->tickets && !e->throttle)
        e->throttle = throttle_make(&e->throttle_fd);
    if (e->throttle && !e->tls_keys)
        e->tls_keys = tls_keys_make(&e->tls_keys_fd);
    if (!e->scoreboard || !e->tickets || !e->throttle || !e->tls_keys) {
        log_error("cannot start: no shared memory: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    return EXIT_CODE_OK;
}

enum exit_code estate_open(struct estate *e, size_t slots_len)
{
    if (make_tables(e, slots_len) != EXIT_CODE_OK)
        return EXIT_CODE_INTERNAL;
    /* without it, workers that leave say goodbye to their clients instead */
    if (FAULT_CALL(queue_socketpair, -1,
                   socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                              e->handover)) < 0)
        log_warning("connections cannot be handed over: %s", strerror(errno));
    return EXIT_CODE_OK;
}

/* ---- from program to program ----------------------------------------------------------------- */

static void save_table(struct state *state, int kind, uint64_t layout, int fd)
{
    struct state_table *t = state_add_table(state);
    t->kind = kind;
    t->layout = (int64_t)layout;
    t->fd = fd;
}

static void save_series(struct state *state, const struct scoreboard *board, size_t series,
                        struct state_histogram like)
{
    struct histogram_copy h;
    scoreboard_collect(board, series, &h);
    for (size_t i = 0; i < HISTOGRAM_CELLS; i++) {
        if (h.cells[i] == 0)
            continue;
        like.below_us = i < HISTOGRAM_BOUNDS_LEN  ? histogram_bounds_us[i]
                        : i < HISTOGRAM_BUCKETS ? INT64_MAX
                                                : -1;
        like.value = (int64_t)h.cells[i];
        *state_add_histogram(state) = like;
    }
}

static void save_histograms(const struct estate *e, struct state *state)
{
    for (enum timed t = 0; t < TIMED_REQUESTS; t++)
        save_series(state, e->scoreboard, t,
                    (struct state_histogram){.name = slice_of(timed_name(t))});
    for (unsigned route = 0; route < SCOREBOARD_ROUTES_MAX; route++) {
        struct slice name = scoreboard_route_name(e->scoreboard, route);
        for (unsigned class = 2; class <= 5 && name.ptr; class ++)
            save_series(state, e->scoreboard, scoreboard_series(route, class),
                        (struct state_histogram){.route = name, .class = class});
    }
}

void estate_save(const struct estate *e, struct state *state)
{
    save_table(state, STATE_TABLE_SCOREBOARD, scoreboard_layout(), e->scoreboard_fd);
    save_table(state, STATE_TABLE_TICKETS, tickets_layout(), e->tickets_fd);
    save_table(state, STATE_TABLE_THROTTLE, throttle_layout(), e->throttle_fd);
    save_table(state, STATE_TABLE_TLS_KEYS, tls_keys_layout(), e->tls_keys_fd);
    for (size_t i = 0; i < e->foreign_len; i++)
        save_table(state, e->foreign[i].kind, e->foreign[i].layout, e->foreign[i].fd);
    for (size_t c = 0; c < COUNTERS; c++) {
        struct state_total *t = state_add_total(state);
        t->name = slice_of(counter_name((enum counter)c));
        t->value = (int64_t)scoreboard_total(e->scoreboard, (enum counter)c);
    }
    save_histograms(e, state);
}

static void keep_foreign(struct estate *e, const struct state_table *t)
{
    if (e->foreign_len == ESTATE_FOREIGN_MAX)
        close(t->fd);
    else
        e->foreign[e->foreign_len++] =
            (struct estate_foreign){(int)t->kind, (uint64_t)t->layout, t->fd};
}

/* Ours is the first of our layout. False: it is damaged. */
static bool adopt_table(struct estate *e, size_t slots_len, const struct state_table *t)
{
    bool board = t->kind == STATE_TABLE_SCOREBOARD && (uint64_t)t->layout == scoreboard_layout();
    bool tickets = t->kind == STATE_TABLE_TICKETS && (uint64_t)t->layout == tickets_layout();
    bool throttle = t->kind == STATE_TABLE_THROTTLE && (uint64_t)t->layout == throttle_layout();
    bool keys = t->kind == STATE_TABLE_TLS_KEYS && (uint64_t)t->layout == tls_keys_layout();
    if (t->fd < 0)
        return true;
    if (keys && !e->tls_keys) {
        e->tls_keys_fd = t->fd;
        e->tls_keys = tls_keys_map(t->fd);
        return e->tls_keys;
    }
    if (board && !e->scoreboard) {
        e->scoreboard_fd = t->fd;
        e->scoreboard = scoreboard_map(t->fd, slots_len);
        return e->scoreboard;
    }
    if (tickets && !e->tickets) {
        e->tickets_fd = t->fd;
        e->tickets = tickets_map(t->fd);
        return e->tickets;
    }
    if (throttle && !e->throttle) {
        e->throttle_fd = t->fd;
        e->throttle = throttle_map(t->fd);
        return e->throttle;
    }
    keep_foreign(e, t);
    return true;
}

static void raise_totals(struct estate *e, const struct state *state)
{
    for (size_t i = 0; i < state->total_len; i++)
        for (size_t c = 0; c < COUNTERS; c++)
            if (slice_equals(state->total[i].name, slice_of(counter_name((enum counter)c))))
                scoreboard_raise_total(e->scoreboard, (enum counter)c,
                                       (uint64_t)state->total[i].value);
}

/* The series that a record is of; SCOREBOARD_SERIES: of none that is known here. */
static size_t series_of(struct estate *e, const struct state_histogram *h)
{
    char route[SCOREBOARD_ROUTE_MAX];
    for (enum timed t = 0; t < TIMED_REQUESTS && h->name.ptr; t++)
        if (slice_equals(h->name, slice_of(timed_name(t))))
            return t;
    if (h->name.ptr || !h->route.ptr || h->class < 2 || h->class > 5)
        return SCOREBOARD_SERIES;
    snprintf(route, sizeof route, "%.*s", SLICE_ARGS(h->route));
    return scoreboard_series(scoreboard_route_named(e->scoreboard, route), (unsigned)h->class);
}

/* HISTOGRAM_CELLS: of other bounds than ours. */
static size_t cell_of(int64_t below_us)
{
    if (below_us == -1)
        return HISTOGRAM_BUCKETS;
    size_t i = histogram_bucket(below_us);
    bool known = i == HISTOGRAM_BOUNDS_LEN ? below_us == INT64_MAX : histogram_bounds_us[i] == below_us;
    return known ? i : HISTOGRAM_CELLS;
}

static void raise_histograms(struct estate *e, const struct state *state)
{
    for (size_t i = 0; i < state->histogram_len; i++) {
        const struct state_histogram *h = &state->histogram[i];
        size_t series = series_of(e, h), cell = cell_of(h->below_us);
        if (series < SCOREBOARD_SERIES && cell < HISTOGRAM_CELLS)
            scoreboard_raise_cell(e->scoreboard, series, cell, (uint64_t)h->value);
    }
}

enum exit_code estate_adopt(struct estate *e, size_t slots_len, const struct state *state)
{
    for (size_t i = 0; i < state->table_len; i++)
        if (!adopt_table(e, slots_len, &state->table[i])) {
            log_error("cannot take over: no shared memory: %s", strerror(errno));
            return EXIT_CODE_INTERNAL;
        }
    if (make_tables(e, slots_len) != EXIT_CODE_OK)
        return EXIT_CODE_INTERNAL;
    raise_totals(e, state);
    raise_histograms(e, state);
    e->handover[0] = state->master[0].handover_take;
    e->handover[1] = state->master[0].handover_give;
    return EXIT_CODE_OK;
}

void estate_say_stopping(struct estate *e)
{
    atomic_store(&e->scoreboard->stopping, 1);
    for (size_t i = 0; i < e->foreign_len; i++)
        if (e->foreign[i].kind == STATE_TABLE_SCOREBOARD)
            scoreboard_say_stopping(e->foreign[i].fd);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void estate_forget_foreign(struct estate *e)
{
    for (size_t i = 0; i < e->foreign_len; i++)
        close(e->foreign[i].fd);
    e->foreign_len = 0;
}

void estate_drop(struct estate *e)
{
    close_one(&e->scoreboard_fd);
    close_one(&e->tickets_fd);
    close_one(&e->throttle_fd);
    close_one(&e->tls_keys_fd);
    estate_forget_foreign(e);
}

void estate_disown(struct estate *e)
{
    close_one(&e->handover[0]);
    close_one(&e->handover[1]);
}

void estate_close(struct estate *e)
{
    estate_disown(e);
    estate_drop(e);
    throttle_free(e->throttle);
    tickets_free(e->tickets);
    tls_keys_free(e->tls_keys);
    scoreboard_free(e->scoreboard);
    estate_init(e);
}
