/* test_supervisor.c: whole stories, told step by step: at each time an event, then exactly the
 * actions that must follow. All possible stories of few slots are in test_explore*.c. */
#include "supervisor_story.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Standard times, but no jitter: back-off 0, 100, 200, 400 … ms. */
static const struct story stories[] = {
    STORY("start, serve, stop", 2, true, {0, START, -1, 0, "migrate:5", -1},
          {10, DIES, 5, 0, "spawn:0 spawn:1", 0}, {20, READY, 0, 0, "", 500},
          {30, READY, 1, 0, "ALL_READY", 490}, {520, TICK, -1, 0, "", 10},
          {530, TICK, -1, 0, "", -1},
          {9000, STOP, -1, 0, "STOP stopping refuse drain:0 drain:1", 30000},
          {9100, DIES, 0, 0, "LEFT", 29900}, {9200, DIES, 1, 0, "LEFT shut checkpoint:5", 20000},
          {9300, DIES, 5, 0, "exit:0", -1}),
    STORY("migration fails: its code is ours", 2, true, {0, START, -1, 0, "migrate:5", 0},
          {10, DIES, 5, EXIT(6), "MIGRATION_FAILED shut exit:6", -1}),
    STORY("migration crashes", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {10, DIES, 3, SIGSEGV, "MIGRATION_FAILED shut exit:70", -1}),
    STORY("migration cannot be forked", 1, true, {0, FORKS_FAIL, -1, SIM_ALL_FORKS, "", 0},
          {0, START, -1, 0, "migrate:3 JOB_SPAWN_FAILED MIGRATION_FAILED shut exit:70", -1}),
    STORY("stop in the middle of a migration", 2, true, {0, START, -1, 0, "migrate:5", 0},
          {10, STOP, -1, 0, "STOP stopping refuse term:5", 5000},
          {20, DIES, 5, SIGTERM, "shut exit:0", -1}),
    STORY("stop a migration that does not listen", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {10, INT, -1, 0, "STOP stopping refuse term:3", 0},
          {5010, TICK, -1, 0, "KILL kill:3", -1}, {5020, DIES, 3, SIGKILL, "shut exit:0", -1}),
    STORY("quick stop of a migration", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {10, QUIT, -1, 0, "STOP_QUICK stopping refuse kill:3", -1},
          {20, DIES, 3, SIGKILL, "shut exit:0", -1}),
    STORY("stop while workers boot", 2, true, {0, START, -1, 0, "migrate:5", 0},
          {1, DIES, 5, 0, "spawn:0 spawn:1", 0}, {10, READY, 0, 0, "", 0},
          {20, STOP, -1, 0, "STOP stopping refuse drain:0 drain:1", 2000},
          {30, DIES, 0, 0, "LEFT", 0}, {2020, TICK, -1, 0, "KILL kill:1", -1},
          {2030, DIES, 1, SIGKILL, "LEFT shut checkpoint:5", 0}, {2040, DIES, 5, 0, "exit:0", -1}),
    STORY("stop crosses a READY: its clients get their time", 1, false,
          {0, START, -1, 0, "spawn:0", 0}, {20, STOP, -1, 0, "STOP stopping refuse drain:0", 2000},
          {21, READY, 0, 0, "", 29999}, {5000, DIES, 0, 0, "LEFT shut exit:0", -1}),
    STORY("stop while a slot backs off", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, DIES, 0, EXIT(1), "DIED(0,0,x1) spawn:0", 0},
          {20, DIES, 0, EXIT(1), "DIED(0,100,x2)", 100},
          {30, STOP, -1, 0, "STOP stopping refuse shut exit:0", -1}),
    STORY("a worker that does not drain", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {0, DIES, 3, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},
          {1000, STOP, -1, 0, "STOP stopping refuse drain:0", 30000},
          {31000, TICK, -1, 0, "GRACE_OVER quit:0", 5000}, {36000, TICK, -1, 0, "KILL kill:0", -1},
          {36001, DIES, 0, SIGKILL, "LEFT shut checkpoint:3", 0},
          {36002, DIES, 3, 0, "exit:5", -1}),
    STORY("a worker that had to cut", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {1000, STOP, -1, 0, "STOP stopping refuse drain:0", 0},
          {2000, CUT, 0, 3, "", 0}, {2001, DIES, 0, EXIT(5), "LEFT shut exit:5", -1}),
    STORY("two INT within five seconds", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {0, DIES, 3, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},
          {1000, INT, -1, 0, "STOP stopping refuse drain:0", 30000},
          {6000, INT, -1, 0, "STOP_QUICK quit:0", 3000}, {6001, INT, -1, 0, "", 2999},
          {6002, DIES, 0, 0, "LEFT shut exit:0", -1}),
    STORY("two INT far apart, TERM between", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {1000, INT, -1, 0, "STOP stopping refuse drain:0", 0},
          {3000, STOP, -1, 0, "", 0}, {6001, INT, -1, 0, "", 0},
          {6002, DIES, 0, 0, "LEFT shut exit:0", -1}),
    STORY("TERM, then one INT: still graceful", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {1000, STOP, -1, 0, "STOP stopping refuse drain:0", 0},
          {1001, INT, -1, 0, "", 0}, {1002, DIES, 0, 0, "LEFT shut exit:0", -1}),
    STORY("quick stop", 2, true, {0, START, -1, 0, "migrate:5", 0},
          {0, DIES, 5, 0, "spawn:0 spawn:1", 0}, {10, READY, 0, 0, "", 0},
          {1000, QUIT, -1, 0, "STOP_QUICK stopping refuse quit:0 kill:1", 3000},
          {1001, DIES, 1, SIGKILL, "LEFT", 0}, {4000, TICK, -1, 0, "KILL kill:0", -1},
          {4001, DIES, 0, SIGKILL, "LEFT shut exit:5", -1}),
    STORY("a quick stop prolongs nothing", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0},
          {1000, STOP, -1, 0, "STOP stopping refuse drain:0", 30000},
          {31000, TICK, -1, 0, "GRACE_OVER quit:0", 5000},
          {35000, QUIT, -1, 0, "STOP_QUICK quit:0", 1000}, {36000, TICK, -1, 0, "KILL kill:0", -1},
          {36001, DIES, 0, SIGKILL, "LEFT shut exit:5", -1}),
    STORY("quick stop of the checkpoint", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {0, DIES, 3, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},
          {1000, STOP, -1, 0, "STOP stopping refuse drain:0", 0},
          {1001, DIES, 0, 0, "LEFT shut checkpoint:3", 0}, {1002, STOP, -1, 0, "", 0},
          {1003, QUIT, -1, 0, "STOP_QUICK kill:3", -1},
          {1004, DIES, 3, SIGKILL, "CHECKPOINT_FAILED exit:0", -1}),
    STORY("a checkpoint that hangs", 1, true, {0, START, -1, 0, "migrate:3", 0},
          {0, DIES, 3, 0, "spawn:0", 0}, {10, STOP, -1, 0, "STOP stopping refuse drain:0", 0},
          {20, DIES, 0, 0, "LEFT shut checkpoint:3", 20000}, {20020, TICK, -1, 0, "term:3", 5000},
          {25020, TICK, -1, 0, "KILL kill:3", -1},
          {25021, DIES, 3, SIGKILL, "CHECKPOINT_FAILED exit:0", -1}),
    STORY("five boot failures", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, DIES, 0, EXIT(70), "DIED(0,0,x1) spawn:0", 0},
          {20, DIES, 0, EXIT(70), "DIED(0,100,x2)", 100}, {120, TICK, -1, 0, "spawn:0", 0},
          {130, DIES, 0, EXIT(70), "", 200}, /* counted, not repeated */
          {330, TICK, -1, 0, "spawn:0", 0}, {340, DIES, 0, EXIT(70), "DIED(0,400,x4)", 400},
          {740, TICK, -1, 0, "spawn:0", 0},
          {750, DIES, 0, EXIT(70), "BOOT_FAILURES stopping refuse shut exit:3", -1}),
    STORY("five boot failures of several slots", 3, false,
          {0, START, -1, 0, "spawn:0 spawn:1 spawn:2", 0},
          {10, DIES, 0, EXIT(70), "DIED(0,0,x1) spawn:0", 0},
          {11, DIES, 1, EXIT(70), "DIED(1,0,x1) spawn:1", 0},
          {12, DIES, 2, EXIT(70), "DIED(2,0,x1) spawn:2", 0},
          {13, DIES, 0, EXIT(70), "DIED(0,100,x2)", 100},
          {14, DIES, 1, EXIT(70),
           "DIED(1,100,x2) ONE_AT_A_TIME BOOT_FAILURES stopping refuse kill:2", -1},
          {15, DIES, 2, SIGKILL, "LEFT shut exit:3", -1}),
    STORY("five boot failures of one slot while another is READY", 3, false,
          {0, START, -1, 0, "spawn:0 spawn:1 spawn:2", 0},
          {10, DIES, 0, EXIT(70), "DIED(0,0,x1) spawn:0", 0},
          {20, DIES, 0, EXIT(70), "DIED(0,100,x2)", 100}, {120, TICK, -1, 0, "spawn:0", 0},
          {130, DIES, 0, EXIT(70), "", 200}, {330, TICK, -1, 0, "spawn:0", 0},
          {340, DIES, 0, EXIT(70), "DIED(0,400,x4)", 400}, {740, TICK, -1, 0, "spawn:0", 0},
          {745, READY, 1, 0, "", 0}, {750, DIES, 0, EXIT(70), "", 495}, /* it goes on */
          {1245, TICK, -1, 0, "", 305}, {1550, TICK, -1, 0, "spawn:0", 0}),
    STORY("a death within min_ready is a boot failure", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {509, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0},
          {510, DIES, 0, SIGSEGV, "DIED(0,100,x2)", 0}, {610, TICK, -1, 0, "spawn:0", 0},
          {611, DIES, 0, SIGSEGV, "", 0}, {811, TICK, -1, 0, "spawn:0", 0},
          {812, DIES, 0, SIGSEGV, "DIED(0,400,x4)", 0}, {1212, TICK, -1, 0, "spawn:0", 0},
          {1213, READY, 0, 0, "", 0},
          {1300, DIES, 0, SIGABRT, "DIED(0,800,x1) BOOT_FAILURES stopping refuse shut exit:3", -1}),
    STORY("nobody ready in time", 2, false, {0, START, -1, 0, "spawn:0 spawn:1", 60000},
          {60000, TICK, -1, 0,
           "BOOT_TIMEOUT kill:0 BOOT_TIMEOUT kill:1 NEVER_READY stopping refuse", -1},
          {60001, DIES, 0, SIGKILL, "LEFT", 0}, {60002, DIES, 1, SIGKILL, "LEFT shut exit:3", -1}),
    STORY("one hangs at boot, the other serves", 2, false, {0, START, -1, 0, "spawn:0 spawn:1", 0},
          {10, READY, 0, 0, "", 0}, {510, TICK, -1, 0, "", 59490},
          {60000, TICK, -1, 0, "BOOT_TIMEOUT kill:1", -1},
          {60001, DIES, 1, SIGKILL, "DIED(1,0,x1) spawn:1", 60000},
          {60100, READY, 1, 0, "ALL_READY", 500}),
    STORY("configuration refused at first start", 2, true, {0, START, -1, 0, "migrate:5", 0},
          {0, DIES, 5, 0, "spawn:0 spawn:1", 0},
          {10, DIES, 0, EXIT(78), "DIED(0,-2,x1) CONFIG_REFUSED stopping refuse kill:1", -1},
          {11, DIES, 1, SIGKILL, "LEFT shut exit:78", -1}),
    STORY("why it ends counts more than what was cut", 2, false,
          {0, START, -1, 0, "spawn:0 spawn:1", 0}, {10, READY, 1, 0, "", 0},
          {20, DIES, 0, EXIT(78), "DIED(0,-2,x1) CONFIG_REFUSED stopping refuse quit:1", 3000},
          {2000, DIES, 1, EXIT(5), "LEFT shut exit:78", -1}),
    STORY("configuration refused later: waits for a reload", 2, false,
          {0, START, -1, 0, "spawn:0 spawn:1", 0}, {10, READY, 0, 0, "", 0},
          {20, READY, 1, 0, "ALL_READY", 0}, {900, TICK, -1, 0, "", -1},
          {1000, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0},
          {1010, DIES, 0, EXIT(78), "DIED(0,-1,x1) ONE_AT_A_TIME", -1},
          {9999, TICK, -1, 0, "", -1}),
    STORY("nobody ready for two minutes, later", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {510, TICK, -1, 0, "", -1},
          {1000, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 60000},
          {61000, TICK, -1, 0, "BOOT_TIMEOUT kill:0", 60000},
          {121000, TICK, -1, 0, "NONE_READY stopping refuse", -1},
          {121001, DIES, 0, SIGKILL, "LEFT shut exit:3", -1}),
    STORY("SIGKILL from outside is a first death each time", 1, false,
          {0, START, -1, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},
          {510, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0}, {520, READY, 0, 0, "", 0},
          {1020, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0}, {1030, READY, 0, 0, "", 0},
          {1529, DIES, 0, SIGKILL, "DIED(0,100,x2)", 100}), /* within min_ready: not that */
    STORY("a stable minute clears the back-off", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 0, 0, "ALL_READY", 0}, {1000, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0},
          {1010, READY, 0, 0, "", 0}, {61009, DIES, 0, SIGSEGV, "DIED(0,100,x2)", 100},
          {61109, TICK, -1, 0, "spawn:0", 0}, {61110, READY, 0, 0, "", 0},
          {121110, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}),
    STORY("forks fail: even the first waits, and five of them are no reason to leave", 1, false,
          {0, FORKS_FAIL, -1, SIM_ALL_FORKS, "", 0},
          {0, START, -1, 0, "spawn:0 SPAWN_FAILED(0,100,x1)", 100},
          {100, TICK, -1, 0, "spawn:0 SPAWN_FAILED(0,200,x2)", 200},
          {1000, TICK, -1, 0, "spawn:0", 0},
          {2000, TICK, -1, 0, "spawn:0 SPAWN_FAILED(0,800,x4)", 0},
          {3000, TICK, -1, 0, "spawn:0", 0}, {4000, FORKS_FAIL, -1, 0, "", 0},
          {6000, TICK, -1, 0, "spawn:0", 0}, {6010, READY, 0, 0, "ALL_READY", 0}),
    STORY("one at a time until one is ready", 3, false,
          {0, START, -1, 0, "spawn:0 spawn:1 spawn:2", 0}, {10, READY, 0, 0, "", 0},
          {11, READY, 1, 0, "", 0}, {12, READY, 2, 0, "ALL_READY", 0}, {900, TICK, -1, 0, "", -1},
          {2000, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0},
          {2001, DIES, 1, SIGSEGV, "DIED(1,0,x1) spawn:1", 0},
          {2002, DIES, 0, SIGSEGV, "DIED(0,100,x2)", 100},
          {2003, DIES, 1, SIGSEGV, "DIED(1,100,x2) ONE_AT_A_TIME", 99},
          {2102, TICK, -1, 0, "spawn:0", 60000}, {2103, TICK, -1, 0, "", 59999}, /* 1 waits for 0 */
          {3000, READY, 0, 0, "spawn:1", 0},
          /* no longer: 2 need not wait for 1 */
          {3001, DIES, 2, SIGSEGV, "DIED(2,0,x1) spawn:2", 0}),
    STORY("reports of a foreign process or generation", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, READY, 2, 0, "", 0}, {10, DIES, 2, 0, "", 0}, {20, READY, 0, 0, "ALL_READY", 0},
          {30, READY, 0, 0, "", 0}),
};

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++)
        story_run(&stories[i]);
}

