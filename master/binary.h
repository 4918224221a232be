/* binary.h: programs on disk: the one that runs, and one that may take its place. What can be known
 * without running it; the rest it must show itself (upgrade.h). Called by the driver. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <time.h>

struct binary {
    int fd;     /* of the file itself, whatever stands at the path now; -1: none */
    struct timespec written; /* when it was opened: whoever only touches it wants it, too */
    char *path; /* absolute, where a newer one is looked for; owned */
};

/* None. */
void binary_init(struct binary *b);
/* The program that runs, and the path by which it was started: whoever puts another file, or a link to
 * one, there wants that to run. 0, or -1 with errno: without /proc, for instance. */
int binary_self(struct binary *b_r);
/* One that somebody else has opened; takes both. */
struct binary binary_of(int fd, char *path);
/* Another file stands at the path than the one that runs: another inode, or written since. */
bool binary_differs(const struct binary *running, const char *path);
/* Opens and judges what stands there: a regular file that we may execute, ELF, for this machine.
 * False with one line in *error*. */
bool binary_open(const char *path, struct binary *b_r, struct buf *error);
/* Harmless twice. */
void binary_close(struct binary *b);
