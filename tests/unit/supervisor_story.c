/* supervisor_story.c: see supervisor_story.h. */
#include "supervisor_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The world around; false for an event. */
static bool arrange(struct sim *sim, const struct line *l)
{
    if (l->what < FORKS_FAIL)
        return false;
    sim->text[0] = '\0';
    if (l->what == FORKS_FAIL)
        sim->forks_fail = (unsigned)l->arg;
    else if (l->what == FORKS_TAKE)
        sim->fork_ms = l->arg;
    else if (l->what == NEXT_WORKERS)
        sim->next.workers = (unsigned)l->arg;
    else if (l->what == ALL_WELL)
        sim->prepare_fails = sim->bind_fails = sim->exec_fails = false;
    sim->upgrade |= l->what == NEW_PROGRAM;
    sim->exec_fails |= l->what == EXEC_FAILS;
    sim->prepare_fails |= l->what == PREPARE_FAILS;
    sim->bind_fails |= l->what == BIND_FAILS;
    return true;
}

/* -1: no request. */
static int request_of(enum what what)
{
    static const int requests[NEXT_WORKERS + 1] = {[STOP] = SUP_REQUEST_STOP + 1,
                                                   [INT] = SUP_REQUEST_INTERRUPT + 1,
                                                   [QUIT] = SUP_REQUEST_QUIT + 1,
                                                   [RELOAD] = SUP_REQUEST_RELOAD + 1,
                                                   [SCALE] = SUP_REQUEST_SCALE + 1,
                                                   [SCALE_BY] = SUP_REQUEST_SCALE_BY + 1,
                                                   [SCALE_RESET] = SUP_REQUEST_SCALE_RESET + 1,
                                                   [RECYCLE] = SUP_REQUEST_RECYCLE + 1,
                                                   [RETRY] = SUP_REQUEST_RETRY + 1};
    return requests[what] - 1;
}

static void tell(struct sim *sim, const struct line *l)
{
    if (arrange(sim, l))
        return;
    if (request_of(l->what) >= 0)
        sim_request_for(sim, (enum sup_request)request_of(l->what), l->slot, l->arg);
    else if (l->what == START)
        sim_start(sim);
    else if (l->what == READY)
        sim_ready(sim, l->slot);
    else if (l->what == DIES)
        sim_exited(sim, l->slot, (int)l->arg);
    else if (l->what == CUT)
        sim_cut(sim, l->slot, l->arg);
    else if (l->what == HUNG || l->what == WORN)
        sim_report(sim, l->what == HUNG ? SUP_HUNG : SUP_WORN, l->slot, 0, 0);
    else
        sim_tick(sim);
}

static struct sup_settings settings_for(const struct story *story)
{
    struct sup_settings settings = sup_settings_standard(story->workers);
    settings.migrate = settings.checkpoint = story->jobs;
    settings.backoff.jitter_percent = 0;
    settings.forks_burst = settings.forks_per_s = 100; /* tests of their own follow */
    settings.workers_max = story->room;
    settings.stop_delay_ms = story->stop_delay_ms;
    return settings;
}

void story_run(const struct story *story)
{
    struct sup_settings settings = settings_for(story);
    struct sim sim;
    sim_init(&sim, &settings);
    print_message("%s\n", story->name);
    for (const struct line *l = story->lines; l->want; l++) {
        sim.now = (mono_ms){SIM_EPOCH_MS + l->at_ms};
        tell(&sim, l);
        if (sim.broken || strcmp(sim.text, l->want) != 0)
            print_message("  at %lld ms: %s\n", (long long)l->at_ms, sim.broken ? sim.broken : "");
        assert_string_equal(sim.text, l->want);
        assert_null(sim.broken);
        if (l->wake_in_ms > 0)
            assert_int_equal(mono_diff_ms(sim.wake, sim.now), l->wake_in_ms);
        if (l->wake_in_ms < 0)
            assert_int_equal(sim.wake.ms, MONO_NEVER.ms);
    }
    sim_fini(&sim);
}
