/* test_slots.c: one slot at a time: every cell of the two tables, by what it does. */
#include "master/slots.h"
#include "master/supervisor.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { NOW_MS = 500000, PID = 77 };

static struct sup_actions out;

struct expectation {
    enum slot_state after;
    int64_t deadline_in_ms;    /* -1: never */
    int signal;                /* 0: none */
    enum message_type message; /* 0: none */
    bool spawn;
};

struct cell {
    const char *name;
    enum role role;
    enum slot_state state;
    int64_t ready_ago_ms; /* -1: never ready */
    bool told_to_cut;
    enum slot_event event;
    int status;
    struct expectation want;
};

#define NONE 0, 0, false

/* standard: boot 60000, graceful 30000, quick 2000, quick_kill 3000, kill 5000, min_ready 500 */
static const struct cell cells[] = {
    {"empty starts",
     ROLE_SERVE,
     SLOT_EMPTY,
     -1,
     false,
     SLOT_EVENT_START,
     0,
     {SLOT_STARTING, -1, 0, 0, true}},
    {"back-off starts",
     ROLE_SERVE,
     SLOT_BACKOFF,
     -1,
     false,
     SLOT_EVENT_START,
     0,
     {SLOT_STARTING, -1, 0, 0, true}},
    {"empty has nothing to drain",
     ROLE_SERVE,
     SLOT_EMPTY,
     -1,
     false,
     SLOT_EVENT_DRAIN,
     0,
     {SLOT_EMPTY, -1, NONE}},
    {"back-off is given up",
     ROLE_SERVE,
     SLOT_BACKOFF,
     -1,
     false,
     SLOT_EVENT_DRAIN,
     0,
     {SLOT_EMPTY, -1, NONE}},
    {"back-off is given up quickly",
     ROLE_SERVE,
     SLOT_BACKOFF,
     -1,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_EMPTY, -1, NONE}},

    {"fork failed",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_SPAWN_FAILED,
     11,
     {SLOT_BACKOFF, -1, NONE}},
    {"boots, ready",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_READY,
     0,
     {SLOT_READY, 500, NONE}},
    {"boots, dies",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_EXITED,
     256,
     {SLOT_BACKOFF, -1, NONE}},
    {"boots too long",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"boots, drain: short",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_DRAIN,
     0,
     {SLOT_DRAINING, 2000, 0, MESSAGE_DRAIN, false}},
    {"boots, quit: killed",
     ROLE_SERVE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},

    {"ready, twice",
     ROLE_SERVE,
     SLOT_READY,
     10,
     false,
     SLOT_EVENT_READY,
     0,
     {SLOT_READY, -1, NONE}},
    {"ready, outlives min_ready",
     ROLE_SERVE,
     SLOT_READY,
     500,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_READY, -1, NONE}},
    {"ready, dies",
     ROLE_SERVE,
     SLOT_READY,
     10000,
     false,
     SLOT_EVENT_EXITED,
     SIGSEGV,
     {SLOT_BACKOFF, -1, NONE}},
    {"ready, drain",
     ROLE_SERVE,
     SLOT_READY,
     10000,
     false,
     SLOT_EVENT_DRAIN,
     0,
     {SLOT_DRAINING, 30000, 0, MESSAGE_DRAIN, false}},
    {"ready, quit",
     ROLE_SERVE,
     SLOT_READY,
     10000,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_DRAINING, 3000, 0, MESSAGE_QUIT, false}},

    {"drains, late ready",
     ROLE_SERVE,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_READY,
     0,
     {SLOT_DRAINING, 30000, NONE}},
    {"drains, leaves",
     ROLE_SERVE,
     SLOT_DRAINING,
     10,
     false,
     SLOT_EVENT_EXITED,
     0,
     {SLOT_EMPTY, -1, NONE}},
    {"drains too long: cut",
     ROLE_SERVE,
     SLOT_DRAINING,
     10,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_DRAINING, 5000, 0, MESSAGE_QUIT, false}},
    {"cuts too long: killed",
     ROLE_SERVE,
     SLOT_DRAINING,
     10,
     true,
     SLOT_EVENT_DUE,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"drains unready too long: killed",
     ROLE_SERVE,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"drains, quit",
     ROLE_SERVE,
     SLOT_DRAINING,
     10,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_DRAINING, 3000, 0, MESSAGE_QUIT, false}},
    {"drains unready, quit: killed",
     ROLE_SERVE,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"killed, late ready",
     ROLE_SERVE,
     SLOT_KILLED,
     -1,
     false,
     SLOT_EVENT_READY,
     0,
     {SLOT_KILLED, -1, NONE}},
    {"killed, quit",
     ROLE_SERVE,
     SLOT_KILLED,
     10,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_KILLED, -1, NONE}},
    {"killed, gone",
     ROLE_SERVE,
     SLOT_KILLED,
     10,
     false,
     SLOT_EVENT_EXITED,
     SIGKILL,
     {SLOT_EMPTY, -1, NONE}},

    {"job done",
     ROLE_MIGRATE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_EXITED,
     0,
     {SLOT_EMPTY, -1, NONE}},
    {"job drained: TERM",
     ROLE_MIGRATE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_DRAIN,
     0,
     {SLOT_DRAINING, 5000, SIGTERM, 0, false}},
    {"job quit: KILL",
     ROLE_MIGRATE,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"checkpoint too long",
     ROLE_CHECKPOINT,
     SLOT_STARTING,
     -1,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_DRAINING, 5000, SIGTERM, 0, false}},
    {"job ignores TERM",
     ROLE_CHECKPOINT,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_DUE,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"job drains, quit",
     ROLE_MIGRATE,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_QUIT,
     0,
     {SLOT_KILLED, -1, SIGKILL, 0, false}},
    {"job leaves",
     ROLE_MIGRATE,
     SLOT_DRAINING,
     -1,
     false,
     SLOT_EVENT_EXITED,
     SIGTERM,
     {SLOT_EMPTY, -1, NONE}},
    {"job killed, gone",
     ROLE_MIGRATE,
     SLOT_KILLED,
     -1,
     false,
     SLOT_EVENT_EXITED,
     SIGKILL,
     {SLOT_EMPTY, -1, NONE}},
};

