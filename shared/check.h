/* check.h: asserts that stay on in release builds. For our own bugs only: what the outside world
 * can cause is returned as an error instead. Any thread. */
#pragma once

/* Writes "file:line: message" to stderr and aborts. Never returns. */
_Noreturn void check_failed(const char *file, int line, const char *what);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_failed(__FILE__, __LINE__, #condition);                                          \
    } while (0)

/* A place the code cannot come to. */
#define UNREACHABLE() check_failed(__FILE__, __LINE__, "unreachable")