/* The bucket: twice the workers at once, then as many a second as there are workers. */
static void test_crash_storm_is_paced(void **state)
{
    (void)state;
    enum { WORKERS = 8, SECONDS = 20 };
    struct sup_settings settings = sup_settings_standard(WORKERS);
    settings.migrate = false;
    settings.boot_failures_max = 1000000;
    settings.backoff = (struct backoff_times){.first_ms = 1, .max_ms = 1};
    struct sim sim;
    sim_init(&sim, &settings);
    sim_start(&sim);
    pid_t first = sim.next_pid;
    for (int64_t ms = 0; ms < SECONDS * 1000; ms++) {
        sim.now = (mono_ms){SIM_EPOCH_MS + ms};
        sim_tick(&sim);
        for (int i = 0; i < WORKERS; i++)
            if (sim.s->slots[i].pid >
                0) { /* each is ready, so that none waits for another, and dies */
                if (sim.s->slots[i].state == SLOT_STARTING)
                    sim_ready(&sim, i);
                sim_exited(&sim, i, SIGKILL);
            }
        assert_null(sim.broken);
    }
    int forks = (int)(sim.next_pid - first) + WORKERS;
    assert_in_range(forks, 2 * WORKERS + WORKERS * (SECONDS - 1), 2 * WORKERS + WORKERS * SECONDS);
    sim_fini(&sim);
}

