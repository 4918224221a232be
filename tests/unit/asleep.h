/* asleep.h: waiting until another thread or process sleeps, by its state in proc_pid_stat(5), for tests
 * that know the only place where it can. */
#pragma once

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <cmocka.h>

/* *tid* is *pid* for the first thread of a process. */
static inline char state_of(pid_t pid, pid_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = 0;
    const char *close = strrchr(text, ')');
    assert_non_null(close);
    return close[2];
}

static inline void await_asleep(pid_t pid, pid_t tid)
{
    while (state_of(pid, tid) != 'S')
        sched_yield();
}
