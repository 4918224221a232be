/* tickets.c: see tickets.h. futex(2), on memory that processes share (so not FUTEX_PRIVATE_FLAG).
 *
 * Who asks is entered first and looks at the cells then; who gives back changes the cell first and
 * looks then who asks. All of it is sequentially consistent, so that one of them sees the other. */
#include "shared/tickets.h"

#include "shared/check.h"
#include "shared/clock.h"
#include "shared/fault.h"
#include "shared/memory.h"
#include "shared/scoreboard.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    TICKETS_MAX = 256,
    ASKS = 2 * SCOREBOARD_SLOTS_MAX, /* processes: those of both masters of an upgrade */
    UNLISTED_LOOK_MS = 10            /* how often one looks for which there was no place */
};

/* In a cell, beside a pid: the ticket is on its way to that process. */
#define PASSED (UINT64_C(1) << 63)

struct tickets {
    _Atomic(uint32_t) given;      /* the futex: grows whenever a cell has changed for others */
    _Atomic(uint32_t) asks_len;   /* places used so far; never shrinks */
    _Atomic(uint32_t) turn;       /* the place behind that of the last one served */
    _Atomic(uint64_t) asks[ASKS]; /* pid << 32 | its threads that wait; 0: a free place */
    _Atomic(uint64_t) cells[];    /* pid of the owner, perhaps PASSED; 0: free */
};

static size_t map_len(unsigned count)
{
    return sizeof(struct tickets) + count * sizeof(_Atomic(uint64_t));
}

unsigned tickets_wanted(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > TICKETS_MAX ? TICKETS_MAX : (unsigned)n;
}

struct tickets *tickets_make(unsigned count, int *fd_r)
{
    ASSERT(count >= 1 && count <= TICKETS_MAX);
    return FAULT_CALL(tickets_mmap, NULL, memory_new("colmeia-tickets", map_len(count), fd_r));
}

struct tickets *tickets_new(unsigned count)
{
    int fd;
    struct tickets *t = tickets_make(count, &fd);
    if (t)
        close(fd);
    return t;
}

struct tickets *tickets_map(int fd)
{
    size_t len = 0;
    struct tickets *t = memory_map(fd, &len);
    if (!t || (len >= map_len(1) && len <= map_len(TICKETS_MAX) && len == map_len(tickets_count(t))))
        return t;
    memory_free(t);
    errno = EINVAL;
    return NULL;
}

uint64_t tickets_layout(void)
{
    return UINT64_C(3) << 32 | offsetof(struct tickets, cells) << 8 | sizeof(_Atomic(uint64_t));
}

void tickets_free(struct tickets *t)
{
    memory_free(t);
}

unsigned tickets_count(const struct tickets *t)
{
    return (unsigned)((memory_len(t) - sizeof *t) / sizeof t->cells[0]);
}

static uint64_t self(void)
{
    return (uint64_t)getpid();
}

/* ---- who sleeps ------------------------------------------------------------------------------ */

/* Those of one process sleep under a bit of their own, more or less. */
static uint32_t bit_of(uint64_t pid)
{
    return UINT32_C(1) << pid % 32;
}

/* Sleeps while *given* is still *seen*, at most timeout_ms. Early and spurious ends are fine: the
 * caller looks again. */
static void sleep_while(struct tickets *t, uint32_t seen, int64_t timeout_ms)
{
    int64_t until_us = clock_now_us() + timeout_ms * 1000; /* this call wants a point in time */
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    syscall(SYS_futex, &t->given, FUTEX_WAIT_BITSET, seen, &until, NULL, bit_of(self()));
}

static void wake(struct tickets *t, uint32_t bits)
{
    atomic_fetch_add(&t->given, 1);
    syscall(SYS_futex, &t->given, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, bits);
}

void tickets_wake(struct tickets *t)
{
    wake(t, bit_of(self()));
}

/* ---- who asks -------------------------------------------------------------------------------- */

static uint32_t asks_len(struct tickets *t)
{
    uint32_t len = atomic_load(&t->asks_len);
    return len < ASKS ? len : ASKS;
}