/* The wake-up is for the token, not for the back-off that is over earlier. */
static void test_empty_bucket_is_waited_for(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(1);
    settings.migrate = false;
    settings.backoff.jitter_percent = 0;
    struct sim sim;
    sim_init(&sim, &settings);
    sim_start(&sim);
    sim_exited(&sim, 0, SIGSEGV);
    assert_int_equal(sim.s->slots[0].state, SLOT_STARTING); /* the second of two tokens */
    sim_exited(&sim, 0, SIGSEGV);
    assert_int_equal(mono_diff_ms(sim.s->slots[0].retry_at, sim.now), 100);
    assert_int_equal(mono_diff_ms(sim.wake, sim.now), 1000);
    sim.now = sim.wake;
    sim_tick(&sim);
    assert_int_equal(sim.s->slots[0].state, SLOT_STARTING);
    assert_null(sim.broken);
    sim_fini(&sim);
}

static void test_late_and_foreign_are_counted(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(1);
    settings.migrate = false;
    struct sim sim;
    sim_init(&sim, &settings);
    sim_start(&sim);
    struct sup_event event = {.type = SUP_READY, .slot = 0, .generation = 1, .pid = 1};
    sim_step(&sim, &event);
    event.pid = sim.s->slots[0].pid;
    event.generation = 2;
    sim_step(&sim, &event);
    assert_int_equal(sim.s->foreign, 2);
    assert_int_equal(sim.s->slots[0].state, SLOT_STARTING);
    event.generation = 1;
    sim_step(&sim, &event);
    assert_int_equal(sim.s->slots[0].state, SLOT_READY);
    assert_int_equal(sim.s->late, 0);
    sim_step(&sim, &event);
    assert_int_equal(sim.s->late, 1);
    sim_fini(&sim);
}

