/* test_state.c: the state as bytes: read is what was written, by whichever version; nothing that is
 * cut, damaged or impossible is taken. */
#include "master/state.h"

#include "shared/clock.h"
#include "shared/scoreboard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { HEAD_LEN = 32 };

/* A master with two workers, as one would be. */
static void fill(struct state *s)
{
    *s = (struct state){0};
    struct state_master *m = state_add_master(s);
    m->pid = 7;
    m->version = SLICE("1.0");
    m->slots_len = 6;
    m->ini = SLICE("[server]\nworkers = 2\n");
    m->env = SLICE("");
    m->exe = 5;
    m->exe_path = SLICE("/usr/bin/colmeia");
    struct state_supervisor *v = state_add_supervisor(s);
    v->generation = 3;
    v->workers = 2;
    v->random = INT64_MIN;
    v->give_up_at_ms = INT64_MAX;
    state_add_argument(s)->text = SLICE("colmeia");
    state_add_argument(s)->text = SLICE("--workers");
    for (int i = 0; i < 2; i++) {
        struct state_slot *slot = state_add_slot(s);
        slot->index = i;
        slot->state = SLOT_READY;
        slot->pid = 100 + i;
        slot->regime = 3;
        slot->channel = 10 + i;
        slot->deadline_ms = INT64_MAX;
    }
    state_add_regime(s)->generation = 3;
    struct state_listener *l = state_add_listener(s);
    l->regime = 3;
    l->fd = 20;
    l->asked = SLICE("127.0.0.1:0");
    struct state_admin_door *door = state_add_admin_door(s);
    door->regime = 3;
    door->fd = 21;
    door->asked = SLICE("unix:admin.sock");
    state_add_admin_child(s)->pid = 99;
    *state_add_kept(s) = (struct state_kept){SLICE("server"), SLICE("user"), {0}};
    *state_add_kept(s) = (struct state_kept){SLICE("database"), SLICE("url"), SLICE("sqlite:///a")};
    assert_false(s->failed);
}

static struct buf bytes_of(const struct state *s)
{
    struct buf out = {0};
    assert_non_null(buf_reserve(&out, state_room(s)));
    const char *place = out.data;
    state_encode(s, &out);
    assert_false(out.failed);
    assert_ptr_equal(out.data, place); /* it was not outgrown */
    assert_true(out.len <= state_room(s));
    return out;
}

static void put_right(struct buf *bytes)
{
    uint64_t len = bytes->len - HEAD_LEN, hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = HEAD_LEN; i < bytes->len; i++)
        hash = (hash ^ (unsigned char)bytes->data[i]) * UINT64_C(0x100000001b3);
    memcpy(bytes->data + 16, &len, sizeof len);
    memcpy(bytes->data + 24, &hash, sizeof hash);
}

static void refuse(struct slice bytes, const char *why)
{
    struct state s;
    struct buf error = {0};
    assert_false(state_decode(bytes, &s, &error));
    buf_append_char(&error, '\0');
    assert_non_null(strstr(error.data, why));
    state_free(&s);
    buf_free(&error);
}

/* ---- what is written is read ----------------------------------------------------------------- */

static void test_round(void **state)
{
    (void)state;
    struct state s, read;
    struct buf error = {0};
    fill(&s);
    struct buf bytes = bytes_of(&s);
    assert_true(state_decode(buf_slice(&bytes), &read, &error));
    assert_true(state_is_sound(&read, &error));
    assert_int_equal(read.master[0].pid, 7);
    assert_true(slice_equals(read.master[0].ini, s.master[0].ini));
    assert_non_null(read.master[0].env.ptr); /* empty, not absent */
    assert_int_equal(read.master[0].env.len, 0);
    assert_null(read.master[0].next_ini.ptr);
    assert_int_equal(read.master[0].exe, 5);
    assert_int_equal(read.master[0].previous, -1);
    assert_int_equal(read.supervisor[0].random, INT64_MIN);
    assert_int_equal(read.supervisor[0].give_up_at_ms, INT64_MAX);
    assert_int_equal(read.argument_len, 2);
    assert_true(slice_equals(read.argument[1].text, SLICE("--workers")));
    assert_int_equal(read.slot_len, 2);
    assert_int_equal(read.slot[1].pid, 101);
    assert_int_equal(read.slot[1].channel, 11);
    assert_int_equal(read.listener[0].fd, 20);
    assert_int_equal(read.kept_len, 2);
    assert_true(slice_equals(read.kept[0].key, SLICE("user")));
    assert_null(read.kept[0].value.ptr); /* unset, not empty */
    assert_true(slice_equals(read.kept[1].section, SLICE("database")));
    assert_true(slice_equals(read.kept[1].value, SLICE("sqlite:///a")));
    assert_int_equal(read.strangers_len, 0);
    state_free(&s);
    state_free(&read);
    buf_free(&bytes);
}

