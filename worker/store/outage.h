/* outage.h: which errors of a database are worth a line in the log, so that each outage is told and
 * none fills the log. Pure; the thread that has the connection. */
#pragma once

#include "shared/clock.h"

enum {
    OUTAGE_SAME_GAP_MS = 10000, /* between two lines of one error; what comes and goes */
    OUTAGE_OTHER_GAP_MS = 1000, /* between lines of two */
};

struct outage {
    int code;   /* the last error; 0: all is well */
    int told;   /* the error that a line has told of since all was well; 0: none */
    int line;   /* the error of the last line ever … */
    mono_ms at; /* … and when that was */
};

/* An error (not 0). True: it is to be logged now. What is held back for a line shortly before is
 * told by the first error after the gap. */
bool outage_goes_on(struct outage *o, int code, mono_ms now);
/* It worked. True: its end is to be logged, for its beginning was. */
bool outage_is_over(struct outage *o);
