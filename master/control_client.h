/* control_client.h: one connection to the control socket: bytes, lines, deadlines; what the lines
 * mean is control.c's affair, which alone calls this. A client asks one thing at a time: its next
 * line is looked at when the answer before it has gone out. Places for clients are never freed
 * singly, so a client may be closed from anywhere. */
#pragma once

#include "shared/str.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct control_client;

/* What all clients share. */
struct control_host {
    struct ev_loop *loop; /* borrowed */
    int64_t idle_ms;      /* for a command, and without progress in an answer */
    void *ctx;
    /* A whole line, without its end. Says something, or sets cl->call or cl->follows. */
    void (*line)(void *ctx, struct control_client *cl, struct slice line);
    /* The client is closed, the call that it had open needs no answer. The last thing that happens
     * to it. */
    void (*left)(void *ctx, unsigned call);
};

/* What a client's timer is for. */
enum control_phase {
    CONTROL_PHASE_IDLE,    /* it owes us a command */
    CONTROL_PHASE_WRITING, /* it owes us progress in reading our answer */
    CONTROL_PHASE_CALLED,  /* we owe it an answer, or events: no deadline */
    CONTROL_PHASE_DEAF,    /* the same, but nothing is read: is it still there? */
    CONTROL_PHASE_LEAVING  /* all is said; its rest is read away (closing would reset it) */
};

struct control_client {
    const struct control_host *host; /* borrowed */
    int fd;                          /* -1: the place is free */
    ev_io io;
    ev_timer timer;
    int events; /* io waits for these; 0: it is stopped */
    enum control_phase phase;
    struct buf in;  /* at most CONTROL_LINE_MAX + 1 bytes */
    struct buf out; /* at most CONTROL_OUT_MAX, but for a single answer */
    size_t scanned; /* of in: no line end there */
    unsigned call;  /* id of the open one; 0: none */
    bool follows;   /* gets events */
    bool eof;       /* it sends no more; it may still read */
    bool dismissed; /* no command of its is looked at any more */
    bool shut;      /* dismissed, and all was sent */
};

/* A free place. */
void control_client_init(struct control_client *cl, const struct control_host *host);
/* In a free place. The descriptor is owned from now on. */
void control_client_open(struct control_client *cl, int fd);
struct control_guest;
/* The same for one whom another program has served so far; *call*: the id of its open call, or 0.
 * False: it is closed again. */
bool control_client_resume(struct control_client *cl, const struct control_guest *guest,
                           unsigned call);
/* The place is free afterwards. Twice is harmless. */
void control_client_close(struct control_client *cl);
/* Queues a line. One who leaves too much unread is closed. */
void control_client_say(struct control_client *cl, struct slice json);
void control_client_say_error(struct control_client *cl, struct slice text);
/* Writes what the kernel takes at once, before closing. */
void control_client_flush(struct control_client *cl);
