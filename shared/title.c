/* title.c: see title.h. */
#include "shared/title.h"

#include <bsd/unistd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TITLE_MAX = 1024 }; /* bytes, NUL included */

static size_t arguments_len; /* bytes of the command line, NULs included */
static bool possible;

/* libbsd needs memory for copies of the arguments and of the environment, and tells nobody when it has
 * none but standard error, at each title. Asked again, it would leak what it had. */
void title_init(int argc, char **argv, char **environment)
{
    char *last = argc > 0 ? argv[argc - 1] : NULL;
    if (last)
        arguments_len = (size_t)(last + strlen(last) + 1 - argv[0]);
    setproctitle_init(argc, argv, environment);
    bool copied = argc < 2 || argv[argc - 1] != last;
    possible = copied && environ != environment;
}

void title_set(const char *format, ...)
{
    char text[TITLE_MAX] = "colmeia: ";
    size_t prefix = strlen(text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(text + prefix, sizeof text - prefix, format, ap);
    va_end(ap);
    /* Where a title is shorter than the command line was, libbsd puts a dot behind it; blanks
     * instead are not seen. */
    int width = arguments_len < sizeof text ? (int)arguments_len : (int)sizeof text - 1;
    if (possible)
        setproctitle("-%-*s", width, text);
}
