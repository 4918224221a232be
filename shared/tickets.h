/* tickets.h: at most one password hash per core at a time, over all workers. A small shared table
 * of 64-bit cells, compare-and-swap, no locks: a cell holds the owner's pid. Whoever finds no free
 * cell is entered among those who ask and sleeps on a futex(2) in the same memory; a ticket that is
 * given back goes straight to the process that asks and holds the least. The master frees what a
 * process held that it reaped. */
#pragma once

#include <stdatomic.h>
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

/* Takes a ticket for this process; sleeps until one is free or passed to it or timeout_ms have passed
 * (0: tries once). A number to give back, or -1. Any thread. */
int tickets_take(struct tickets *t, int64_t timeout_ms);
/* The same, but ends with -1, too, once *stop is true; tickets_wake() makes those who sleep look. */
int tickets_await(struct tickets *t, int64_t timeout_ms, const atomic_bool *stop);
void tickets_wake(struct tickets *t);
/* Whether its holder, with more to hash, may go on with it: no other process that asks holds none, or
 * two fewer. Going on saves the change of threads, which is felt by those who are woken meanwhile. */
bool tickets_may_keep(struct tickets *t);
/* Gives it back: to who asks, else it is free. */
void tickets_give(struct tickets *t, int ticket);
/* Frees whatever *pid* held or asked for (it is dead) and wakes those who ask: call it for every
 * process reaped, for it may have died on the way to a ticket. Returns how many tickets it held. */
unsigned tickets_reclaim(struct tickets *t, pid_t pid);
/* Frees what no process holds or asks for, by the pid that is written there, and wakes those who ask:
 * nobody else would, after a stray write. Returns how many tickets those were. Master. */
unsigned tickets_weed(struct tickets *t);
/* How many *pid* holds now, those on their way to it included. */
unsigned tickets_held(const struct tickets *t, pid_t pid);
/* How many there are, and how many are held now (for display: it may have changed). */
unsigned tickets_count(const struct tickets *t);
unsigned tickets_taken(const struct tickets *t);