static struct state identity_round(const struct identity *identity, struct buf *bytes_r)
{
    struct state s, read;
    struct buf error = {0};
    fill(&s);
    if (identity)
        state_set_identity(s.master, identity);
    *bytes_r = bytes_of(&s);
    assert_true(state_decode(buf_slice(bytes_r), &read, &error));
    assert_true(state_is_sound(&read, &error));
    state_free(&s);
    return read;
}

/* Root, too, is somebody to become; and an older program says nothing. */
static void test_whom_children_become(void **state)
{
    (void)state;
    static const struct identity cases[] = {{.wanted = true, .uid = 65534, .gid = 4},
                                            {.wanted = true, .uid = 0, .gid = 0},
                                            {.wanted = false, .uid = (uid_t)-1, .gid = (gid_t)-1}};
    struct buf bytes;
    struct identity found;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct state s = identity_round(&cases[i], &bytes);
        assert_true(state_identity(&s, &found));
        assert_int_equal(found.wanted, cases[i].wanted);
        assert_int_equal(found.uid, cases[i].uid);
        assert_int_equal(found.gid, cases[i].gid);
        state_free(&s);
        buf_free(&bytes);
    }
    struct state s = identity_round(NULL, &bytes);
    assert_false(state_identity(&s, &found));
    assert_false(found.wanted);
    state_free(&s);
    buf_free(&bytes);
}

static void test_as_many_as_there_can_be(void **state)
{
    (void)state;
    struct state s = {0}, read;
    struct buf error = {0};
    for (int i = 0; i < SCOREBOARD_SLOTS_MAX; i++)
        state_add_slot(&s)->index = i;
    struct buf bytes = bytes_of(&s);
    assert_true(state_decode(buf_slice(&bytes), &read, &error));
    assert_int_equal(read.slot_len, SCOREBOARD_SLOTS_MAX);
    for (int i = 0; i < SCOREBOARD_SLOTS_MAX; i++) {
        assert_int_equal(read.slot[i].index, i);
        assert_int_equal(read.slot[i].channel, -1);
    }
    state_free(&s);
    state_free(&read);
    buf_free(&bytes);
}

struct sum {
    int fds, total;
};

static void add_up(void *ctx, int fd)
{
    struct sum *sum = ctx;
    sum->fds++;
    sum->total += fd;
}

static void test_each_descriptor(void **state)
{
    (void)state;
    struct state s;
    struct sum sum = {0};
    fill(&s);
    state_each_fd(&s, add_up, &sum);
    assert_int_equal(sum.fds, 5);
    assert_int_equal(sum.total, 5 + 10 + 11 + 20 + 21);
    state_free(&s);
}

/* ---- another version's ----------------------------------------------------------------------- */

static void append(struct buf *b, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_append_char(b, (char)(value >> (8 * i)));
}

static void append_head(struct buf *b, unsigned number, unsigned kind, size_t len)
{
    append(b, number, 2);
    append(b, kind, 2);
    append(b, len, 4);
}

