/* failing.h: the page through which a test tells failing.so (failing.c) what shall go wrong, and reads
 * what happened. The file `calls` in the directory that $COLMEIA_FAULTS names (shared/fault.h), mapped
 * by the test (harness/failing.py has the same layout) and by every process of the server.
 *
 * Fault points strike at a place in our own sources; this strikes at the n-th call of a kind, whoever
 * makes it, libraries too, and is cheap enough to count every allocation. */
#pragma once

#include <stdint.h>

enum { PROCESSES_MAX = 16384, TEXT_LEN = 64 };

/* Kinds of calls, bits of order.kinds. */
enum kind {
    KIND_MEMORY = 1 << 0,  /* malloc and its kin, mmap */
    KIND_OPEN = 1 << 1,    /* whatever gives a descriptor */
    KIND_WRITE = 1 << 2,   /* write, send and their kin; not to standard error */
    KIND_READ = 1 << 3,    /* read, recv and their kin */
    KIND_SYNC = 1 << 4,    /* fsync, fdatasync */
    KIND_FILE = 1 << 5,    /* ftruncate, rename, unlink, chmod, stat */
    KIND_PROCESS = 1 << 6, /* fork, pthread_create */
    KIND_WAIT = 1 << 7,    /* epoll_wait, poll, waitpid, sem_wait */
    KIND_STDERR = 1 << 8,  /* writing to standard error */
    KIND_SOCKET = 1 << 9,  /* bind, listen, connect, setsockopt, epoll_ctl … */
    KIND_LOCK = 1 << 10,   /* flock, and fcntl but for F_DUPFD: local file systems never refuse them */
    KIND_EXEC = 1 << 11,   /* execveat */
};

enum verb {
    VERB_ERROR,    /* the call is not made and fails with errno `value` */
    VERB_SHORT,    /* at most `value` bytes are read or written */
    VERB_KILL,     /* SIGKILL for this process, before the call */
    VERB_KILL_ALL, /* SIGKILL for every process of the server, before the call */
};

struct page {
    _Atomic uint32_t processes;              /* so many have begun, in this order: */
    _Atomic int32_t pids[PROCESSES_MAX];
    _Atomic uint32_t armed;                  /* what follows is valid, and meant */
    int32_t pid;                             /* whose calls; 0: anybody's */
    int32_t ordinal;                         /* as above: 0 the master; -1: anybody's */
    uint32_t kinds;
    int64_t skip;                            /* so many calls pass, */
    int64_t times;                           /* then so many are struck */
    uint32_t verb;
    int32_t value;
    char path[TEXT_LEN];                     /* only of files whose path has this in it */
    char thread[TEXT_LEN];                   /* only of the thread with this name */
    char program[TEXT_LEN];                  /* only while the program whose path has this in it runs */
    _Atomic int64_t seen;                    /* such calls since it was armed */
    _Atomic int64_t struck;
    char last[TEXT_LEN];                     /* the function that was struck last */
};
