/* fake_driver.c: see fake_driver.h. One open fake store at a time. */
#include "fake_driver.h"

#include "shared/check.h"

#include <stdlib.h>

struct row {
    int64_t id;
    struct slice username; /* all three owned, on the heap */
    struct slice email;
    struct slice password;
};

struct waiting {
    struct store_call *call;
    struct fake_step step;
};

struct fake {
    struct loop *loop;
    struct ev_idle turn; /* runs each turn while something is pending, and keeps the loop awake */
    unsigned max_queue;
    struct row *rows; /* ordered by id */
    size_t rows_len;
    struct waiting *pending;
    unsigned pending_len;
};

static const struct fake_step *script;
static size_t script_len;
static struct fake *open_fake;

void fake_driver_script(const struct fake_step *steps, size_t len)
{
    script = steps;
    script_len = len;
}

size_t fake_driver_left(void)
{
    return script_len;
}

unsigned fake_driver_pending(void)
{
    return open_fake ? open_fake->pending_len : 0;
}

/* ---- rows ---- */

static struct slice own(struct slice value)
{
    struct slice copy = {slice_strdup(value), value.len};
    ASSERT(copy.ptr);
    return copy;
}

static void drop_text(struct row *row)
{
    free((char *)(uintptr_t)row->username.ptr);
    free((char *)(uintptr_t)row->email.ptr);
    free((char *)(uintptr_t)row->password.ptr);
}

static struct row *find_id(struct fake *f, int64_t id)
{
    for (size_t i = 0; i < f->rows_len; i++)
        if (f->rows[i].id == id)
            return &f->rows[i];
    return NULL;
}

/* The row as the caller saw it; NULL: it changed. */
static struct row *find_seen(struct fake *f, const struct store_call *call)
{
    struct row *row = find_id(f, call->id);
    return row && slice_equals(row->password, call->seen_password) ? row : NULL;
}

static enum store_result conflict(const struct fake *f, const struct store_call *call,
                                  const struct row *except)
{
    enum store_result result = STORE_NOT_FOUND;
    for (size_t i = 0; i < f->rows_len; i++) {
        if (&f->rows[i] == except)
            continue;
        if (slice_equals(f->rows[i].username, call->username))
            return STORE_USERNAME_TAKEN;
        if (slice_equals(f->rows[i].email, call->email))
            result = STORE_EMAIL_TAKEN;
    }
    return result;
}

static enum store_result show(struct store_call *call, size_t *capacity, const struct row *row,
                              bool with_password)
{
    struct store_user user = {.id = row->id, .username = row->username, .email = row->email};
    if (with_password)
        user.password = row->password;
    return store_call_add_user(call, capacity, &user) ? STORE_OK : call->reply.result;
}

static enum store_result show_one(struct store_call *call, const struct row *row)
{
    size_t capacity = 0;
    bool with_password = call->operation != STORE_OP_PROFILE;
    return row ? show(call, &capacity, row, with_password) : STORE_NOT_FOUND;
}

/* ---- operations ---- */

static enum store_result by_email(struct fake *f, struct store_call *call)
{
    for (size_t i = 0; i < f->rows_len; i++)
        if (slice_equals(f->rows[i].email, call->email))
            return show_one(call, &f->rows[i]);
    return STORE_NOT_FOUND;
}

static enum store_result list(struct fake *f, struct store_call *call)
{
    size_t capacity = 0;
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < f->rows_len && result == STORE_OK; i++)
        if ((int64_t)i >= call->offset && (int64_t)i - call->offset < call->limit)
            result = show(call, &capacity, &f->rows[i], false);
    return result;
}

static enum store_result list_after(struct fake *f, struct store_call *call)
{
    size_t capacity = 0;
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < f->rows_len && result == STORE_OK; i++)
        if (f->rows[i].id > call->id && (int64_t)call->reply.users_len < call->limit)
            result = show(call, &capacity, &f->rows[i], false);
    return result;
}

static enum store_result create(struct fake *f, struct store_call *call)
{
    enum store_result taken = conflict(f, call, NULL);
    if (taken != STORE_NOT_FOUND)
        return taken;
    f->rows = realloc(f->rows, (f->rows_len + 1) * sizeof *f->rows);
    ASSERT(f->rows);
    struct row *row = &f->rows[f->rows_len];
    *row = (struct row){.id = f->rows_len ? row[-1].id + 1 : 1,
                        .username = own(call->username),
                        .email = own(call->email),
                        .password = own(call->password)};
    f->rows_len++;
    return show_one(call, row);
}

