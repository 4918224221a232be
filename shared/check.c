/* check.c: the end of the line for our own bugs. One write(2), no allocation: the heap may be
 * ruined. */
#include "shared/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    char text[512];
    int n = snprintf(text, sizeof text, "colmeia[%d]: assertion failed: %s:%d: %s\n", (int)getpid(), file,
                     line, what);
    if (n > (int)sizeof text)
        n = (int)sizeof text;
    if (n > 0) {
        ssize_t written = write(STDERR_FILENO, text, (size_t)n);
        (void)written; /* nothing is left to do about it */
    }
    abort();
}
