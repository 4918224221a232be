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
    unsigned flags;
    enum slot_event event;
    int status;
    struct expectation want;
};

/* What the process in the slot is already at. */
enum { CUTS = 1, MOVES = 2, CANDIDATE = 4 };

#define CELL(name, role, state, ready_ago_ms, flags, event, status, after, deadline, signal,       \
             message, spawn)                                                                       \
    {                                                                                              \
        name, ROLE_##role, SLOT_##state, ready_ago_ms, flags, SLOT_EVENT_##event, status,          \
        {                                                                                          \
            SLOT_##after, deadline, signal, message, spawn                                         \
        }                                                                                          \
    }

/* standard: boot 60000, graceful 30000, quick 2000, quick_kill 3000, kill 5000, min_ready 500 */
static const struct cell cells[] = {
    CELL("empty starts", SERVE, EMPTY, -1, 0, START, 0, STARTING, -1, 0, 0, true),
    CELL("empty has nothing to drain", SERVE, EMPTY, -1, 0, DRAIN, 0, EMPTY, -1, 0, 0, false),
    CELL("empty has nothing to move", SERVE, EMPTY, -1, 0, MOVE, 0, EMPTY, -1, 0, 0, false),
    CELL("back-off starts", SERVE, BACKOFF, -1, 0, START, 0, STARTING, -1, 0, 0, true),
    CELL("back-off is given up", SERVE, BACKOFF, -1, 0, DRAIN, 0, EMPTY, -1, 0, 0, false),
    CELL("back-off is given up quickly", SERVE, BACKOFF, -1, 0, QUIT, 0, EMPTY, -1, 0, 0, false),
    CELL("back-off is given up: others go on", SERVE, BACKOFF, -1, 0, MOVE, 0, EMPTY, -1, 0, 0,
         false),
    CELL("fork failed", SERVE, STARTING, -1, 0, SPAWN_FAILED, 11, BACKOFF, -1, 0, 0, false),
    CELL("boots, ready", SERVE, STARTING, -1, 0, READY, 0, READY, 500, 0, 0, false),
    CELL("boots, dies", SERVE, STARTING, -1, 0, EXITED, 256, BACKOFF, -1, 0, 0, false),
    CELL("boots too long", SERVE, STARTING, -1, 0, DUE, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("boots, drain: short", SERVE, STARTING, -1, 0, DRAIN, 0, DRAINING, 2000, 0, MESSAGE_DRAIN,
         false),
    CELL("boots, quit: killed", SERVE, STARTING, -1, 0, QUIT, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("boots, move: short", SERVE, STARTING, -1, 0, MOVE, 0, DRAINING, 2000, 0, MESSAGE_MOVE,
         false),
    CELL("candidate cannot be forked: not tried again", SERVE, STARTING, -1, CANDIDATE,
         SPAWN_FAILED, 11, EMPTY, -1, 0, 0, false),
    CELL("candidate dies: not tried again", SERVE, STARTING, -1, CANDIDATE, EXITED, 256, EMPTY, -1,
         0, 0, false),
    CELL("ready, twice", SERVE, READY, 10, 0, READY, 0, READY, -1, 0, 0, false),
    CELL("ready, outlives min_ready", SERVE, READY, 500, 0, DUE, 0, READY, -1, 0, 0, false),
    CELL("ready, dies", SERVE, READY, 10000, 0, EXITED, SIGSEGV, BACKOFF, -1, 0, 0, false),
    CELL("ready, drain", SERVE, READY, 10000, 0, DRAIN, 0, DRAINING, 30000, 0, MESSAGE_DRAIN,
         false),
    CELL("ready, quit", SERVE, READY, 10000, 0, QUIT, 0, DRAINING, 3000, 0, MESSAGE_QUIT, false),
    CELL("ready, move", SERVE, READY, 10000, 0, MOVE, 0, DRAINING, 30000, 0, MESSAGE_MOVE, false),
    CELL("ready, hangs", SERVE, READY, 10000, 0, ABORT, 0, KILLED, 5000, SIGABRT, 0, false),
    CELL("drains, late ready", SERVE, DRAINING, -1, 0, READY, 0, DRAINING, 30000, 0, 0, false),
    CELL("drains, leaves", SERVE, DRAINING, 10, 0, EXITED, 0, EMPTY, -1, 0, 0, false),
    CELL("drains too long: cut", SERVE, DRAINING, 10, 0, DUE, 0, DRAINING, 5000, 0, MESSAGE_QUIT,
         false),
    CELL("cuts too long: killed", SERVE, DRAINING, 10, CUTS, DUE, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("drains unready too long: killed", SERVE, DRAINING, -1, 0, DUE, 0, KILLED, -1, SIGKILL, 0,
         false),
    CELL("drains, quit", SERVE, DRAINING, 10, 0, QUIT, 0, DRAINING, 3000, 0, MESSAGE_QUIT, false),
    CELL("drains unready, quit: killed", SERVE, DRAINING, -1, 0, QUIT, 0, KILLED, -1, SIGKILL, 0,
         false),
    CELL("moves, drain: nobody goes on", SERVE, DRAINING, 10000, MOVES, DRAIN, 0, DRAINING, -1, 0,
         MESSAGE_DRAIN, false),
    CELL("moves and cuts, drain: it knows more", SERVE, DRAINING, 10000, CUTS | MOVES, DRAIN, 0,
         DRAINING, -1, 0, 0, false),
    CELL("drains, move: it leaves anyway", SERVE, DRAINING, 10000, 0, MOVE, 0, DRAINING, -1, 0, 0,
         false),
    CELL("killed, late ready", SERVE, KILLED, -1, 0, READY, 0, KILLED, -1, 0, 0, false),
    CELL("killed, quit", SERVE, KILLED, 10, 0, QUIT, 0, KILLED, -1, 0, 0, false),
    CELL("killed, gone", SERVE, KILLED, 10, 0, EXITED, SIGKILL, EMPTY, -1, 0, 0, false),
    CELL("killed, move", SERVE, KILLED, 10000, 0, MOVE, 0, KILLED, -1, 0, 0, false),
    CELL("aborted, does not die: killed", SERVE, KILLED, 10000, 0, DUE, 0, KILLED, -1, SIGKILL, 0,
         false),
    CELL("candidate killed, gone", SERVE, KILLED, -1, CANDIDATE, EXITED, SIGKILL, EMPTY, -1, 0, 0,
         false),
    CELL("check too long: TERM", CHECK, STARTING, -1, 0, DUE, 0, DRAINING, 5000, SIGTERM, 0, false),
    CELL("check done", CHECK, STARTING, -1, 0, EXITED, 0, EMPTY, -1, 0, 0, false),
    CELL("check cannot be forked", CHECK, STARTING, -1, 0, SPAWN_FAILED, 11, EMPTY, -1, 0, 0,
         false),
    CELL("a job is never ready", CHECK, STARTING, -1, 0, READY, 0, STARTING, -1, 0, 0, false),
    CELL("a job cuts nothing", CHECKPOINT, DRAINING, -1, 0, CUT, 0, DRAINING, -1, 0, 0, false),
    CELL("a killed job is not ready", CHECK, KILLED, -1, 0, READY, 0, KILLED, -1, 0, 0, false),
    CELL("job done", MIGRATE, STARTING, -1, 0, EXITED, 0, EMPTY, -1, 0, 0, false),
    CELL("job drained: TERM", MIGRATE, STARTING, -1, 0, DRAIN, 0, DRAINING, 5000, SIGTERM, 0,
         false),
    CELL("job quit: KILL", MIGRATE, STARTING, -1, 0, QUIT, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("checkpoint too long", CHECKPOINT, STARTING, -1, 0, DUE, 0, DRAINING, 5000, SIGTERM, 0,
         false),
    CELL("job ignores TERM", CHECKPOINT, DRAINING, -1, 0, DUE, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("job drains, quit", MIGRATE, DRAINING, -1, 0, QUIT, 0, KILLED, -1, SIGKILL, 0, false),
    CELL("job leaves", MIGRATE, DRAINING, -1, 0, EXITED, SIGTERM, EMPTY, -1, 0, 0, false),
    CELL("job killed, gone", MIGRATE, KILLED, -1, 0, EXITED, SIGKILL, EMPTY, -1, 0, 0, false),
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
    slot->told_to_cut = c->flags & CUTS;
    slot->moving = c->flags & MOVES;
    slot->candidate = c->flags & CANDIDATE;
    slot->deaths = slot->fork_failures = slot->alike = 3;
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
    if (slot->state == SLOT_EMPTY && c->role == ROLE_SERVE && c->state != SLOT_EMPTY)
        assert_int_equal(slot->deaths + slot->fork_failures + slot->alike, 0);
    assert_false(slot->candidate && slot->state == SLOT_EMPTY);
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
    } cases[] = {{ROLE_SERVE, NOW_MS + 60000},
                 {ROLE_MIGRATE, INT64_MAX},
                 {ROLE_CHECKPOINT, NOW_MS + 20000},
                 {ROLE_CHECK, NOW_MS + 10000}};
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
        s->phase = SUP_PHASE_STOPPING;
        slot_step(&t, SLOT_EVENT_CUT);
        slot_step(&t, SLOT_EVENT_EXITED);
        assert_int_equal(s->cut, cases[i].want);
        supervisor_free(s);
    }
}

/* What a reload cut does not change the exit code of a stop that comes later. */
static void test_cut_before_the_stop(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(1);
    struct supervisor *s = supervisor_new(&settings);
    struct cell c = {.role = ROLE_SERVE, .state = SLOT_DRAINING, .ready_ago_ms = 100};
    struct sup_event event = {.slot = 0, .pid = PID, .value = 3, .status = 5 << 8};
    struct slot_step t = {
        .s = s, .slot = &s->slots[0], .now = {NOW_MS}, .event = &event, .out = &out};
    place(&s->slots[0], &c);
    out.len = 0;
    s->phase = SUP_PHASE_SERVING;
    slot_step(&t, SLOT_EVENT_CUT);
    slot_step(&t, SLOT_EVENT_EXITED);
    assert_false(s->cut);
    assert_int_equal(find(SUP_LOG)->value, 3);
    supervisor_free(s);
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
        cmocka_unit_test(test_cut_before_the_stop),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