static enum store_result update(struct fake *f, struct store_call *call)
{
    struct row *row = find_seen(f, call);
    if (!row)
        return STORE_CHANGED;
    enum store_result taken = conflict(f, call, row);
    if (taken != STORE_NOT_FOUND)
        return taken;
    drop_text(row);
    row->username = own(call->username);
    row->email = own(call->email);
    row->password = own(call->password);
    return show_one(call, row);
}

static enum store_result delete_row(struct fake *f, struct store_call *call)
{
    struct row *row = find_seen(f, call);
    if (!row)
        return STORE_CHANGED;
    drop_text(row);
    size_t after = f->rows_len - (size_t)(row - f->rows) - 1;
    memmove(row, row + 1, after * sizeof *row);
    f->rows_len--;
    return STORE_OK;
}

static enum store_result rehash(struct fake *f, struct store_call *call)
{
    struct row *row = find_seen(f, call);
    if (!row)
        return STORE_CHANGED;
    free((char *)(uintptr_t)row->password.ptr);
    row->password = own(call->password);
    return STORE_OK;
}

static enum store_result operate(struct fake *f, struct store_call *call)
{
    switch (call->operation) {
    case STORE_OP_BY_ID:
    case STORE_OP_PROFILE:
        return show_one(call, find_id(f, call->id));
    case STORE_OP_BY_EMAIL:
        return by_email(f, call);
    case STORE_OP_CONFLICT:
        return conflict(f, call, NULL);
    case STORE_OP_LIST:
        return list(f, call);
    case STORE_OP_LIST_AFTER:
        return list_after(f, call);
    case STORE_OP_CREATE:
        return create(f, call);
    case STORE_OP_UPDATE:
        return update(f, call);
    case STORE_OP_DELETE:
        return delete_row(f, call);
    case STORE_OP_REHASH:
        return rehash(f, call);
    case STORE_OP_PROBE:
        return STORE_OK;
    }
    UNREACHABLE();
}

/* ---- the driver ---- */

static void answer(struct fake *f, struct waiting *w)
{
    struct task *t = &w->call->task;
    if (!w->step.begin)
        task_begin(t);
    bool late = mono_is_set(t->deadline) && mono_before(t->deadline, clock_now());
    if (!w->step.begin && (atomic_load(&t->cancelled) || late || w->step.refuse)) {
        task_complete(t, w->step.refuse ? TASK_REFUSED : late ? TASK_EXPIRED : TASK_CANCELLED);
        return;
    }
    w->call->reply.result = w->step.replace ? w->step.result : operate(f, w->call);
    task_complete(t, TASK_RAN);
}

static void turn(struct fake *f)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < f->pending_len; i++) {
        struct waiting w = f->pending[i];
        if (w.step.turns == 0) {
            answer(f, &w);
            continue;
        }
        w.step.turns--;
        f->pending[kept++] = w;
    }
    f->pending_len = kept;
}

static void on_turn(struct ev_loop *ev, struct ev_idle *w, int revents)
{
    struct fake *f = w->data;
    turn(f);
    if (f->pending_len == 0)
        ev_idle_stop(ev, w);
}

static void *fake_open(struct loop *l, const struct store_options *options, struct buf *error)
{
    struct fake *f = calloc(1, sizeof *f);
    ASSERT(f && !open_fake);
    f->loop = l;
    f->max_queue = options->max_queue ? options->max_queue : 4096;
    f->pending = calloc(f->max_queue, sizeof *f->pending);
    ASSERT(f->pending);
    ev_idle_init(&f->turn, on_turn);
    f->turn.data = f;
    open_fake = f;
    return f;
}

static bool fake_submit(void *state, struct store_call *call)
{
    struct fake *f = state;
    if (f->pending_len == f->max_queue)
        return false;
    struct waiting *w = &f->pending[f->pending_len++];
    *w = (struct waiting){.call = call};
    if (script_len > 0) {
        w->step = *script++;
        script_len--;
    }
    if (w->step.begin)
        task_begin(&call->task);
    ev_idle_start(loop_ev(f->loop), &f->turn);
    return true;
}

void fake_driver_hurry(void)
{
    for (unsigned i = 0; i < open_fake->pending_len; i++)
        open_fake->pending[i].step.turns = 0;
    turn(open_fake);
}

static void fake_close(void *state)
{
    struct fake *f = state;
    fake_driver_hurry();
    ev_idle_stop(loop_ev(f->loop), &f->turn);
    for (size_t i = 0; i < f->rows_len; i++)
        drop_text(&f->rows[i]);
    free(f->rows);
    free(f->pending);
    free(f);
    open_fake = NULL;
}

const struct store_driver store_driver_fake = {
    .name = "fake",
    .open = fake_open,
    .submit = fake_submit,
    .close = fake_close,
};
