/* spawn.h: fork, and all that a child does before it is itself. Called by master.c for workers and
 * one-shot children, and by main.c for verbs that run in one. */
#pragma once

#include "shared/entry.h"
#include "shared/identity.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn_order {
    struct entry entry; /* all but channel_fd, which is made here */
    int (*run)(void *ctx); /* what the child does instead of worker_main; NULL: worker_main */
    const struct identity *identity; /* whom the child becomes first of all; NULL: it stays who we are */
    bool with_channel;
    bool terminal;   /* spawn_and_wait: the child decides on Ctrl-C, and we end as it ended */
    bool background; /* a process group of its own: Ctrl-C reaches the master only */
    /* In the child: closes and frees what is the master's alone. May be NULL. */
    void (*drop_inherited)(void *ctx);
    void *ctx;
};

struct child {
    pid_t pid;
    int channel_fd; /* the master's end, non-blocking, close-on-exec; -1 without */
};

/* Forks; the child runs worker_main and never returns from here. 0, or -1 with errno (no memory, no
 * processes, no descriptors): then nothing has happened, and one may try again later. */
int spawn_child(const struct spawn_order *order, struct child *child_r);

/* The same in the foreground: waits for the child's end and returns its exit code; 1, with a line
 * on the log, when it was killed or could not be made. */
int spawn_and_wait(const struct spawn_order *order);

/* "worker 3" or "migrate": the role as logs and titles name it. */
enum { SPAWN_NAME_MAX = 32 };
void spawn_name(enum role role, int slot, char name_r[static SPAWN_NAME_MAX]);