static uint64_t asker(struct tickets *t, uint32_t place)
{
    return atomic_load(&t->asks[place]) >> 32;
}

static bool does_ask(struct tickets *t, uint64_t pid)
{
    uint32_t len = asks_len(t);
    for (uint32_t i = 0; i < len; i++)
        if (asker(t, i) == pid)
            return true;
    return false;
}

/* One more thread of *pid* waits. Its place, or -1 when all are taken. */
static int ask(struct tickets *t, uint64_t pid)
{
    for (uint32_t i = 0; i < ASKS; i++) {
        uint64_t was = atomic_load(&t->asks[i]);
        while (was == 0 || was >> 32 == pid) {
            uint64_t now = was ? was + 1 : pid << 32 | 1;
            if (!atomic_compare_exchange_strong(&t->asks[i], &was, now))
                continue;
            uint32_t len = atomic_load(&t->asks_len);
            while (len <= i && !atomic_compare_exchange_strong(&t->asks_len, &len, i + 1))
                ;
            return (int)i;
        }
    }
    return -1;
}

/* How many *pid* has, those on their way included. */
static unsigned held_by(const struct tickets *t, uint64_t pid)
{
    unsigned held = 0;
    for (uint32_t i = 0, count = tickets_count(t); i < count; i++)
        held += (atomic_load(&t->cells[i]) & ~PASSED) == pid;
    return held;
}

/* Of those who ask the one that holds the least and less than *limit*, the first one from the place
 * whose turn it is; 0: nobody. *except* is not looked at (0: all are). */
static uint64_t least_served(struct tickets *t, uint64_t except, unsigned limit, uint32_t *place_r)
{
    uint64_t best = 0;
    uint32_t len = asks_len(t);
    uint32_t first = atomic_load(&t->turn);
    for (uint32_t i = 0; i < len && limit > 0; i++) {
        uint32_t place = (first + i) % len;
        uint64_t pid = asker(t, place);
        unsigned held = pid && pid != except ? held_by(t, pid) : limit;
        if (held < limit) {
            best = pid;
            limit = held;
            *place_r = place;
        }
    }
    return best;
}

/* ---- giving ---------------------------------------------------------------------------------- */

/* What was *owner*'s, a pid perhaps PASSED, goes to whom it is due, or is free. Nothing, when the cell
 * is not *owner*'s any more. */
static void hand_on(struct tickets *t, uint32_t ticket, uint64_t owner)
{
    for (uint32_t place;;) {
        uint64_t next = least_served(t, 0, UINT_MAX, &place);
        uint64_t to = next ? PASSED | next : 0;
        if (!atomic_compare_exchange_strong(&t->cells[ticket], &owner, to))
            return;
        if (!next) {
            /* who asked since then and found nothing is about to sleep, or sleeps */
            atomic_fetch_add(&t->given, 1);
            if (least_served(t, 0, UINT_MAX, &place))
                wake(t, UINT32_MAX);
            return;
        }
        atomic_store(&t->turn, place + 1);
        wake(t, bit_of(next));
        if (does_ask(t, next))
            return; /* it will take it, or hand it on when it leaves */
        owner = to;
    }
}

void tickets_give(struct tickets *t, int ticket)
{
    ASSERT(ticket >= 0 && (uint32_t)ticket < tickets_count(t));
    ASSERT(atomic_load(&t->cells[ticket]) == self());
    hand_on(t, (uint32_t)ticket, self());
}

