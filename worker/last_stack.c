/* last_stack.c: see last_stack.h. backtrace(3): "these functions are reentrant, but libgcc is
 * loaded at the first call, which allocates": hence one call beforehand. */
#include "worker/last_stack.h"

#include "shared/check.h"

#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static struct scoreboard_slot *kept_in;

static void on_abort(int number)
{
    void *frames[SCOREBOARD_STACK_MAX];
    int len = backtrace(frames, SCOREBOARD_STACK_MAX);
    for (int i = 0; i < len; i++)
        atomic_store(&kept_in->stack[i], (uint64_t)(uintptr_t)frames[i]);
    atomic_store(&kept_in->stack_len, (uint32_t)len);
    raise(number); /* the default action is set again (SA_RESETHAND) and follows the return */
}

void last_stack_keep(struct scoreboard_slot *slot)
{
    void *warm[1];
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    kept_in = slot;
    backtrace(warm, 1);
    ASSERT(sigaction(SIGABRT, &action, NULL) == 0);
}
