/* ledger.h: what is open in this process, and where it was made: debug mode's memory. While debug
 * mode is on, constructors enter what they make with the place of their caller, and whatever ends a
 * thing strikes it out; what is left when a worker leaves is reported, one line each. While it is
 * off nothing is entered, and a call costs one relaxed load. What was made before debug mode was
 * switched on is not known; switching it off forgets all. Thread: any. */
#pragma once

#include "shared/debug.h"

#include <stdbool.h>
#include <stddef.h>

/* The caller's place, "users.c:123". A constructor takes it as its last argument, and a macro of the
 * constructor's own name (which does not expand within itself) fills it in, so that nobody writes it:
 *   struct loop *loop_new(const char *made_at);
 *   #define loop_new() loop_new(MADE_HERE)
 * Where it is defined, or handed the place of somebody else, the name stands in parentheses. */
#define LEDGER_STRING2(x) #x
#define LEDGER_STRING(x)  LEDGER_STRING2(x)
#define MADE_HERE         __FILE_NAME__ ":" LEDGER_STRING(__LINE__)

/* With their articles, for reports. */
#define LEDGER_KINDS(X)                                                                            \
    X(CONNECTION, "a connection")                                                                    \
    X(REQUEST, "a request")                                                                          \
    X(TASK, "a task")                                                                                \
    X(EXECUTOR, "an executor")                                                                        \
    X(IO_WATCHER, "a descriptor watcher")                                                            \
    X(TIMER, "a timer")                                                                              \
    X(SIGNAL_WATCHER, "a signal watcher")                                                            \
    X(DATABASE, "a database connection")                                                             \
    X(STATEMENT, "a statement")

enum ledger_kind {
#define X(name, text) LEDGER_##name,
    LEDGER_KINDS(X)
#undef X
};

/* How far a task has come; the others stay OPEN. */
#define LEDGER_STAGES(X)                                                                           \
    X(OPEN, "is still open")                                                                       \
    X(NEVER_STARTED, "was never started")                                                          \
    X(STARTED, "is not over")                                                                      \
    X(FINISHED, "is over, but its result was never fetched")                                       \
    X(UNANSWERED, "was dropped without an answer")

enum ledger_stage {
#define X(name, text) LEDGER_##name,
    LEDGER_STAGES(X)
#undef X
};

/* Private to the functions below. */
void ledger_enter(enum ledger_kind kind, const void *what, enum ledger_stage stage,
                  const char *made_at);
void ledger_move(enum ledger_kind kind, const void *what, enum ledger_stage stage);
void ledger_drop(enum ledger_kind kind, const void *what);

/* *what* was made at *made_at* (static): enters it. (Of several kinds at one address, as a struct and
 * its first member, each has its own entry.) One of its kind that is there already, and was never
 * started, is reported: its memory is now another's. */
static inline void ledger_made(enum ledger_kind kind, const void *what, enum ledger_stage stage,
                               const char *made_at)
{
    if (debug_is_on())
        ledger_enter(kind, what, stage, made_at);
}
/* It has come so far. Unknown ones are ignored. */
static inline void ledger_reached(enum ledger_kind kind, const void *what, enum ledger_stage stage)
{
    if (debug_is_on())
        ledger_move(kind, what, stage);
}
/* It has ended: strikes it out. Unknown ones are ignored. */
static inline void ledger_gone(enum ledger_kind kind, const void *what)
{
    if (debug_is_on())
        ledger_drop(kind, what);
}

/* Adds a few words to its line (a route, an SQL text); copied, cut. */
void ledger_label(enum ledger_kind kind, const void *what, const char *label, size_t len);

/* Writes a WARNING for each entry (at most a hundred), oldest first, and forgets them all. Returns
 * how many there were. *has_ended*: asked before, for what ends without a word; may be NULL. */
unsigned ledger_report(bool (*has_ended)(enum ledger_kind kind, const void *what));
/* Forgets all. */
void ledger_clear(void);
