/* control.h: the control socket's server: a unix socket, mode 0600, on which root and our own user
 * ask and order, one command a line (command.h), one JSON line back. Runs on the master's loop and
 * never waits: for a client that is slow or silent there are limits of bytes and time. Called by
 * master.c, in its one thread. */
#pragma once

#include "master/command.h"
#include "shared/config.h"
#include "shared/sock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

struct ev_loop;
struct control;

enum {
    CONTROL_CLIENTS_MAX = 16,
    CONTROL_LINE_MAX = 64 * 1024, /* bytes of a command */
    CONTROL_RING_MAX = 256,       /* events kept */
    CONTROL_RING_BYTES_MAX = 512 * 1024,
    CONTROL_OUT_MAX = 1024 * 1024 /* bytes a client may leave unread */
};

struct control_options {
    struct ev_loop *loop; /* borrowed */
    const char *path;     /* copied */
    void *ctx;
    /* A command, to be answered by control_answer(call->id), now or later. The same connection asks
     * nothing more before that. Not for EVENTS: those are answered here. */
    void (*call)(void *ctx, const struct control_call *call);
    /* The client left before its answer, which is not needed any more (but harmless). */
    void (*gone)(void *ctx, unsigned id);
    int64_t idle_ms; /* time for a command, and without progress in an answer; 0: 10 s. For tests */
};

/* Listens. What a dead server left at the path is replaced; a live server, or anything that is no
 * socket, is not. NULL with one line in *error*. */
struct control *control_open(const struct control_options *o, struct buf *error);

/* A connection as another program left it, or will find it. */
struct control_guest {
    int fd;
    struct slice in, out; /* borrowed: not yet looked at, not yet sent */
    bool follows, eof;
    unsigned call; /* id of the open one; 0: none */
};

/* The same for a door that is open already; its path stays as it is. */
struct control *control_adopt(const struct control_options *o, const struct listener *door,
                              struct buf *error);
const struct listener *control_door(const struct control *c);
/* The guest in the i-th place (of CONTROL_CLIENTS_MAX); false: nobody is there who still wants
 * something. */
bool control_guest_at(const struct control *c, size_t i, struct control_guest *guest_r);
/* Owns the descriptor from now on. Returns the id that its open call has now; 0: it has none, or
 * there was no place. Runs no callback. */
unsigned control_admit(struct control *c, const struct control_guest *guest);

/* One JSON object, without line end. An id that is not open (its client left) is ignored. Bytes
 * that are no UTF-8 go out as '?'. Runs no callback of the driver's. */
void control_answer(struct control *c, unsigned id, struct slice json);

/* An event, the same: kept among the last CONTROL_RING_MAX and sent to those who follow. */
void control_event(struct control *c, struct slice json);

/* In a forked child: closes the copies, frees, unlinks nothing. The loop's epoll set is the
 * master's too and is left alone; the loop itself must still exist (the watchers leave its lists).
 * Accepts NULL. */
void control_drop(struct control *c);

/* Answers open calls with an error (gone is not called), unlinks the path if it is still ours,
 * frees. Accepts NULL. Not from within a callback. */
void control_close(struct control *c);

/* Where the socket stands: [supervisor] control; else $RUNTIME_DIRECTORY/ctl.sock; else
 * $XDG_RUNTIME_DIR/colmeia-<port>.sock, or for a unix listener a name made from its path; else
 * beside the database file. *first_listener_name* is the name of the first TCP listener, or of the
 * first of all if there is none; NULL: taken from [server] bind. False: none is wanted, or there is
 * no place for it (a database in memory). Without a configuration only $RUNTIME_DIRECTORY is looked
 * at. */
bool control_default_path(const struct config *config, const char *first_listener_name,
                          struct buf *path_r);
