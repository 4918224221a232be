/* test_transition.c: workers replaced by others: reloads, scaling, recycling, hung workers and
 * delayed stops, as stories. Every possible one of few slots is in test_explore*.c. */
#include "supervisor_story.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Two workers in slots 0 and 1, ready and past min_ready at 1000 ms; candidates come into 2 and 3;
 * a job into 5. */
#define SERVING_2                                                                                  \
    {0, START, -1, 0, "spawn:0 spawn:1", 0}, {10, READY, 0, 0, "", 0},                             \
        {10, READY, 1, 0, "ALL_READY", 0},                                                         \
    {                                                                                              \
        1000, TICK, -1, 0, "", -1                                                                  \
    }
/* One in slot 0; a candidate comes into 1, the job is in 3. */
#define SERVING_1                                                                                  \
    {0, START, -1, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},                            \
    {                                                                                              \
        1000, TICK, -1, 0, "", -1                                                                  \
    }

#define CHECK_BEGINS   "CHECKING prepare check:5"
#define CHECK_BEGINS_1 "CHECKING prepare check:3"
/* From the request to the two candidates that boot. */
#define RELOAD_2                                                                                   \
    {2000, RELOAD, -1, 0, CHECK_BEGINS, 10000},                                                    \
    {                                                                                              \
        2100, DIES, 5, 0, "bind spawn:2 spawn:3", 60000                                            \
    }
#define RELOAD_1                                                                                   \
    {2000, RELOAD, -1, 0, CHECK_BEGINS_1, 10000},                                                  \
    {                                                                                              \
        2100, DIES, 3, 0, "bind spawn:1", 60000                                                    \
    }