bool tickets_may_keep(struct tickets *t)
{
    uint64_t pid = self();
    unsigned mine = held_by(t, pid);
    uint32_t place;
    return !least_served(t, pid, mine > 2 ? mine - 1 : 1, &place);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static int try_take(struct tickets *t, uint64_t pid)
{
    const uint64_t ours[] = {PASSED | pid, 0};
    for (size_t kind = 0; kind < sizeof ours / sizeof *ours; kind++)
        for (uint32_t i = 0, count = tickets_count(t); i < count; i++) {
            uint64_t was = ours[kind];
            if (atomic_compare_exchange_strong(&t->cells[i], &was, pid))
                return (int)i;
        }
    return -1;
}

/* The thread waits no more. What was passed to the process, when none of its threads waits, goes to
 * others. */
static void ask_no_more(struct tickets *t, int place, uint64_t pid)
{
    uint64_t was = place >= 0 ? atomic_load(&t->asks[place]) : 0;
    while (was >> 32 == pid && !atomic_compare_exchange_strong(&t->asks[place], &was,
                                                               (was & UINT32_MAX) > 1 ? was - 1 : 0))
        ;
    if (does_ask(t, pid))
        return;
    for (uint32_t i = 0, count = tickets_count(t); i < count; i++)
        if (atomic_load(&t->cells[i]) == (PASSED | pid))
            hand_on(t, i, PASSED | pid);
}

static int wait_and_take(struct tickets *t, int64_t timeout_ms, const atomic_bool *stop)
{
    uint64_t pid = self();
    mono_ms deadline = mono_add(clock_now(), timeout_ms);
    int place = ask(t, pid);
    int ticket;
    for (;;) {
        /* read before looking: what changes after the look changes it, and we do not sleep */
        uint32_t seen = atomic_load(&t->given);
        ticket = try_take(t, pid);
        int64_t left_ms = mono_diff_ms(deadline, clock_now());
        if (ticket >= 0 || left_ms <= 0 || (stop && atomic_load(stop)))
            break;
        sleep_while(t, seen, place < 0 && left_ms > UNLISTED_LOOK_MS ? UNLISTED_LOOK_MS : left_ms);
    }
    ask_no_more(t, place, pid);
    return ticket;
}

int tickets_await(struct tickets *t, int64_t timeout_ms, const atomic_bool *stop)
{
    int ticket = try_take(t, self());
    if (ticket >= 0 || timeout_ms <= 0)
        return ticket;
    int saved_errno = errno;
    ticket = wait_and_take(t, timeout_ms, stop);
    errno = saved_errno;
    return ticket;
}

int tickets_take(struct tickets *t, int64_t timeout_ms)
{
    return tickets_await(t, timeout_ms, NULL);
}

/* ---- for the master and for display ---------------------------------------------------------- */

unsigned tickets_reclaim(struct tickets *t, pid_t pid)
{
    unsigned freed = 0;
    ASSERT(pid > 0);
    uint32_t len = asks_len(t);
    for (uint32_t i = 0; i < len; i++)
        for (uint64_t was = atomic_load(&t->asks[i]);
             was >> 32 == (uint64_t)pid && !atomic_compare_exchange_strong(&t->asks[i], &was, 0);)
            ;
    for (uint32_t i = 0, count = tickets_count(t); i < count; i++) {
        uint64_t owner = atomic_load(&t->cells[i]);
        if ((owner & ~PASSED) == (uint64_t)pid) {
            freed += owner == (uint64_t)pid;
            hand_on(t, i, owner);
        }
    }
    return freed;
}

static bool is_process(uint64_t pid)
{
    return pid > 0 && pid <= INT_MAX && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

unsigned tickets_weed(struct tickets *t)
{
    unsigned freed = 0;
    uint32_t len = asks_len(t);
    for (uint32_t i = 0; i < len; i++) {
        uint64_t was = atomic_load(&t->asks[i]);
        if (was != 0 && !is_process(was >> 32))
            atomic_compare_exchange_strong(&t->asks[i], &was, 0);
    }
    for (uint32_t i = 0, count = tickets_count(t); i < count; i++) {
        uint64_t owner = atomic_load(&t->cells[i]);
        if (owner != 0 && !is_process(owner & ~PASSED)) {
            hand_on(t, i, owner);
            freed++;
        }
    }
    return freed;
}

unsigned tickets_taken(const struct tickets *t)
{
    unsigned taken = 0;
    for (uint32_t i = 0, count = tickets_count(t); i < count; i++)
        taken += atomic_load_explicit(&t->cells[i], memory_order_relaxed) != 0;
    return taken;
}

unsigned tickets_held(const struct tickets *t, pid_t pid)
{
    return held_by(t, (uint64_t)pid);
}