/* Records and fields of the future, among them descriptors, which somebody must close. */
static void test_what_is_unknown_is_left_alone(void **state)
{
    (void)state;
    struct state s, read;
    struct buf error = {0};
    struct sum sum = {0};
    fill(&s);
    struct buf bytes = bytes_of(&s);
    append_head(&bytes, 60000, 0, 16 + 11 + 16);
    append_head(&bytes, 1, 3, 8);
    append(&bytes, 77, 8);
    append_head(&bytes, 2, 2, 3);
    append(&bytes, 0x414141, 3);
    append_head(&bytes, 3, 1, 8);
    append(&bytes, UINT64_MAX, 8);
    append_head(&bytes, 3, 0, 32); /* an argument with more in it than we know */
    append_head(&bytes, 999, 3, 8);
    append(&bytes, 88, 8);
    append_head(&bytes, 1, 2, 8);
    append(&bytes, 0x4242424242424242, 8);
    put_right(&bytes);
    assert_true(state_decode(buf_slice(&bytes), &read, &error));
    assert_true(state_is_sound(&read, &error));
    assert_int_equal(read.argument_len, 3);
    assert_true(slice_equals(read.argument[2].text, SLICE("BBBBBBBB")));
    assert_int_equal(read.strangers_len, 2);
    state_each_fd(&read, add_up, &sum);
    assert_int_equal(sum.total, 5 + 10 + 11 + 20 + 21 + 77 + 88);
    state_free(&s);
    state_free(&read);
    buf_free(&bytes);
}

static void test_another_format_is_refused(void **state)
{
    (void)state;
    struct state s;
    fill(&s);
    struct buf bytes = bytes_of(&s);
    bytes.data[8] = STATE_VERSION + 1;
    refuse(buf_slice(&bytes), "has format 2, this program reads 1: restart");
    state_free(&s);
    buf_free(&bytes);
}

/* ---- what is no state ------------------------------------------------------------------------ */

static void test_cut_anywhere(void **state)
{
    (void)state;
    struct state s;
    fill(&s);
    struct buf bytes = bytes_of(&s);
    for (size_t len = 0; len < bytes.len; len++) {
        char *exact = malloc(len ? len : 1); /* so that a read beyond it is seen */
        assert_non_null(exact);
        memcpy(exact, bytes.data, len);
        refuse((struct slice){exact, len}, "the state ");
        free(exact);
    }
    state_free(&s);
    buf_free(&bytes);
}

static void test_a_bit_turned_anywhere(void **state)
{
    (void)state;
    struct state s, read;
    struct buf error = {0};
    fill(&s);
    struct buf bytes = bytes_of(&s);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        if (bit / 8 >= 12 && bit / 8 < 16)
            continue; /* nobody's */
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
        assert_false(state_decode(buf_slice(&bytes), &read, &error));
        state_free(&read);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
    }
    state_free(&s);
    buf_free(&bytes);
    buf_free(&error);
}

static void refuse_field(unsigned record, unsigned number, unsigned kind, size_t len,
                         uint64_t value)
{
    struct state s = {0};
    struct buf bytes = bytes_of(&s);
    append_head(&bytes, record, 0, 8 + len);
    append_head(&bytes, number, kind, len);
    append(&bytes, value, len);
    put_right(&bytes);
    refuse(buf_slice(&bytes), "holds a field that is none");
    buf_free(&bytes);
}

static void test_fields_that_are_none(void **state)
{
    (void)state;
    refuse_field(1, 1, 2, 8, 7);             /* a number as text */
    refuse_field(1, 1, 1, 4, 7);             /* too short */
    refuse_field(1, 12, 3, 8, UINT64_MAX);   /* no descriptor */
    refuse_field(1, 12, 3, 8, 1ull << 32);   /* the same */
    refuse_field(999, 12, 3, 8, UINT64_MAX); /* the same, of the future */
}

/* ---- what does not fit together -------------------------------------------------------------- */

