/* supervisor_sim.c: see supervisor_sim.h. */
#include "supervisor_sim.h"

#include "shared/check.h"
#include "supervisor_laws.h"

#include "master/state.h"
#include "shared/check.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sup_actions out;

static const char *const log_names[] = {
#define X(name) [SUP_LOG_##name] = #name,
    SUP_LOGS(X)
#undef X
};
static const char *const role_names[] = {[ROLE_SERVE] = "spawn",
                                         [ROLE_CHECK] = "check",
                                         [ROLE_MIGRATE] = "migrate",
                                         [ROLE_CHECKPOINT] = "checkpoint"};
static const char *const kind_names[] = {
    [SUP_KIND_RELOAD] = "reload", [SUP_KIND_RECYCLE] = "recycle", [SUP_KIND_HUNG] = "hung"};
static const char *const failure_names[] = {
    [SUP_FAILURE_NONE] = "ok",     [SUP_FAILURE_UNREADABLE] = "unreadable",
    [SUP_FAILURE_CHECK] = "check", [SUP_FAILURE_BIND] = "bind",
    [SUP_FAILURE_WORKER] = "lost", [SUP_FAILURE_STOP] = "stop",
    [SUP_FAILURE_EXEC] = "exec",   [SUP_FAILURE_PROGRAM] = "program"};

/* ---- text ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void add_text(struct sim *sim, const char *format, ...)
{
    size_t len = strlen(sim->text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(sim->text + len, sizeof sim->text - len, format, ap);
    va_end(ap);
}

static const char *message_word(enum message_type message)
{
    return message == MESSAGE_DRAIN ? "drain" : message == MESSAGE_MOVE ? "move" : message == MESSAGE_ACCEPT ? "accept" : "quit";
}

static const char *signal_word(int number)
{
    return number == SIGKILL ? "kill" : number == SIGABRT ? "abort" : "term";
}

static void show_log(struct sim *sim, const struct sup_action *a)
{
    add_text(sim, "%s", log_names[a->log]);
    if (a->log == SUP_LOG_DIED || a->log == SUP_LOG_SPAWN_FAILED)
        add_text(sim, "(%d,%lld,x%u)", a->slot, (long long)a->value, a->count);
    if (a->log == SUP_LOG_SCALED)
        add_text(sim, "(%lld)", (long long)a->value);
}

static void show_told(struct sim *sim, const struct sup_action *a)
{
    add_text(sim, "told:%s", kind_names[a->kind]);
    if (a->kind == SUP_KIND_RELOAD)
        add_text(sim, "%u", a->count);
    add_text(sim, ":%s", failure_names[a->failure]);
    if (a->lost >= 0)
        add_text(sim, "(%d)", a->lost);
}

static void show(struct sim *sim, const struct sup_action *a)
{
    if (sim->quiet)
        return;
    add_text(sim, "%s", sim->text[0] ? " " : "");
    switch (a->type) {
    case SUP_SPAWN:
        add_text(sim, "%s:%d", role_names[a->role], a->slot);
        return;
    case SUP_SIGNAL:
        add_text(sim, "%s:%d", signal_word(a->signal), a->slot);
        return;
    case SUP_NOTIFY:
        add_text(sim, "%s:%d", message_word(a->message), a->slot);
        return;
    case SUP_STOPPING:
        add_text(sim, "stopping");
        return;
    case SUP_REFUSE:
        add_text(sim, "refuse");
        return;
    case SUP_SHUT:
        add_text(sim, "shut");
        return;
    case SUP_PREPARE:
        add_text(sim, a->value ? "prepare-upgrade" : "prepare");
        return;
    case SUP_EXEC:
        add_text(sim, "exec");
        return;
    case SUP_RETURN:
        add_text(sim, "return:%s", failure_names[a->failure]);
        if (a->lost >= 0)
            add_text(sim, "(%d)", a->lost);
        return;
    case SUP_BIND:
        add_text(sim, "bind");
        return;
    case SUP_COMMIT:
        add_text(sim, "commit");
        return;
    case SUP_ROLLBACK:
        add_text(sim, "rollback");
        return;
    case SUP_TOLD:
        show_told(sim, a);
        return;
    case SUP_LOG:
        show_log(sim, a);
        return;
    case SUP_EXIT:
        add_text(sim, "exit:%d", (int)a->code);
        return;
    }
}

/* ---- stepping -------------------------------------------------------------------------------- */

