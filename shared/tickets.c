/* tickets.c: see tickets.h. futex(2), on memory that processes share (so not FUTEX_PRIVATE_FLAG).
 */
#include "shared/tickets.h"

#include "shared/check.h"
#include "shared/clock.h"
#include "shared/memory.h"
#include "shared/fault.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TICKETS_MAX = 256 };

struct tickets {
    uint32_t count;            /* fixed at creation */
    _Atomic(uint32_t) given;   /* the futex: grows whenever a cell may have become free */
    _Atomic(uint32_t) waiting; /* who sleeps or is about to; too many, when one died so */
    _Atomic(uint64_t) cells[]; /* pid of the owner, 0: free */
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
    struct tickets *t =
        FAULT_CALL(tickets_mmap, NULL, memory_new("colmeia-tickets", map_len(count), fd_r));
    if (t)
        t->count = count;
    return t;
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
    if (!t || (len >= sizeof *t && t->count >= 1 && t->count <= TICKETS_MAX &&
               len == map_len(t->count)))
        return t;
    munmap(t, len);
    errno = EINVAL;
    return NULL;
}

uint64_t tickets_layout(void)
{
    return 1 << 16 | offsetof(struct tickets, cells) << 8 | sizeof(_Atomic(uint64_t));
}

void tickets_free(struct tickets *t)
{
    if (t)
        munmap(t, map_len(t->count));
}

/* Sleeps while *given* is still *seen*, at most timeout_ms. Early and spurious ends are fine: the
 * caller looks again. */
static void sleep_while(struct tickets *t, uint32_t seen, int64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (timeout_ms % 1000) * 1000000};
    syscall(SYS_futex, &t->given, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

static void wake(struct tickets *t, int how_many)
{
    atomic_fetch_add(&t->given, 1);
    if (atomic_load(&t->waiting) > 0)
        syscall(SYS_futex, &t->given, FUTEX_WAKE, how_many, NULL, NULL, 0);
}

static int try_take(struct tickets *t, uint64_t pid)
{
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t nobody = 0;
        if (atomic_compare_exchange_strong(&t->cells[i], &nobody, pid))
            return (int)i;
    }
    return -1;
}

/* Counted among those who wait before it looks: a ticket given after the look wakes it. */
static int wait_and_take(struct tickets *t, uint64_t pid, int64_t timeout_ms)
{
    mono_ms deadline = mono_add(clock_now(), timeout_ms);
    atomic_fetch_add(&t->waiting, 1);
    for (;;) {
        /* read before looking: a ticket given after the look changes it, and we do not sleep */
        uint32_t seen = atomic_load(&t->given);
        int ticket = try_take(t, pid);
        int64_t left_ms = mono_diff_ms(deadline, clock_now());
        if (ticket >= 0 || left_ms <= 0) {
            atomic_fetch_sub(&t->waiting, 1);
            return ticket;
        }
        sleep_while(t, seen, left_ms);
    }
}

int tickets_take(struct tickets *t, int64_t timeout_ms)
{
    uint64_t pid = (uint64_t)getpid();
    int ticket = try_take(t, pid);
    if (ticket >= 0 || timeout_ms <= 0)
        return ticket;
    int saved_errno = errno;
    ticket = wait_and_take(t, pid, timeout_ms);
    errno = saved_errno;
    return ticket;
}

void tickets_give(struct tickets *t, int ticket)
{
    ASSERT(ticket >= 0 && (uint32_t)ticket < t->count);
    uint64_t owner = atomic_exchange(&t->cells[ticket], 0);
    ASSERT(owner == (uint64_t)getpid());
    wake(t, 1);
}

unsigned tickets_reclaim(struct tickets *t, pid_t pid)
{
    unsigned freed = 0;
    ASSERT(pid > 0);
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t owner = (uint64_t)pid;
        if (atomic_compare_exchange_strong(&t->cells[i], &owner, 0))
            freed++;
    }
    wake(t, INT_MAX);
    return freed;
}

unsigned tickets_count(const struct tickets *t)
{
    return t->count;
}

unsigned tickets_taken(const struct tickets *t)
{
    unsigned taken = 0;
    for (uint32_t i = 0; i < t->count; i++)
        taken += atomic_load_explicit(&t->cells[i], memory_order_relaxed) != 0;
    return taken;
}

unsigned tickets_held(const struct tickets *t, pid_t pid)
{
    unsigned held = 0;
    for (uint32_t i = 0; i < t->count; i++)
        held += atomic_load_explicit(&t->cells[i], memory_order_relaxed) == (uint64_t)pid;
    return held;
}
