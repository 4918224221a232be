/* listeners.h: all the doors of the server: opened together by the master before anything else
 * touches the database, shared with the workers, refused and shut together at the end. */
#pragma once

#include "shared/config.h"
#include "shared/sock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>

struct listeners {
    struct listener *items; /* owned */
    size_t len;
    bool refusing; /* newcomers are refused; the paths of unix sockets are gone */
};

/* Binds every [server] bind. All or nothing: 0, or -1 with one line in *error*. */
int listeners_open(struct listeners *l, const struct config *config, struct buf *error);
/* A log line, with the remedy, for each whose backlog the kernel capped. */
void listeners_warn_capped(const struct listeners *l);
/* Newcomers are refused from now on; what the kernel has queued can still be accepted. */
void listeners_refuse(struct listeners *l);
/* The end for all processes: shut down, closed, paths unlinked. Twice is harmless. */
void listeners_shut(struct listeners *l);
/* "http://127.0.0.1:8000, unix:/run/x.sock", with real ports. */
void listeners_describe(const struct listeners *l, struct buf *out);
