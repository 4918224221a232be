/* priority.h: at which priority hashes are made. They give way to the loops by their nice value, on
 * a thread of their own; but where loops, or other programs, have work for all of a core, that
 * leaves little of it, and logins would wait without end. No thread may take its nice value back
 * (setpriority(2)): so a hashing thread is of normal priority, has a companion that is not, and
 * makes the next hash itself when the companion was starved, until there is enough of the core
 * again.
 *
 * Thread: a struct belongs to one hashing thread, which calls all of this. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

struct priority {
    bool raised; /* the next one is made at normal priority */
    bool has_companion;
    bool closing;
    pthread_t companion;
    sem_t called, finished; /* they pass what follows to and fro */
    void (*work)(void *arg);
    void *arg;
    int64_t cpu_us, took_us; /* of the last work */
};

/* Makes the companion. Without one, which is logged, no hash gives way. */
void priority_open(struct priority *p);
/* Ends the companion, waiting for it. */
void priority_close(struct priority *p);

/* Calls work(arg), here or on the companion, and returns when it is over. True: at normal priority,
 * though it was worth the other thread. */
bool priority_do(struct priority *p, void (*work)(void *arg), void *arg);

/* Whether the next work is to be done at normal priority, after one that was (*raised*) or was not,
 * took *took_us* and had *cpu_us* of it on a core. Pure. */
bool priority_judge(bool raised, int64_t cpu_us, int64_t took_us);
