/* signals.h: the master's signals as a file descriptor, and the child's way back to defaults.
 * Called by master.c before it forks, and by spawn.c in the child. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* What a signal asks of the master. */
enum signal_meaning {
    SIGNAL_NONE,      /* no signal is waiting */
    SIGNAL_CHILD,     /* some child ended: reap */
    SIGNAL_STOP,      /* TERM, or HUP from a terminal that hung up, unless it was inherited as ignored */
    SIGNAL_INTERRUPT, /* INT */
    SIGNAL_QUICK,     /* QUIT */
    SIGNAL_RELOAD,    /* HUP from someone */
    SIGNAL_REOPEN,    /* USR1 */
    SIGNAL_MORE,      /* TTIN */
    SIGNAL_LESS,      /* TTOU */
    SIGNAL_UPGRADE    /* USR2 */
};

struct signals {
    int fd; /* signalfd(2), non-blocking, close-on-exec */
};

struct signal_report {
    enum signal_meaning meaning;
    int number;
    pid_t sender; /* 0: the kernel */
    uid_t sender_uid;
};

/* In a program that takes the place of another master: mask and dispositions as that one had them,
 * whatever it was; of the latter what it inherited itself, an ignored HUP, stays. What has come for the master waits for signals_open. */
void signals_prepare(void);
/* Blocks the signals, ignores PIPE. 0, or -1 with errno. */
int signals_open(struct signals *s);
/* Closes. The signals stay blocked: one that comes when all is done must not change the exit code.
 */
void signals_close(struct signals *s);
/* The next waiting signal; never waits. */
struct signal_report signals_next(struct signals *s);

/* In a child: handlers and mask as after a login. A *background* child (a process group of its own)
 * ignores what a terminal, or someone who means the master, may send it: INT, HUP, TTIN, TTOU (a
 * write to a terminal set "tostop" would halt it), USR1, USR2, and PIPE. */
void signals_reset_in_child(bool background);
