/* title.c: see title.h. */
#include "shared/title.h"

#include <bsd/unistd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TITLE_MAX = 1024 }; /* bytes, NUL included */

static size_t arguments_len; /* bytes of the command line, NULs included */

void title_init(int argc, char **argv, char **environment)
{
    if (argc > 0)
        arguments_len = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
    setproctitle_init(argc, argv, environment);
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
    setproctitle("-%-*s", width, text);
}