struct answers {
    size_t len;
    struct sup_event items[SCOREBOARD_SLOTS_MAX + 2];
};

bool fate_next(struct fate *fate)
{
    fate->known = fate->asked;
    fate->asked = 0;
    while (fate->known > 0 && fate->taken[fate->known - 1] + 1 == fate->of[fate->known - 1])
        fate->known--;
    if (fate->known == 0)
        return false;
    fate->taken[fate->known - 1]++;
    return true;
}

/* 0 is what one hopes for. */
static unsigned choose(struct fate *fate, unsigned of)
{
    unsigned i = fate->asked++;
    ASSERT(i < FATE_MAX);
    if (i >= fate->known)
        fate->taken[i] = 0;
    fate->of[i] = (unsigned char)of;
    return fate->taken[i];
}

static struct sup_event fork_for(struct sim *sim, const struct sup_action *a, unsigned nth)
{
    struct sup_event event = {.slot = a->slot, .generation = a->generation};
    bool fails = sim->forks_fail == SIM_ALL_FORKS || (nth < 32 && (sim->forks_fail >> nth & 1));
    if (sim->fate)
        fails = choose(sim->fate, 2) != 0;
    event.type = fails ? SUP_SPAWN_FAILED : SUP_SPAWNED;
    event.status = fails ? EAGAIN : 0;
    event.pid = fails ? 0 : sim->next_pid++;
    return event;
}

static void choose_what_a_reload_finds(struct sim *sim)
{
    unsigned way = choose(sim->fate, sim->other_workers ? 3 : 2);
    sim->bind_fails = way == 1;
    sim->next.workers = way == 2 ? sim->other_workers : sim->workers;
}

static void answer(struct sim *sim, const struct sup_action *a, struct answers *answers)
{
    struct sup_event event = {.slot = -1};
    if (a->type == SUP_SPAWN) {
        event = fork_for(sim, a, sim->forks++);
    } else if (a->type == SUP_PREPARE) {
        if (sim->fate)
            sim->prepare_fails = choose(sim->fate, 2) != 0;
        event.type = SUP_PREPARED;
        event.status = sim->prepare_fails ? -1 : 0;
        event.value = sim->upgrade || a->value;
    } else if (a->type == SUP_BIND) {
        if (sim->fate)
            choose_what_a_reload_finds(sim);
        event.type = SUP_BOUND;
        event.status = sim->bind_fails ? -1 : 0;
        event.settings = sim->bind_fails ? NULL : &sim->next;
    } else {
        return;
    }
    answers->items[answers->len++] = event;
}

