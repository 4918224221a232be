/* fake_worker.h: a scripted worker_main for tests of the master: what each child does is written
 * into shared memory before the master forks. */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

/* The life of one worker; FAKE_SERVE is the good one. */
enum fake_life {
    FAKE_SERVE,        /* ready; leaves when told */
    FAKE_FAIL,         /* exits 70 before it is ready */
    FAKE_REFUSE,       /* exits 78 before it is ready */
    FAKE_HANG,         /* never ready, deaf */
    FAKE_CRASH,        /* ready, then dies of a signal */
    FAKE_DEAF,         /* ready, then deaf to all but SIGKILL */
    FAKE_ONLY_QUIT,    /* ready; does not leave on DRAIN or MOVE, but cuts on QUIT */
    FAKE_CUT,          /* ready; cuts two connections when told to leave */
    FAKE_CLOSE_CHANNEL /* ready, closes its channel; leaves on TERM */
};

enum { FAKE_LIVES_MAX = 16 };

struct fake_plan {
    enum fake_life lives[FAKE_LIVES_MAX]; /* the n-th worker lives the n-th, then the last again */
    unsigned lives_len;
    int migrate_code; /* exit code of the migration; -1: it hangs until TERM, -2: deaf */
    int checkpoint_code;
    int descriptors; /* open in every process: what the test itself was started with */
    /* what the children report */
    atomic_uint workers;
    atomic_uint generation; /* of the last worker */
    atomic_uint listeners;  /* that it got */
    atomic_uint migrations;
    atomic_uint checkpoints;
    atomic_uint faults; /* enum fake_fault, or-ed */
    _Atomic(pid_t) pids[FAKE_LIVES_MAX];
};

/* What a child found wrong with the world it woke up in. */
enum fake_fault {
    FAKE_FAULT_DESCRIPTORS = 1, /* more are open than it needs */
    FAKE_FAULT_GROUP = 2,       /* it shares the master's process group */
    FAKE_FAULT_SIGNALS = 4,     /* mask or dispositions */
    FAKE_FAULT_ENTRY = 8,       /* a field of struct entry */
    FAKE_FAULT_DEATH = 16       /* no signal at the parent's death */
};

/* Shared by test, master and children; set before anything forks. */
extern struct fake_plan *fake_plan;

/* How many this process has open; how many another has. */
int fake_open_descriptors(void);
int fake_open_descriptors_of(pid_t pid);
