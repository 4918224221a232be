/* store.c: see store.h. Makes calls, hands them to the driver, passes its answers on; whoever has
 * waited too long is answered without it. Calls are recycled: each comes with a block of memory big
 * enough for a row or two, so that reading one user allocates nothing once the store is warm.
 *
 * Thread: all of it runs on the loop's. */
#include "worker/store/driver.h"

#include "shared/check.h"
#include "shared/poison.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALL_BLOCK_BYTES = 1024, /* arguments and a row with its hash: about 500 */
    CALLS_KEPT = 512,        /* recycled calls; what a peak needs beyond goes back to the heap */
    DEFAULT_TIMEOUT_MS = 10000
};

struct pooled_call {
    struct store_call call; /* first: a task, a store_call and a pooled_call have one address */
    struct pooled_call *next; /* free, or its caller waits since later */
    struct pooled_call *previous;
    mono_ms answer_by;
    int64_t made_us;
    bool answered;   /* its time was over; what the driver says concerns nobody any more */
    bool read_tried; /* probes: their first half is over */
    alignas(max_align_t) char block[CALL_BLOCK_BYTES];
};

struct store {
    const struct store_driver *driver;
    void *driver_state; /* NULL: closed */
    struct loop *loop;
    struct scoreboard_slot *slot; /* borrowed; may be NULL */
    int64_t timeout_ms;
    struct ev_timer timer;                      /* when the first of these has waited too long */
    struct pooled_call *waits_first, *waits_last; /* by answer_by: all have the same patience */
    struct pooled_call *free_calls;
    unsigned free_calls_len;
    unsigned in_flight; /* calls made and not given back; keeps the store alive after its close */
};

const char *store_result_name(enum store_result result)
{
    switch (result) {
#define X(name, text)                                                                              \
    case STORE_##name:                                                                             \
        return text;
        STORE_RESULTS(X)
#undef X
    }
    UNREACHABLE();
}

static void free_store(struct store *s)
{
    while (s->free_calls) {
        struct pooled_call *p = s->free_calls;
        s->free_calls = p->next;
        free(p);
    }
    free(s);
}

static void give_back(struct store_call *c)
{
    struct pooled_call *p = (struct pooled_call *)c;
    struct store *s = c->store;
    /* stored hashes do not linger in recycled memory */
    arena_wipe(&c->arena);
    arena_fini(&c->arena);
    buf_free(&c->text);
    if (s->free_calls_len < CALLS_KEPT) {
        memory_poison(p, sizeof *p);
        memory_unpoison(&p->next, sizeof p->next);
        p->next = s->free_calls;
        s->free_calls = p;
        s->free_calls_len++;
    } else {
        free(p);
    }
    s->in_flight--;
    if (!s->driver_state && s->in_flight == 0)
        free_store(s);
}

/* ---- how long a caller waits ----------------------------------------------------------------- */

static void set_timer(struct store *s, int64_t ms)
{
    ev_timer_stop(loop_ev(s->loop), &s->timer);
    ev_timer_set(&s->timer, (double)(ms > 0 ? ms : 0) / 1000, 0.);
    ev_timer_start(loop_ev(s->loop), &s->timer);
}

/* The timer is left alone when calls come and go: it looks for itself when it fires. */
static void wait_begins(struct store *s, struct pooled_call *p)
{
    p->answer_by = mono_add(loop_now(s->loop), s->timeout_ms);
    p->next = NULL;
    p->previous = s->waits_last;
    if (s->waits_last)
        s->waits_last->next = p;
    else
        s->waits_first = p;
    s->waits_last = p;
    if (!ev_is_active(&s->timer))
        set_timer(s, s->timeout_ms);
}

static void wait_ends(struct store *s, struct pooled_call *p)
{
    *(p->previous ? &p->previous->next : &s->waits_first) = p->next;
    *(p->next ? &p->next->previous : &s->waits_last) = p->previous;
}

static void count_error(const struct store *s)
{
    if (s->slot)
        counter_add(s->slot, COUNTER_store_errors, 1);
}