static void test_shape(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(256);
    struct supervisor *s = supervisor_new(&settings);
    assert_int_equal(s->slots_len, 514);
    assert_int_equal(supervisor_job_slot(s), 513);
    assert_string_equal(sup_phase_name(SUP_PHASE_CHECKPOINTING), "checkpointing");
    assert_string_equal(sup_event_name(SUP_SPAWN_FAILED), "spawn failed");
    supervisor_free(s);
}

/* A step that touches all 256 workers fits its actions. */
static void test_largest_step(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(256);
    settings.migrate = false;
    struct sim sim;
    sim_init(&sim, &settings);
    sim_start(&sim);
    assert_int_equal(supervisor_count(sim.s, SLOT_STARTING), 256);
    sim.now = mono_add(sim.now, settings.boot_timeout_ms);
    sim_tick(&sim); /* all are killed, and the master gives up: two actions a slot */
    assert_int_equal(supervisor_count(sim.s, SLOT_KILLED), 256);
    for (int i = 0; i < 256; i++)
        sim_exited(&sim, i, SIGKILL);
    assert_null(sim.broken);
    assert_true(sim.exited);
    assert_int_equal(sim.code, EXIT_CODE_NO_WORKER);
    sim_fini(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_crash_storm_is_paced),
        cmocka_unit_test(test_empty_bucket_is_waited_for),
        cmocka_unit_test(test_late_and_foreign_are_counted),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_largest_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
