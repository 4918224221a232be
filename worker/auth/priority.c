/* priority.c: see priority.h. */
#include "worker/auth/priority.h"

#include "shared/check.h"
#include "shared/clock.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "worker/auth/hash_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Added to the companion's: a tenth of what a loop gets of a core that both want. Measured, a loop
 * that wakes up does not wait for it, as it does with 5 and less; with 19 and a busy core, a single
 * hash would take many seconds, and so long would it take to see that it is starved. */
enum { COMPANION_NICE = 10 };

/* Of a core's time. The companion is starved below the first; from above the second on, work gives
 * way again. So far apart that what is gained by the change does not change it back. */
#define STARVED_BELOW (1.0 / 3)
#define ENOUGH_ABOVE  (2.0 / 3)

/* What is cheaper is over before it is in anybody's way, and would be dearer on another thread. */
enum { WORTH_US = 1000 };

bool priority_judge(bool raised, int64_t cpu_us, int64_t took_us)
{
    if (cpu_us < WORTH_US)
        return true;
    double share = (double)cpu_us / (double)took_us;
    return share < (raised ? ENOUGH_ABOVE : STARVED_BELOW);
}

/* On either thread. */
static void do_timed(struct priority *p)
{
    int64_t began_us = clock_now_us();
    int64_t cpu_began_us = clock_thread_us();
    p->work(p->arg);
    p->cpu_us = clock_thread_us() - cpu_began_us;
    p->took_us = clock_now_us() - began_us;
}

static void await(sem_t *s)
{
    while (sem_wait(s) != 0)
        ASSERT(errno == EINTR);
}

static void give_way(void)
{
    id_t tid = (id_t)syscall(SYS_gettid);
    /* more than 19 is 19, setpriority(2) */
    if (setpriority(PRIO_PROCESS, tid, getpriority(PRIO_PROCESS, tid) + COMPANION_NICE))
        log_warning("hash: setpriority: %s; hashes do not give way", strerror(errno));
}

static void *companion_main(void *arg)
{
    struct priority *p = arg;
    pthread_setname_np(pthread_self(), "hash low");
    give_way();
    hash_memory_open();
    for (;;) {
        await(&p->called);
        if (p->closing)
            break;
        do_timed(p);
        ASSERT(sem_post(&p->finished) == 0);
    }
    hash_memory_close();
    return NULL;
}

static void call_companion(struct priority *p)
{
    ASSERT(sem_post(&p->called) == 0);
}

void priority_open(struct priority *p)
{
    *p = (struct priority){0};
    ASSERT(sem_init(&p->called, 0, 0) == 0 && sem_init(&p->finished, 0, 0) == 0);
    int error =
        FAULT_CALL(companion_create, errno, pthread_create(&p->companion, NULL, companion_main, p));
    p->has_companion = !error;
    if (error)
        log_warning("hash: cannot make a second thread: %s; hashes do not give way",
                    strerror(error));
}

void priority_close(struct priority *p)
{
    if (p->has_companion) {
        p->closing = true;
        call_companion(p);
        pthread_join(p->companion, NULL);
    }
    sem_destroy(&p->called);
    sem_destroy(&p->finished);
}

bool priority_do(struct priority *p, void (*work)(void *arg), void *arg)
{
    bool here = p->raised || !p->has_companion;
    p->work = work;
    p->arg = arg;
    if (here) {
        do_timed(p);
    } else {
        call_companion(p);
        await(&p->finished);
    }
    p->raised = priority_judge(here, p->cpu_us, p->took_us);
    return here && p->cpu_us >= WORTH_US;
}