static enum timed timed_as(const struct store_call *c)
{
    static const enum timed kinds[] = {
#define X(name, kind) [STORE_OP_##name] = TIMED_store_##kind,
        STORE_OPERATIONS(X)
#undef X
    };
    return kinds[c->operation];
}

/* What the scoreboard tells of the database: how long it took, and whether it answers reads. A writer
 * may have to wait for other writers, and a full disk can still be read. */
static void note_answer(const struct store_call *c, enum store_result result, bool failed)
{
    struct scoreboard_slot *slot = c->store->slot;
    const struct pooled_call *p = (const struct pooled_call *)c;
    int64_t now_us = loop_entered_us(c->store->loop);
    if (!slot)
        return;
    histogram_note(&slot->series[timed_as(c)], now_us - p->made_us);
    if (!failed)
        atomic_store_explicit(&slot->store_ok_ms, now_us / 1000, memory_order_relaxed);
    else if (timed_as(c) == TIMED_store_read && result == STORE_UNAVAILABLE)
        atomic_store_explicit(&slot->store_bad_ms, now_us / 1000, memory_order_relaxed);
}

/* What the caller gets whose time is over, and who has called it off. A probe changes nothing. */
static enum store_result judge_late(const struct store_call *c)
{
    bool changes = timed_as(c) == TIMED_store_write && c->operation != STORE_OP_PROBE;
    return changes && task_may_have_begun(&c->task) ? STORE_UNKNOWN : STORE_BUSY;
}

/* What began in the database goes on, but a list; what has not will not. */
static void give_up(struct store *s, struct pooled_call *p)
{
    wait_ends(s, p);
    p->answered = true;
    bool wanted = !task_is_cancelled(&p->call.task);
    task_cancel(&p->call.task);
    if (wanted) {
        count_error(s);
        note_answer(&p->call, STORE_UNAVAILABLE, true);
    }
    p->call.done(p->call.ctx, &(struct store_reply){.result = judge_late(&p->call)});
}

static void on_timer(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct store *s = t->data;
    mono_ms now = {loop_enter(s->loop, "end of the time to wait for the database") / 1000};
    while (s->waits_first && !mono_before(now, s->waits_first->answer_by))
        give_up(s, s->waits_first);
    if (s->waits_first)
        set_timer(s, mono_diff_ms(s->waits_first->answer_by, now));
}

/* ---- a call's way ---------------------------------------------------------------------------- */

static void submit(struct store_call *c);

/* What the caller gets, by how the task ended. */
static enum store_result judge(const struct store_call *c)
{
    switch (c->task.outcome) {
    case TASK_RAN:
        return c->reply.result;
    case TASK_EXPIRED:
    case TASK_CANCELLED:
        return STORE_BUSY;
    case TASK_REFUSED:
        return STORE_UNAVAILABLE;
    }
    UNREACHABLE();
}

/* A probe reads first. True when its second half, the writer's, was started. */
static bool probe_goes_on(struct store_call *c, enum store_result result)
{
    struct pooled_call *p = (struct pooled_call *)c;
    if (p->read_tried || (result != STORE_OK && result != STORE_NOT_FOUND) ||
        !c->store->driver_state)
        return false;
    p->read_tried = true;
    bool cancelled = task_is_cancelled(&c->task);
    mono_ms deadline = c->task.deadline;
    task_init_at(&c->task, c->store->loop, c->task.done, c->task.made_at);
    c->task.deadline = deadline;
    if (cancelled)
        task_cancel(&c->task);
    c->operation = STORE_OP_PROBE;
    c->reply = (struct store_reply){.result = STORE_UNAVAILABLE};
    submit(c);
    return true;
}