static void no_master(struct state *s) { s->master_len = 0; }
static void two_masters(struct state *s) { state_add_master(s); }
static void no_supervisor(struct state *s) { s->supervisor_len = 0; }
static void no_arguments(struct state *s) { s->argument_len = 0; }
static void few_slots(struct state *s) { s->master[0].slots_len = 2; }
static void many_slots(struct state *s) { s->master[0].slots_len = SCOREBOARD_SLOTS_MAX + 2; }
static void odd_slots(struct state *s) { s->master[0].slots_len = 7; }
static void no_workers(struct state *s) { s->supervisor[0].workers = 0; }
static void many_workers(struct state *s) { s->supervisor[0].workers = 3; }
static void much_override(struct state *s) { s->supervisor[0].override = 3; }
static void no_program(struct state *s) { s->master[0].exe = -1; }
static void no_path(struct state *s) { s->master[0].exe_path = (struct slice){0}; }
static void no_regime(struct state *s) { s->regime_len = 0; }
static void two_current(struct state *s) { state_add_regime(s)->generation = 2; }
static void twin_regimes(struct state *s)
{
    struct state_regime *r = state_add_regime(s);
    r->generation = 3;
    r->over = 1;
}
static void stray_listener(struct state *s) { s->listener[0].regime = 9; }
static void closed_listener(struct state *s) { s->listener[0].fd = -1; }
static void nameless_listener(struct state *s) { s->listener[0].asked = (struct slice){0}; }
static void stray_admin_door(struct state *s) { s->admin_door[0].regime = 9; }
static void closed_admin_door(struct state *s) { s->admin_door[0].fd = -1; }
static void nameless_admin_door(struct state *s) { s->admin_door[0].asked = (struct slice){0}; }
static void worker_as_admin(struct state *s) { s->admin_child[0].pid = 101; }
static void master_as_admin(struct state *s) { s->admin_child[0].pid = s->master[0].pid; }
static void nobody_as_admin(struct state *s) { s->admin_child[0].pid = 0; }
static void everybody_as_admin(struct state *s) { s->admin_child[0].pid = -1; }
static void slot_of_jobs(struct state *s) { s->slot[1].index = 5; }
static void slot_beyond(struct state *s) { s->slot[1].index = 6; }
static void slot_before(struct state *s) { s->slot[1].index = -1; }
static void slot_twice(struct state *s) { s->slot[1].index = 0; }
static void pid_twice(struct state *s) { s->slot[1].pid = 100; }
static void pid_of_nobody(struct state *s) { s->slot[1].state = SLOT_BACKOFF; }
static void nobody_there(struct state *s) { s->slot[1].pid = 0; }
static void child_of_root(struct state *s, int64_t children, int64_t uid, int64_t gid)
{
    s->master[0].children = children;
    s->master[0].uid = uid;
    s->master[0].gid = gid;
}
static void no_uid(struct state *s) { child_of_root(s, STATE_CHILDREN_BECOME, -1, 7); }
static void no_gid(struct state *s) { child_of_root(s, STATE_CHILDREN_BECOME, 7, UINT32_MAX); }
static void children_unheard_of(struct state *s) { child_of_root(s, 3, 7, 7); }
static void state_unheard_of(struct state *s) { s->slot[1].state = 99; }
static void stray_worker(struct state *s) { s->slot[1].regime = 0; }

static void test_soundness(void **state)
{
    (void)state;
    static void (*const faults[])(struct state *) = {
        no_master,     two_masters,    no_supervisor,    no_arguments,  few_slots,
        many_slots,    odd_slots,      no_workers,       many_workers,  much_override,
        no_program,    no_path,        no_regime,        two_current,   twin_regimes,
        stray_listener, closed_listener, nameless_listener, slot_of_jobs, slot_beyond,
        slot_before,   slot_twice,     pid_twice,        pid_of_nobody, nobody_there,
        state_unheard_of, stray_worker, stray_admin_door, closed_admin_door, nameless_admin_door,
        worker_as_admin, master_as_admin, nobody_as_admin, everybody_as_admin,
        no_uid,        no_gid,         children_unheard_of};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct state s;
        struct buf error = {0};
        fill(&s);
        assert_true(state_is_sound(&s, &error));
        faults[i](&s);
        if (state_is_sound(&s, &error))
            fail_msg("fault %zu is not seen", i);
        assert_true(error.len > 0);
        buf_free(&error);
        state_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_whom_children_become),
        cmocka_unit_test(test_as_many_as_there_can_be),
        cmocka_unit_test(test_each_descriptor),
        cmocka_unit_test(test_what_is_unknown_is_left_alone),
        cmocka_unit_test(test_another_format_is_refused),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_a_bit_turned_anywhere),
        cmocka_unit_test(test_fields_that_are_none),
        cmocka_unit_test(test_soundness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
