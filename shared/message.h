/* message.h: what master and worker say to each other over their SOCK_SEQPACKET pair: one fixed,
 * typed record per packet (seqpacket(7)). The channel's end-of-file means that the other side is
 * gone. Content is distrusted: length, type and generation are checked on receipt. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum message_type {
    MESSAGE_READY = 1, /* worker to master: configuration, store and listeners are open */
    MESSAGE_DRAIN,     /* master to worker: a full stop: accept until the queues are empty, finish, leave */
    MESSAGE_MOVE,      /* master to worker: others go on: hand connections over, leave; value: a bit
                          for each of its listeners that ends (bit i: entry->listeners[i], to be
                          emptied first); the others are left to the others */
    MESSAGE_QUIT,      /* master to worker: quick stop; value = grace in ms */
    MESSAGE_DUMP,      /* master to worker: write into the log what you are doing */
    MESSAGE_LOG_LEVEL, /* master to worker: value = enum log_level */
    MESSAGE_CUT,       /* worker to master, before it leaves: value = connections cut in mid-request */
    MESSAGE_DEBUG,     /* master to worker: value = 1: debug mode on, 0: off */
    MESSAGE_ACCEPT,    /* master to worker: one that waits for it (entry.held) may take newcomers now */
    MESSAGE_REOPEN,    /* master to worker: open the audit log's file anew */
    MESSAGE_TYPE_END
};

struct message {
    uint32_t type;       /* enum message_type */
    uint32_t generation; /* of the worker it is from or for */
    int32_t pid;         /* of the sender */
    uint32_t pad;        /* zero */
    int64_t value;       /* as the type says */
};

/* Sends one message without waiting. 0, or -1 with errno (EAGAIN: the queue is full; EPIPE: the
 * other side is gone). Fills in the pid. */
int message_send(int fd, enum message_type type, unsigned generation, int64_t value);

enum message_result { MESSAGE_OK, MESSAGE_NONE, MESSAGE_CLOSED, MESSAGE_BAD };
/* Takes one message without waiting. MESSAGE_NONE: none is there. MESSAGE_BAD: wrong length or
 * type, to be counted and ignored. MESSAGE_CLOSED: end of file, or an error that means the same. */
enum message_result message_receive(int fd, struct message *message_r);

/* A child's side: gives every message of the master that is there to take(), which may not close fd;
 * bad ones are logged and left out. False: none will come any more; perhaps the master is gone. */
bool message_receive_all(int fd, void (*take)(void *ctx, const struct message *), void *ctx);