static void on_done(struct task *t)
{
    struct store_call *c = (struct store_call *)t;
    struct pooled_call *p = (struct pooled_call *)c;
    if (p->answered) {
        give_back(c);
        return;
    }
    enum store_result result = judge(c);
    if (c->form && result == STORE_OK && !store_call_end_text(c))
        result = STORE_NO_MEMORY;
    if (!p->read_tried) {
        if (probe_goes_on(c, result))
            return;
        if (result == STORE_NOT_FOUND)
            result = STORE_UNAVAILABLE; /* closed between the halves */
    }
    c->reply.result = result;
    if (result != STORE_OK)
        c->reply = (struct store_reply){.result = result};
    else if (c->form)
        c->reply.text = &c->text;
    bool called_off = t->outcome == TASK_CANCELLED || (c->form && task_is_cancelled(t));
    bool failed =
        (result == STORE_BUSY || result == STORE_UNAVAILABLE || result == STORE_NO_MEMORY) &&
        !called_off;
    if (failed)
        count_error(c->store);
    note_answer(c, result, failed || called_off);
    wait_ends(c->store, p);
    c->done(c->ctx, &c->reply);
    give_back(c);
}

static struct store_call *call_new(struct store *s, enum store_operation operation,
                                   store_done_fn *done, void *ctx, const char *made_at)
{
    ASSERT(s->driver_state);
    struct pooled_call *p = s->free_calls;
    if (p) {
        s->free_calls = p->next;
        s->free_calls_len--;
        memory_unpoison(p, sizeof *p);
    } else {
        p = malloc(sizeof *p);
        if (!p)
            return NULL;
    }
    p->answered = false;
    p->read_tried = true;
    p->made_us = loop_entered_us(s->loop);
    struct store_call *c = &p->call;
    *c = (struct store_call){.operation = operation, .done = done, .ctx = ctx, .store = s};
    c->reply.result = STORE_UNAVAILABLE;
    arena_init(&c->arena, p->block, sizeof p->block, STORE_CALL_MAX_BYTES);
    task_init_at(&c->task, s->loop, on_done, made_at);
    s->in_flight++;
    wait_begins(s, p);
    return c;
}

/* Copies an argument. False without memory. */
static bool take(struct store_call *c, struct slice *field, struct slice value)
{
    *field = slice_dup(&c->arena, value);
    return field->ptr != NULL;
}

static void submit(struct store_call *c)
{
    if (c->store->driver->submit(c->store->driver_state, c))
        return;
    c->reply.result = STORE_BUSY;
    task_begin(&c->task);
    task_complete(&c->task, TASK_RAN);
}

/* Starts the call if its arguments were copied; else there is no call. */
static struct task *start(struct store_call *c, bool complete)
{
    if (!complete) {
        wait_ends(c->store, (struct pooled_call *)c);
        task_discard(&c->task);
        give_back(c);
        return NULL;
    }
    submit(c);
    return &c->task;
}

struct store *store_open_with(struct loop *l, const struct store_driver *driver,
                              const struct store_options *options, struct buf *error)
{
    LOOP_ASSERT_OWNER(l);
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        buf_printf(error, "no memory to open the store");
        return NULL;
    }
    struct store_options opened = *options;
    if (opened.timeout_ms <= 0)
        opened.timeout_ms = DEFAULT_TIMEOUT_MS;
    *s = (struct store){
        .driver = driver, .loop = l, .slot = options->slot, .timeout_ms = opened.timeout_ms};
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    s->driver_state = driver->open(l, &opened, error);
    if (!s->driver_state) {
        free(s);
        return NULL;
    }
    return s;
}

struct store *store_open(struct loop *l, const struct store_options *options, struct buf *error)
{
    switch (options->kind) {
    case CONFIG_DATABASE_FILE:
    case CONFIG_DATABASE_MEMORY:
        return store_open_with(l, &store_driver_sqlite, options, error);
    case CONFIG_DATABASE_POSTGRESQL:
        buf_printf(error,
                   "this build cannot use PostgreSQL yet; set [database] url to a SQLite file");
        return NULL;
    }
    UNREACHABLE();
}

