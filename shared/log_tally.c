/* log_tally.c: see log_tally.h. */
#include "shared/log_tally.h"

#include "shared/log.h"

#include <unistd.h>

uint64_t log_tally(void)
{
    static struct {
        pid_t pid; /* a child begins anew */
        uint64_t seen, untold;
    } tally;
    if (tally.pid != getpid()) {
        tally.pid = getpid();
        tally.seen = tally.untold = 0;
    }
    uint64_t dropped = log_dropped() - tally.seen;
    tally.seen += dropped;
    tally.untold += dropped;
    if (dropped > 0 || tally.untold == 0)
        return dropped;
    log_warning("%llu lines of this log are lost: standard error took no more",
                (unsigned long long)tally.untold);
    if (log_dropped() == tally.seen)
        tally.untold = 0;
    tally.seen = log_dropped(); /* the line that says so is not one of them */
    return 0;
}