static uint64_t deed(const struct sup_action *a)
{
    if (a->type == SUP_LOG)
        return 0;
    uint64_t h = (uint64_t)a->type + 1;
    const unsigned parts[] = {a->type == SUP_SPAWN ? a->role : 0, (unsigned)a->signal,
                              a->message, a->kind, a->failure, a->code != EXIT_CODE_CUT ? a->code : 0,
                              a->slot >= 0};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        h = (h ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static void step_once(struct sim *sim, const struct sup_event *event, struct answers *answers)
{
    laws_before(sim, event);
    supervisor_step(sim->s, sim->now, event, &out);
    sim->wake = out.wake;
    for (size_t i = 0; i < out.len; i++) {
        show(sim, &out.items[i]);
        sim->deeds += deed(&out.items[i]);
        laws_on_action(sim, &out.items[i]);
        answer(sim, &out.items[i], answers);
        if (out.items[i].type == SUP_TOLD)
            sim->told[out.items[i].kind][out.items[i].failure]++;
    }
    laws_after(sim);
}

static void step_with_answers(struct sim *sim, const struct sup_event *event)
{
    static struct answers answers;
    answers.len = 0;
    step_once(sim, event, &answers);
    for (size_t i = 0; i < answers.len && !sim->broken; i++) {
        if (answers.items[i].slot >= 0)
            sim->now = mono_add(sim->now, sim->fork_ms);
        step_once(sim, &answers.items[i], &answers);
        if (answers.len > SCOREBOARD_SLOTS_MAX && !sim->broken)
            sim->broken = "one step leads to endless forks";
    }
}

/* Another program takes over: all that it knows is what the bytes say. */
static void reincarnate(struct sim *sim)
{
    struct state then = {0}, now = {0};
    struct buf bytes = {0}, error = {0};
    state_add_master(&then)->slots_len = (int64_t)sim->s->slots_len;
    supervisor_save(sim->s, &then);
    state_encode(&then, &bytes);
    ASSERT(state_decode(buf_slice(&bytes), &now, &error));
    enum sup_step step = sim->s->transition.step;
    struct sup_settings settings = sim->s->settings;
    settings.workers = 1; /* it has a mind of its own about "auto" */
    struct supervisor *s = supervisor_restore(&settings, &now);
    ASSERT(s && s->slots_len == sim->s->slots_len);
    memcpy(sim->s, s, sizeof *s + s->slots_len * sizeof s->slots[0]);
    ASSERT(step == SUP_STEP_EXEC || step == SUP_STEP_RETURN);
    supervisor_free(s);
    state_free(&then);
    state_free(&now);
    buf_free(&bytes);
}

void sim_step(struct sim *sim, const struct sup_event *event)
{
    sim->forks = sim->execs = 0;
    sim->deeds = 0;
    sim->text[0] = '\0';
    step_with_answers(sim, event);
    enum sup_step step = sim->s->transition.step;
    while (!sim->broken && (step == SUP_STEP_EXEC || step == SUP_STEP_RETURN) && sim->execs < 3) {
        struct sup_event end = {.type = SUP_EXEC_FAILED, .slot = -1, .status = ENOEXEC};
        sim->execs++;
        if (sim->fate)
            sim->exec_fails = choose(sim->fate, 2) != 0;
        if (!sim->exec_fails)
            end.type = step == SUP_STEP_EXEC ? SUP_ADOPTED : SUP_RETURNED;
        if (!sim->exec_fails)
            reincarnate(sim);
        step_with_answers(sim, &end);
        step = sim->s->transition.step;
    }
    laws_at_rest(sim);
}

void sim_init(struct sim *sim, const struct sup_settings *settings)
{
    *sim = (struct sim){.s = supervisor_new(settings),
                        .now = {SIM_EPOCH_MS},
                        .next_pid = 100,
                        .next = *settings,
                        .workers = settings->workers,
                        .memory = {.generation = 1}};
}

void sim_fini(struct sim *sim)
{
    supervisor_free(sim->s);
    sim->s = NULL;
}

size_t sim_memory_size(const struct sim *sim)
{
    return offsetof(struct sim_memory, away) + sim->s->slots_len;
}

void sim_report(struct sim *sim, enum sup_event_type type, int slot, int status, int64_t value)
{
    sim_step(sim, &(struct sup_event){.type = type,
                                      .slot = slot,
                                      .generation = sim->s->slots[slot].generation,
                                      .pid = sim->s->slots[slot].pid,
                                      .status = status,
                                      .value = value});
}

void sim_start(struct sim *sim)
{
    sim_step(sim, &(struct sup_event){.type = SUP_START, .slot = -1});
}

void sim_ready(struct sim *sim, int slot)
{
    sim_report(sim, SUP_READY, slot, 0, 0);
}

void sim_cut(struct sim *sim, int slot, int64_t connections)
{
    sim_report(sim, SUP_CUT, slot, 0, connections);
}

void sim_exited(struct sim *sim, int slot, int status)
{
    sim_report(sim, SUP_EXITED, slot, status, 0);
}

void sim_request_for(struct sim *sim, enum sup_request request, int slot, int64_t value)
{
    sim_step(sim, &(struct sup_event){
                      .type = SUP_REQUEST, .slot = slot, .request = request, .value = value});
}

void sim_request(struct sim *sim, enum sup_request request)
{
    sim_request_for(sim, request, -1, 0);
}

void sim_tick(struct sim *sim)
{
    sim_step(sim, &(struct sup_event){.type = SUP_TICK, .slot = -1});
}