void store_close(struct store *s)
{
    if (!s)
        return;
    LOOP_ASSERT_OWNER(s->loop);
    ASSERT(s->driver_state);
    s->driver->close(s->driver_state);
    s->driver_state = NULL;
    ev_timer_stop(loop_ev(s->loop), &s->timer);
    if (s->in_flight == 0)
        free_store(s);
}

static struct task *ask_by_id(struct store *s, enum store_operation operation, int64_t id,
                              store_done_fn *done, void *ctx, const char *made_at)
{
    struct store_call *c = call_new(s, operation, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = id;
    return start(c, true);
}

struct task *(store_user_by_id)(struct store *s, int64_t id, store_done_fn *done, void *ctx,
                                const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    return ask_by_id(s, STORE_OP_BY_ID, id, done, ctx, made_at);
}

struct task *(store_user_profile)(struct store *s, int64_t id, store_done_fn *done, void *ctx,
                                  const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    return ask_by_id(s, STORE_OP_PROFILE, id, done, ctx, made_at);
}

struct task *(store_user_by_email)(struct store *s, struct slice email, store_done_fn *done,
                                   void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_BY_EMAIL, done, ctx, made_at);
    return c ? start(c, take(c, &c->email, email)) : NULL;
}

struct task *(store_user_conflict)(struct store *s, struct slice username, struct slice email,
                                   store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_CONFLICT, done, ctx, made_at);
    return c ? start(c, take(c, &c->username, username) && take(c, &c->email, email)) : NULL;
}

struct task *(store_user_list)(struct store *s, int64_t offset, int64_t limit,
                               const struct store_list_form *form, size_t max_bytes,
                               store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    ASSERT(offset >= 0 && limit >= 0);
    struct store_call *c = call_new(s, STORE_OP_LIST, done, ctx, made_at);
    if (!c)
        return NULL;
    c->offset = offset;
    c->limit = limit;
    c->form = form;
    c->text_max = max_bytes > 0 && max_bytes < STORE_CALL_MAX_BYTES ? max_bytes : STORE_CALL_MAX_BYTES;
    return start(c, true);
}

struct task *(store_user_list_after)(struct store *s, int64_t after, int64_t limit,
                                     store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    ASSERT(limit >= 0);
    struct store_call *c = call_new(s, STORE_OP_LIST_AFTER, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = after;
    c->limit = limit;
    return start(c, true);
}

struct task *(store_user_create)(struct store *s, struct slice username, struct slice email,
                                 struct slice password, store_done_fn *done, void *ctx,
                                 const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_CREATE, done, ctx, made_at);
    return c ? start(c, take(c, &c->username, username) && take(c, &c->email, email) &&
                            take(c, &c->password, password))
             : NULL;
}

struct task *(store_user_update)(struct store *s, int64_t id, struct slice seen_password,
                                 struct slice username, struct slice email, struct slice password,
                                 store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_UPDATE, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = id;
    return start(c, take(c, &c->seen_password, seen_password) && take(c, &c->username, username) &&
                        take(c, &c->email, email) && take(c, &c->password, password));
}

struct task *(store_user_delete)(struct store *s, int64_t id, struct slice seen_password,
                                 store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_DELETE, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = id;
    return start(c, take(c, &c->seen_password, seen_password));
}

struct task *(store_user_rehash)(struct store *s, int64_t id, struct slice seen_password,
                                 struct slice password, store_done_fn *done, void *ctx,
                                 const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    struct store_call *c = call_new(s, STORE_OP_REHASH, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = id;
    return start(c, take(c, &c->seen_password, seen_password) && take(c, &c->password, password));
}

struct task *(store_probe)(struct store *s, store_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(s->loop);
    /* a read of an id that no row has, then the writer's side */
    struct store_call *c = call_new(s, STORE_OP_BY_ID, done, ctx, made_at);
    if (!c)
        return NULL;
    c->id = INT64_MIN;
    ((struct pooled_call *)c)->read_tried = false;
    return start(c, true);
}

unsigned store_queued(const struct store *s)
{
    LOOP_ASSERT_OWNER(s->loop);
    return s->in_flight;
}