/* To the two candidates, which are another program's. */
#define UPGRADE_2                                                                                  \
    {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:5", 10000},                              \
    {                                                                                              \
        2100, DIES, 5, 0, "exec bind spawn:2 spawn:3", 60000                                       \
    }

static const struct story upgrades[] = {
    STORY("upgrade", 2, false, SERVING_2, UPGRADE_2, {2200, READY, 2, 0, "", 0},
          {2300, READY, 3, 0, "", 0}, {2800, TICK, -1, 0, "", 1500},
          {4300, TICK, -1, 0, "commit accept:2 accept:3 move:0 move:1", 30000}, {4400, DIES, 0, 0, "LEFT", 0},
          {4500, DIES, 1, 0, "LEFT told:reload1:ok", -1}),
    STORY("a reload finds another program", 2, false, SERVING_2, {1500, NEW_PROGRAM, -1, 0, "", 0},
          {2000, RELOAD, -1, 0, CHECK_BEGINS, 0},
          {2100, DIES, 5, 0, "exec bind spawn:2 spawn:3", 0}),
    STORY("the other program refuses", 2, false, SERVING_2,
          {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:5", 0},
          {2100, DIES, 5, EXIT(78), "rollback told:reload1:check", -1}),
    STORY("it cannot be executed", 2, false, SERVING_2, {1500, EXEC_FAILS, -1, 0, "", 0},
          {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:5", 0},
          {2100, DIES, 5, 0, "exec rollback told:reload1:exec", -1}),
    STORY("it cannot bind: back at once", 2, false, SERVING_2, {1500, BIND_FAILS, -1, 0, "", 0},
          {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:5", 0},
          {2100, DIES, 5, 0, "exec bind rollback return:bind told:reload1:program", -1}),
    STORY("its worker dies at boot: back when the other has left", 2, false, SERVING_2, UPGRADE_2,
          {2200, READY, 2, 0, "", 0},
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2", 30000},
          {2400, DIES, 2, 0, "LEFT return:lost(3) told:reload1:program", -1}),
    STORY("its worker dies while settling", 1, false, SERVING_1,
          {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:3", 0},
          {2100, DIES, 3, 0, "exec bind spawn:1", 0}, {2200, READY, 1, 0, "", 0},
          {3200, DIES, 1, SIGSEGV, "DIED(1,-2,x1) rollback return:lost(1) told:reload1:program",
           -1}),
    STORY("no way back: it stays", 2, false, SERVING_2, UPGRADE_2, {2200, READY, 2, 0, "", 0},
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2", 30000},
          {2350, EXEC_FAILS, -1, 0, "", 0},
          {2400, DIES, 2, 0, "LEFT return:lost(3) told:reload1:lost(3)", -1}),
    STORY("a stop while the new ones boot", 2, false, SERVING_2, UPGRADE_2,
          {2200, STOP, -1, 0,
           "STOP rollback told:reload1:stop stopping refuse drain:0 drain:1 drain:2 drain:3", 0}),
    STORY("a stop while they leave again", 2, false, SERVING_2, UPGRADE_2,
          {2200, READY, 2, 0, "", 0},
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2", 30000},
          {2400, STOP, -1, 0, "STOP told:reload1:stop stopping refuse drain:2 drain:0 drain:1", 0}),
    STORY("what was asked meanwhile is done by whoever is there then", 1, false, SERVING_1,
          {2000, RELOAD, -1, 0, CHECK_BEGINS_1, 0}, {2001, RELOAD, -1, 1, "", 0},
          {2002, RELOAD, -1, 0, "", 0},
          {2100, DIES, 3, EXIT(78),
           "rollback told:reload1:check CHECKING prepare-upgrade check:3", 0},
          {2200, DIES, 3, 0, "exec bind spawn:1", 0}, {2201, RELOAD, -1, 0, "", 0},
          {2300, DIES, 1, EXIT(1),
           "DIED(1,-2,x1) rollback return:lost(1) told:reload2:program " CHECK_BEGINS_1, 0}),
    STORY("an old one dies meanwhile: it is replaced", 1, false, SERVING_1,
          {2000, RELOAD, -1, 1, "CHECKING prepare-upgrade check:3", 0},
          {2100, DIES, 3, 0, "exec bind spawn:1", 0},
          {2200, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}, {2300, READY, 0, 0, "", 0},
          {2310, DIES, 1, EXIT(1), "DIED(1,-2,x1) rollback return:lost(1) told:reload1:program",
           0}),
};

static const struct story reloads[] = {
    STORY("reload", 2, false, SERVING_2, RELOAD_2, {2200, READY, 2, 0, "", 500},
          {2300, READY, 3, 0, "", 400}, {2700, TICK, -1, 0, "", 100}, {2800, TICK, -1, 0, "", 1500},
          {4299, TICK, -1, 0, "", 1}, /* settled for two seconds only then */
          {4300, TICK, -1, 0, "commit accept:2 accept:3 move:0 move:1", 30000}, {4400, DIES, 0, 0, "LEFT", 29900},
          {4500, DIES, 1, 0, "LEFT told:reload1:ok", -1}),
    STORY("what cannot be read", 2, false, SERVING_2, {1500, PREPARE_FAILS, -1, 0, "", 0},
          {2000, RELOAD, -1, 0, "CHECKING prepare rollback told:reload1:unreadable", -1}),
    STORY("what the check refuses", 2, false, SERVING_2, {2000, RELOAD, -1, 0, CHECK_BEGINS, 0},
          {2100, DIES, 5, EXIT(78), "rollback told:reload1:check", -1}),
    STORY("a check that hangs", 2, false, SERVING_2, {2000, RELOAD, -1, 0, CHECK_BEGINS, 10000},
          {12000, TICK, -1, 0, "term:5", 5000}, {17000, TICK, -1, 0, "KILL kill:5", -1},
          {17001, DIES, 5, SIGKILL, "rollback told:reload1:check", -1}),
    STORY("a check that cannot be forked", 2, false, SERVING_2,
          {1500, FORKS_FAIL, -1, SIM_ALL_FORKS, "", 0},
          {2000, RELOAD, -1, 0, CHECK_BEGINS " JOB_SPAWN_FAILED rollback told:reload1:check", -1}),
    STORY("what is new cannot be opened", 2, false, SERVING_2, {1500, BIND_FAILS, -1, 0, "", 0},
          {2000, RELOAD, -1, 0, CHECK_BEGINS, 0},
          {2100, DIES, 5, 0, "bind rollback told:reload1:bind", -1}),
    STORY("a candidate dies at boot", 2, false, SERVING_2, RELOAD_2, {2200, READY, 2, 0, "", 0},
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2 told:reload1:lost(3)", 30000},
          {2400, DIES, 2, 0, "LEFT", -1}),
    STORY("the other one still boots", 2, false, SERVING_2, RELOAD_2,
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2 told:reload1:lost(3)", 2000},
          {2301, READY, 2, 0, "", 29999}, /* it has clients by now, perhaps, and their time */
          {2400, DIES, 2, 0, "LEFT", -1}),
    STORY("a candidate hangs at boot", 1, false, SERVING_1, RELOAD_1,
          {62100, TICK, -1, 0, "BOOT_TIMEOUT kill:1", -1},
          {62200, DIES, 1, SIGKILL, "DIED(1,-2,x1) rollback told:reload1:lost(1)", -1}),
    STORY("a candidate dies while settling", 2, false, SERVING_2, RELOAD_2,
          {2200, READY, 2, 0, "", 0}, {2300, READY, 3, 0, "", 0}, {2900, TICK, -1, 0, "", 1400},
          {4299, DIES, 2, SIGSEGV, "DIED(2,-2,x1) rollback move:3 told:reload1:lost(2)", 30000},
          {4300, DIES, 3, 0, "LEFT", -1}),
    STORY("the first fork fails, the second works", 2, false, SERVING_2,
          {1500, FORKS_FAIL, -1, 2, "", 0}, /* the check is the first of that step's own */
          {2000, RELOAD, -1, 0, CHECK_BEGINS, 0}, {2050, FORKS_FAIL, -1, 1, "", 0},
          {2100, DIES, 5, 0,
           "bind spawn:2 spawn:3 SPAWN_FAILED(2,-2,x1) rollback move:3 told:reload1:lost(2)", 2000},
          {2200, DIES, 3, 0, "LEFT", -1}),
    STORY("an old one dies meanwhile: it is replaced as ever", 2, false, SERVING_2, RELOAD_2,
          {2200, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}, {2210, READY, 0, 0, "", 0},
          {2300, READY, 2, 0, "", 0}, {2300, READY, 3, 0, "", 0},
          {4300, TICK, -1, 0, "commit accept:2 accept:3 move:0 move:1", 0}, {4400, DIES, 0, 0, "LEFT", 0},
          {4400, DIES, 1, 0, "LEFT told:reload1:ok", -1}),
    STORY("after the commit the new ones are the workers", 1, false, SERVING_1, RELOAD_1,
          {2200, READY, 1, 0, "", 0}, {4200, TICK, -1, 0, "commit accept:1 move:0", 0},
          {4300, DIES, 1, SIGSEGV, "DIED(1,0,x1) spawn:1", 0},
          {4400, DIES, 0, 0, "LEFT told:reload1:ok", 0}, {4500, READY, 1, 0, "", -0}),
    STORY(
        "an old one that does not leave is cut, then killed", 1, false, SERVING_1, RELOAD_1,
        {2200, READY, 1, 0, "", 0}, {4200, TICK, -1, 0, "commit accept:1 move:0", 30000},
        {34200, TICK, -1, 0, "GRACE_OVER quit:0", 5000}, {39200, TICK, -1, 0, "KILL kill:0", -1},
        {39201, DIES, 0, SIGKILL, "LEFT told:reload1:ok", -1},
        {40000, STOP, -1, 0, "STOP stopping refuse drain:1", 0}, /* that was not the stop's doing */
        {40001, DIES, 1, 0, "LEFT shut exit:0", -1}),
    STORY("a storm of HUPs becomes one more", 1, false, SERVING_1, RELOAD_1,
          {2101, RELOAD, -1, 0, "", 0}, {2102, RELOAD, -1, 0, "", 0}, {2200, READY, 1, 0, "", 0},
          {2300, RELOAD, -1, 0, "", 0}, {4200, TICK, -1, 0, "commit accept:1 move:0", 0},
          {4250, RELOAD, -1, 0, "", 0},
          {4300, DIES, 0, 0, "LEFT told:reload1:ok " CHECK_BEGINS_1, 0},
          {4400, DIES, 3, EXIT(78), "rollback told:reload2:check", -1}),
    STORY("a HUP during a rollback", 1, false, SERVING_1, {2000, RELOAD, -1, 0, CHECK_BEGINS_1, 0},
          {2001, RELOAD, -1, 0, "", 0},
          {2100, DIES, 3, EXIT(78), "rollback told:reload1:check " CHECK_BEGINS_1, 0},
          {2200, DIES, 3, EXIT(78), "rollback told:reload2:check", -1}),
    STORY("the old ones die, the new ones are on trial: better they than nobody", 2, false, SERVING_2,
          RELOAD_2, {2200, READY, 2, 0, "", 0}, {2300, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0},
          {2301, DIES, 1, SIGSEGV, "DIED(1,0,x1) accept:2 spawn:1", 0},
          {2400, READY, 3, 0, "accept:3", 0}, {4400, TICK, -1, 0, "commit move:0 move:1", 0}),
    STORY("reload while the first start still fails", 1, false, {0, START, -1, 0, "spawn:0", 0},
          {10, DIES, 0, EXIT(1), "DIED(0,0,x1) spawn:0", 0},
          {20, DIES, 0, EXIT(1), "DIED(0,100,x2)", 100}, {30, RELOAD, -1, 0, CHECK_BEGINS_1, 90},
          {40, DIES, 3, 0, "bind spawn:1", 80}, {120, TICK, -1, 0, "spawn:0", 0},
          {130, DIES, 0, EXIT(1), "", 200}, {140, READY, 1, 0, "ALL_READY accept:1", 190},
          {330, TICK, -1, 0, "spawn:0", 0}, {340, DIES, 0, EXIT(1), "DIED(0,400,x4)", 0},
          {740, TICK, -1, 0, "spawn:0", 0}, {2140, TICK, -1, 0, "commit move:0", 2000},
          {2200, DIES, 0, EXIT(1), "LEFT told:reload1:ok", -1}),
    STORY("reload during the migration: once the workers start", 1, true,
          {0, START, -1, 0, "migrate:3", 0}, {10, RELOAD, -1, 0, "", -1},
          {20, DIES, 3, 0, "CHECKING prepare spawn:0 check:3", 0}),
    STORY("workers that refuse their configuration wait for this", 2, false, SERVING_2,
          {1500, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0},
          {1600, DIES, 0, EXIT(78), "DIED(0,-1,x1) ONE_AT_A_TIME", -1}, RELOAD_2,
          {2200, READY, 2, 0, "", 0}, {2200, READY, 3, 0, "", 0},
          {4200, TICK, -1, 0, "commit accept:2 accept:3 move:1", 30000},
          {4300, DIES, 1, 0, "LEFT told:reload1:ok", -1},
          /* and nothing is held against those who come into the same slots */
          {5000, RECYCLE, 2, 0, "spawn:0", 0}, {5010, READY, 0, 0, "accept:0 move:2", 0},
          {5020, DIES, 2, 0, "LEFT told:recycle:ok", 0},
          {5030, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}),
    STORY("the master gives up in the middle", 1, false, SERVING_1,
          {1900, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0},
          {1910, DIES, 0, EXIT(78), "DIED(0,-1,x1)", 119990},
          {2000, RELOAD, -1, 0, CHECK_BEGINS_1, 0}, {2100, DIES, 3, 0, "bind spawn:1", 60000},
          {62100, TICK, -1, 0, "BOOT_TIMEOUT kill:1", 59800},
          {121900, TICK, -1, 0, "NONE_READY rollback told:reload1:stop stopping refuse", -1},
          {121901, DIES, 1, SIGKILL, "LEFT shut exit:3", -1}),
};

static const struct story stops[] = {
    STORY("TERM during the check", 2, false, SERVING_2, {2000, RELOAD, -1, 0, CHECK_BEGINS, 0},
          {2050, RELOAD, -1, 0, "", 0},
          {2100, STOP, -1, 0,
           "STOP rollback told:reload1:stop stopping refuse drain:0 drain:1 term:5", 5000},
          {2200, DIES, 5, SIGTERM, "", 0}, {2200, DIES, 0, 0, "LEFT", 0},
          {2200, DIES, 1, 0, "LEFT shut exit:0", -1}),
    STORY("TERM while candidates boot", 2, false, SERVING_2, RELOAD_2,
          {2200, STOP, -1, 0,
           "STOP rollback told:reload1:stop stopping refuse drain:0 drain:1 drain:2 drain:3", 2000},
          {2300, RELOAD, -1, 0, "REQUEST_REFUSED", 0}, {2301, SCALE, -1, 2, "REQUEST_REFUSED", 0}),
    STORY("TERM while settling", 2, false, SERVING_2, RELOAD_2, {2200, READY, 2, 0, "", 0},
          {2200, READY, 3, 0, "", 0},
          {3000, STOP, -1, 0,
           "STOP rollback told:reload1:stop stopping refuse drain:0 drain:1 drain:2 drain:3",
           30000}),
    STORY("TERM after the commit: the reload was one", 1, false, SERVING_1, RELOAD_1,
          {2200, READY, 1, 0, "", 0}, {4200, TICK, -1, 0, "commit accept:1 move:0", 0},
          {4300, STOP, -1, 0, "STOP told:reload1:ok stopping refuse drain:0 drain:1", 29900},
          {4400, DIES, 0, 0, "LEFT", 0}, {4400, DIES, 1, 0, "LEFT shut exit:0", -1}),
    STORY("TERM after a rollback: told once; who hands over hears it first", 2, false, SERVING_2, RELOAD_2,
          {2300, DIES, 3, EXIT(1), "DIED(3,-2,x1) rollback move:2 told:reload1:lost(3)", 0},
          {2400, STOP, -1, 0, "STOP stopping refuse drain:2 drain:0 drain:1", 1900}),
    STORY("QUIT while candidates boot", 1, false, SERVING_1, RELOAD_1,
          {2200, QUIT, -1, 0, "STOP_QUICK rollback told:reload1:stop stopping refuse quit:0 kill:1",
           3000}),
    STORY("TERM while one is recycled", 1, false, SERVING_1, {2000, WORN, 0, 0, "spawn:1", 0},
          {2100, INT, -1, 0, "STOP told:recycle:stop stopping refuse drain:0 drain:1", 2000}),
    STORY_WITH("a delayed stop", 1, 0, 5000, SERVING_1,
               {2000, STOP, -1, 0, "stopping STOP_DELAY", 5000},
               {3000, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 4000}, /* all goes on */
               {3100, READY, 0, 0, "", 500}, {3200, RELOAD, -1, 0, "REQUEST_REFUSED", 0},
               {3300, STOP, -1, 0, "", 0}, {3700, TICK, -1, 0, "", 3300},
               {7000, TICK, -1, 0, "STOP stopping refuse drain:0", 30000},
               {7100, DIES, 0, 0, "LEFT shut exit:0", -1}),
    STORY_WITH("a delayed stop, and an impatient one", 1, 0, 5000, SERVING_1,
               {2000, INT, -1, 0, "stopping STOP_DELAY", 5000},
               {3000, INT, -1, 0, "STOP_QUICK stopping refuse quit:0", 3000}),
    STORY_WITH("a delayed stop: the candidates leave at once", 1, 0, 5000, SERVING_1, RELOAD_1,
               {2200, READY, 1, 0, "", 0},
               {3000, STOP, -1, 0, "rollback told:reload1:stop move:1 stopping STOP_DELAY", 5000},
               {3100, DIES, 1, 0, "LEFT", 4900},
               {8000, TICK, -1, 0, "STOP stopping refuse drain:0", 0}),
    {"nobody is served yet: no delay", 1, true,
     STORY_LINES({0, START, -1, 0, "migrate:3", 0},
                 {10, STOP, -1, 0, "STOP stopping refuse term:3", 5000},
                 {20, DIES, 3, SIGTERM, "shut exit:0", -1}),
     0, 5000},
    STORY_WITH("a delayed stop of a server that fails anyway", 1, 0, 500000, SERVING_1,
               {2000, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0},
               {2010, DIES, 0, EXIT(78), "DIED(0,-1,x1)", 119990},
               {3000, STOP, -1, 0, "stopping STOP_DELAY", 119000},
               {122000, TICK, -1, 0, "NONE_READY stopping refuse shut exit:3", -1}),
    STORY_WITH("the end of the delay comes between two forks", 2, 0, 1000, SERVING_2,
               {2000, STOP, -1, 0, "stopping STOP_DELAY", 1000},
               {2000, FORKS_FAIL, -1, SIM_ALL_FORKS, "", 0},
               {2100, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0 SPAWN_FAILED(0,100,x1)", 100},
               {2150, DIES, 1, SIGKILL, "DIED(1,0,x1) spawn:1 SPAWN_FAILED(1,100,x1)", 50},
               {2300, FORKS_FAIL, -1, 0, "", 0}, {2300, FORKS_TAKE, -1, 400, "", 0},
               {2300, TICK, -1, 0, "spawn:0 spawn:1 STOP stopping refuse drain:0 drain:1", 0}),
};

static const struct story scaling[] = {
    STORY_WITH("more, then less: the youngest leaves", 1, 3, 0, {0, START, -1, 0, "spawn:0", 0},
               {10, READY, 0, 0, "ALL_READY", 0}, {1000, TICK, -1, 0, "", -1},
               {2000, SCALE_BY, -1, 1, "SCALED(2) spawn:1", 0}, {2010, READY, 1, 0, "", 0},
               {3000, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0}, {3010, READY, 0, 0, "", 0},
               {4000, SCALE_BY, -1, -1, "SCALED(1) move:0", 30000}, {4001, DIES, 0, 0, "LEFT", -1},
               {4002, SCALE_BY, -1, -1, "SCALED(1)", -1}, /* at least one */
               {4003, SCALE_BY, -1, 9, "SCALED(3) spawn:0 spawn:2", 0}),
    STORY_WITH("who is not yet made goes before who serves", 1, 3, 0,
               {0, START, -1, 0, "spawn:0", 0}, {10, READY, 0, 0, "ALL_READY", 0},
               {2000, SCALE, -1, 2, "SCALED(2) spawn:1", 0},
               {2010, DIES, 1, EXIT(1), "DIED(1,0,x1) spawn:1", 0},
               {2020, DIES, 1, EXIT(1), "DIED(1,100,x2) ONE_AT_A_TIME", 0},
               {2025, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0}, {2030, READY, 0, 0, "", 0},
               {2040, SCALE, -1, 1, "SCALED(1)", 490}, {3000, TICK, -1, 0, "", -1}),
    STORY_WITH("scaling during a reload comes afterwards", 1, 3, 0, {0, START, -1, 0, "spawn:0", 0},
               {10, READY, 0, 0, "ALL_READY", 0},
               {2000, RELOAD, -1, 0, "CHECKING prepare check:7", 0},
               {2001, SCALE_BY, -1, 1, "SCALED(2) spawn:1", 0}, /* no candidates yet: at once */
               {2002, READY, 1, 0, "", 0}, {2100, DIES, 7, 0, "bind spawn:2 spawn:3", 0},
               {2200, SCALE_BY, -1, 1, "SCALED(3)", 0}, {2300, READY, 2, 0, "", 0},
               {2300, READY, 3, 0, "", 0}, {4300, TICK, -1, 0, "commit accept:2 accept:3 move:0 move:1 spawn:4", 0}),
    STORY_WITH("scaling during a reload that goes back", 1, 3, 0, {0, START, -1, 0, "spawn:0", 0},
               {10, READY, 0, 0, "ALL_READY", 0},
               {2000, RELOAD, -1, 0, "CHECKING prepare check:7", 0},
               {2100, DIES, 7, 0, "bind spawn:1", 0}, {2200, SCALE_BY, -1, 1, "SCALED(2)", 0},
               {2300, DIES, 1, EXIT(1), "DIED(1,-2,x1) rollback told:reload1:lost(1) spawn:1", 0}),
    STORY_WITH("what scaling set survives a reload", 1, 3, 0, {0, START, -1, 0, "spawn:0", 0},
               {10, READY, 0, 0, "ALL_READY", 0}, {2000, SCALE, -1, 2, "SCALED(2) spawn:1", 0},
               {2010, READY, 1, 0, "", 0}, {2020, RELOAD, -1, 0, "CHECKING prepare check:7", 0},
               {2100, DIES, 7, 0, "bind spawn:2 spawn:3", 0}, {2300, READY, 2, 0, "", 0},
               {2300, READY, 3, 0, "", 0}, {4300, TICK, -1, 0, "commit accept:2 accept:3 move:0 move:1", 0},
               {4301, SCALE_RESET, -1, 0, "SCALED(1) move:3", 0}),
    STORY_WITH("unless the configured number changed", 1, 3, 0, {0, START, -1, 0, "spawn:0", 0},
               {10, READY, 0, 0, "ALL_READY", 0}, {2000, SCALE, -1, 2, "SCALED(2) spawn:1", 0},
               {2010, READY, 1, 0, "", 0}, {2015, NEXT_WORKERS, -1, 3, "", 0},
               {2020, RELOAD, -1, 0, "CHECKING prepare check:7", 0},
               {2100, DIES, 7, 0, "bind spawn:2 spawn:3 spawn:4", 0}, {2300, READY, 2, 0, "", 0},
               {2300, READY, 3, 0, "", 0}, {2300, READY, 4, 0, "", 0},
               {4300, TICK, -1, 0, "commit accept:2 accept:3 accept:4 move:0 move:1", 0}),
    STORY_WITH("a reload to fewer workers", 2, 0, 0, SERVING_2, {1500, NEXT_WORKERS, -1, 1, "", 0},
               {2000, RELOAD, -1, 0, CHECK_BEGINS, 0}, {2100, DIES, 5, 0, "bind spawn:2", 0},
               {2200, READY, 2, 0, "", 0}, {4200, TICK, -1, 0, "commit accept:2 move:0 move:1", 0},
               {4300, DIES, 0, 0, "LEFT", 0}, {4300, DIES, 1, 0, "LEFT told:reload1:ok", -1},
               /* room for scaling is as it was */
               {5000, SCALE, -1, 9, "SCALED(2) spawn:0", 0}),
};

static const struct story singles[] = {
    STORY("recycle one", 2, false, SERVING_2, {2000, RECYCLE, 1, 0, "spawn:2", 0},
          {2100, READY, 2, 0, "accept:2 move:1", 500}, {2600, TICK, -1, 0, "", 29500},
          {2700, DIES, 1, 0, "LEFT told:recycle:ok", -1}),
    STORY("recycle all, one after the other", 2, false, SERVING_2,
          {2000, RECYCLE, -1, 0, "spawn:2", 0}, {2100, READY, 2, 0, "accept:2 move:0", 0},
          {2200, DIES, 0, 0, "LEFT told:recycle:ok spawn:0", 0}, {2300, READY, 0, 0, "accept:0 move:1", 0},
          {2400, DIES, 1, 0, "LEFT told:recycle:ok", 0}, {3000, TICK, -1, 0, "", -1}),
    STORY("recycling waits for a reload, which makes it needless", 1, false, SERVING_1, RELOAD_1,
          {2150, WORN, 0, 0, "", 0}, {2200, READY, 1, 0, "", 0},
          {4200, TICK, -1, 0, "commit accept:1 move:0", 0}, {4300, DIES, 0, 0, "LEFT told:reload1:ok", -1}),
    STORY("recycling waits for a reload that fails", 1, false, SERVING_1, RELOAD_1,
          {2150, WORN, 0, 0, "", 0},
          {2200, DIES, 1, EXIT(1), "DIED(1,-2,x1) rollback told:reload1:lost(1) spawn:1", 0}),
    STORY("a reload waits for recycling", 1, false, SERVING_1, {2000, WORN, 0, 0, "spawn:1", 0},
          {2001, RELOAD, -1, 0, "", 0}, {2100, READY, 1, 0, "accept:1 move:0", 0},
          {2200, DIES, 0, 0, "LEFT told:recycle:ok " CHECK_BEGINS_1, 0}),
    STORY("a replacement that cannot boot: later again, and later", 1, false, SERVING_1,
          {2000, WORN, 0, 0, "spawn:1", 0},
          {2100, DIES, 1, EXIT(1), "DIED(1,-2,x1) told:recycle:lost(1)", 100},
          {2200, TICK, -1, 0, "spawn:1", 0},
          {2300, DIES, 1, EXIT(1), "DIED(1,-2,x1) told:recycle:lost(1)", 200},
          {2499, TICK, -1, 0, "", 1}, {2500, TICK, -1, 0, "spawn:1", 0},
          {2600, READY, 1, 0, "accept:1 move:0", 0}, {2700, DIES, 0, 0, "LEFT told:recycle:ok", 0},
          /* one went through: it begins anew */
          {4000, WORN, 1, 0, "spawn:0", 0},
          {4100, DIES, 0, EXIT(1), "DIED(0,-2,x1) told:recycle:lost(0)", 100}),
    STORY("unless somebody says: now", 1, false, SERVING_1, {2000, WORN, 0, 0, "spawn:1", 0},
          {2100, DIES, 1, EXIT(1), "DIED(1,-2,x1) told:recycle:lost(1)", 100},
          {2150, RETRY, -1, 0, "spawn:1", 0}, {2400, READY, 1, 0, "accept:1 move:0", 0},
          {2500, DIES, 0, 0, "LEFT told:recycle:ok", 0}),
    STORY("a worn worker dies by itself", 1, false, SERVING_1, {2000, WORN, 0, 0, "spawn:1", 0},
          {2100, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}, {2200, READY, 1, 0, "accept:1 move:0", 500},
          {2300, DIES, 0, 0, "LEFT told:recycle:ok", 0}),
    STORY("a hung worker is replaced, then aborted", 2, false, SERVING_2,
          {2000, HUNG, 0, 0, "spawn:2", 0}, {2001, HUNG, 0, 0, "", 0},
          {2100, READY, 2, 0, "accept:2 ABORTED abort:0", 500}, {2600, TICK, -1, 0, "", 4500},
          {2700, DIES, 0, SIGABRT, "LEFT told:hung:ok", -1}),
    STORY("it does not even hear that", 1, false, SERVING_1, {2000, HUNG, 0, 0, "spawn:1", 0},
          {2100, READY, 1, 0, "accept:1 ABORTED abort:0", 0}, {2700, TICK, -1, 0, "", 4400},
          {7100, TICK, -1, 0, "kill:0", -1}, {7200, DIES, 0, SIGKILL, "LEFT told:hung:ok", -1}),
    STORY("two hang: five seconds apart", 2, false, SERVING_2, {2000, HUNG, 0, 0, "spawn:2", 0},
          {2000, HUNG, 1, 0, "", 0}, {2100, READY, 2, 0, "accept:2 ABORTED abort:0", 0},
          {2200, DIES, 0, SIGABRT, "LEFT told:hung:ok", 400}, {2600, TICK, -1, 0, "", 4500},
          {7100, TICK, -1, 0, "spawn:0", 0}, {7200, READY, 0, 0, "accept:0 ABORTED abort:1", 0},
          {7300, DIES, 1, SIGABRT, "LEFT told:hung:ok", 0}),
    STORY("its replacement cannot boot: it is of no use either way", 1, false, SERVING_1,
          {2000, HUNG, 0, 0, "spawn:1", 0},
          {2100, DIES, 1, EXIT(1), "DIED(1,-2,x1) ABORTED abort:0 told:hung:lost(1)", 5000},
          {2200, DIES, 0, SIGABRT, "DIED(0,0,x1) spawn:0", 0}),
    STORY("nor can it be forked", 1, false, SERVING_1, {1500, FORKS_FAIL, -1, SIM_ALL_FORKS, "", 0},
          {2000, HUNG, 0, 0, "spawn:1 SPAWN_FAILED(1,-2,x1) ABORTED abort:0 told:hung:lost(1)",
           5000}),
    STORY("who hangs comes before who is worn", 2, false, SERVING_2,
          {2000, WORN, 0, 0, "spawn:2", 0}, {2010, HUNG, 1, 0, "", 0},
          {2100, READY, 2, 0, "accept:2 move:0", 0}, {2110, WORN, 2, 0, "", 0},
          {2200, DIES, 0, 0, "LEFT told:recycle:ok spawn:0", 0},
          {2300, READY, 0, 0, "accept:0 ABORTED abort:1", 0}),
    STORY("only a worker that is ready can hang or be worn", 2, false,
          {0, START, -1, 0, "spawn:0 spawn:1", 0}, {10, HUNG, 0, 0, "", 0}, {10, WORN, 0, 0, "", 0},
          {20, READY, 0, 0, "", 0}, {30, WORN, 2, 0, "", 0}, {30, RECYCLE, 1, 0, "", 0}),
    STORY("retry: whoever waits is tried now, exit 78 included", 2, false, SERVING_2,
          {1500, DIES, 0, SIGKILL, "DIED(0,0,x1) spawn:0", 0},
          {1600, DIES, 0, EXIT(78), "DIED(0,-1,x1) ONE_AT_A_TIME", -1},
          {1700, RETRY, -1, 0, "spawn:0", 0},
          {1800, DIES, 0, SIGSEGV, "DIED(0,0,x1) spawn:0", 0}), /* its count began anew */
};

#define RUN(stories)                                                                               \
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories)[0]; i++)                              \
    story_run(&(stories)[i])

static void test_reloads(void **state)
{
    (void)state;
    RUN(reloads);
}

static void test_upgrades(void **state)
{
    (void)state;
    RUN(upgrades);
}

static void test_stops(void **state)
{
    (void)state;
    RUN(stops);
}

static void test_scaling(void **state)
{
    (void)state;
    RUN(scaling);
}

static void test_singles(void **state)
{
    (void)state;
    RUN(singles);
}

/* Data that exists in one worker only is not thrown away because it is old. */
static void test_keeps_data(void **state)
{
    (void)state;
    struct sup_settings settings = sup_settings_standard(1);
    settings.migrate = settings.checkpoint = false;
    settings.keeps_data = true;
    struct sim sim;
    sim_init(&sim, &settings);
    sim_start(&sim);
    sim_ready(&sim, 0);
    sim_report(&sim, SUP_WORN, 0, 0, 0);
    assert_string_equal(sim.text, "");
    sim_request_for(&sim, SUP_REQUEST_RECYCLE, -1, 0);
    assert_string_equal(sim.text, "");
    assert_null(sim.broken);
    sim_fini(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrades),
        cmocka_unit_test(test_reloads),    cmocka_unit_test(test_stops),
        cmocka_unit_test(test_scaling),    cmocka_unit_test(test_singles),
        cmocka_unit_test(test_keeps_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
