/* tickets.h: at most one password hash per core at a time, over all workers. A small shared table
 * of 64-bit cells, compare-and-swap, no locks: a cell holds the owner's pid. Whoever finds no free
 * cell sleeps on a futex(2) in the same memory. The master frees the cells of a process it reaped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tickets;

/* How many this machine gets: one for each core this process may use. */
unsigned tickets_wanted(void);
/* Maps a shared table of *count* tickets (1 to 256). Master, before it forks. NULL without memory. */
struct tickets *tickets_new(unsigned count);
/* The same, and the descriptor it lives behind (memory.h): with it another program that has the same
 * layout, which a number stands for, maps it too: the limit is one for all. NULL with errno. */
struct tickets *tickets_make(unsigned count, int *fd_r);
struct tickets *tickets_map(int fd);
uint64_t tickets_layout(void);
/* Unmaps it from this process. Accepts NULL. */
void tickets_free(struct tickets *t);

/* Takes a ticket for this process; sleeps until one is free or timeout_ms have passed (0: tries
 * once). A number to give back, or -1. Any thread. */
int tickets_take(struct tickets *t, int64_t timeout_ms);
/* Gives it back and wakes one waiter. */
void tickets_give(struct tickets *t, int ticket);
/* Frees whatever *pid* held (it is dead) and wakes the waiters: call it for every process reaped,
 * for it may have died between being woken and taking. Returns how many tickets it held. */
unsigned tickets_reclaim(struct tickets *t, pid_t pid);
/* How many *pid* holds now. */
unsigned tickets_held(const struct tickets *t, pid_t pid);
/* How many there are, and how many are held now (for display: it may have changed). */
unsigned tickets_count(const struct tickets *t);
unsigned tickets_taken(const struct tickets *t);
