/* clock.c: see clock.h. clock_gettime(2). */
#include "shared/clock.h"

#include "shared/check.h"

#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec ts;
    ASSERT(clock_gettime(id, &ts) == 0);
    return ts;
}

mono_ms clock_now(void)
{
    struct timespec ts = read_clock(CLOCK_MONOTONIC);
    return (mono_ms){(int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000};
}

static int64_t read_us(clockid_t id)
{
    struct timespec ts = read_clock(id);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall_s(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME).tv_sec;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts = read_clock(CLOCK_REALTIME);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