static const struct sup_action *find(enum sup_action_type type)
{
    for (size_t i = 0; i < out.len; i++)
        if (out.items[i].type == type)
            return &out.items[i];
    return NULL;
}

static void place(struct sup_slot *slot, const struct cell *c)
{
    bool live = c->state != SLOT_EMPTY && c->state != SLOT_BACKOFF;
    slot_init(slot, c->role, false);
    slot->state = c->state;
    slot->pid = live && c->event != SLOT_EVENT_SPAWN_FAILED ? PID : 0;
    slot->told_to_cut = c->told_to_cut;
    slot->drain_until = (mono_ms){NOW_MS + 30000};
    if (c->ready_ago_ms >= 0)
        slot->ready_at = (mono_ms){NOW_MS - c->ready_ago_ms};
}

static void check(const struct sup_slot *slot, const struct cell *c)
{
    const struct expectation *want = &c->want;
    assert_string_equal(slot_state_name(slot->state), slot_state_name(want->after));
    if (want->deadline_in_ms < 0)
        assert_int_equal(slot->deadline.ms, MONO_NEVER.ms);
    else
        assert_int_equal(slot->deadline.ms - NOW_MS, want->deadline_in_ms);
    const struct sup_action *a = find(SUP_SIGNAL);
    assert_int_equal(a ? a->signal : 0, want->signal);
    assert_true(!a || a->pid == PID);
    a = find(SUP_NOTIFY);
    assert_int_equal(a ? (int)a->message : 0, (int)want->message);
    assert_int_equal(find(SUP_SPAWN) != NULL, want->spawn);
    assert_int_equal(slot->pid > 0, slot_is_live(slot) && !want->spawn);
}

static void test_cells(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(1);
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        const struct cell *c = &cells[i];
        struct supervisor *s = supervisor_new(&settings);
        struct sup_event event = {.slot = 0, .generation = 1, .pid = PID, .status = c->status};
        place(&s->slots[0], c);
        out.len = 0;
        slot_step(
            &(struct slot_step){
                .s = s, .slot = &s->slots[0], .now = {NOW_MS}, .event = &event, .out = &out},
            c->event);
        print_message("%s\n", c->name);
        check(&s->slots[0], c);
        supervisor_free(s);
    }
}

/* SPAWNED gives each role its deadline. */
static void test_spawned_deadlines(void **state)
{
    (void)state;
    static const struct {
        enum role role;
        int64_t deadline_ms;
    } cases[] = {
        {ROLE_SERVE, NOW_MS + 60000}, {ROLE_MIGRATE, INT64_MAX}, {ROLE_CHECKPOINT, NOW_MS + 20000}};
    struct sup_settings settings = sup_settings_standard(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct supervisor *s = supervisor_new(&settings);
        struct sup_event event = {.slot = 0, .generation = 1, .pid = PID};
        s->slots[0].role = cases[i].role;
        struct slot_step t = {
            .s = s, .slot = &s->slots[0], .now = {NOW_MS}, .event = &event, .out = &out};
        out.len = 0;
        slot_step(&t, SLOT_EVENT_START);
        slot_step(&t, SLOT_EVENT_SPAWNED);
        assert_int_equal(s->slots[0].pid, PID);
        assert_int_equal(s->slots[0].deadline.ms, cases[i].deadline_ms);
        supervisor_free(s);
    }
}

/* What makes a stop end with "something was cut". */
static void test_what_counts_as_cut(void **state)
{
    (void)state;
    static const struct {
        int64_t ready_ago_ms, cut;
        int status;
        bool want;
    } cases[] = {
        {100, 0, 0, false},      {100, 3, 0, true},       {100, 0, 5 << 8, true},
        {100, 0, SIGKILL, true}, {-1, 0, SIGKILL, false}, /* it served nobody */
        {-1, 1, 5 << 8, true},
    };
    struct sup_settings settings = sup_settings_standard(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct supervisor *s = supervisor_new(&settings);
        struct cell c = {
            .role = ROLE_SERVE, .state = SLOT_DRAINING, .ready_ago_ms = cases[i].ready_ago_ms};
        place(&s->slots[0], &c);
        struct sup_event event = {
            .slot = 0, .pid = PID, .value = cases[i].cut, .status = cases[i].status};
        struct slot_step t = {
            .s = s, .slot = &s->slots[0], .now = {NOW_MS}, .event = &event, .out = &out};
        out.len = 0;
        slot_step(&t, SLOT_EVENT_CUT);
        slot_step(&t, SLOT_EVENT_EXITED);
        assert_int_equal(s->cut, cases[i].want);
        supervisor_free(s);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(slot_event_name(SLOT_EVENT_SPAWN_FAILED), "spawn failed");
    assert_string_equal(slot_event_name(SLOT_EVENT_QUIT), "quit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_spawned_deadlines),
        cmocka_unit_test(test_what_counts_as_cut),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
