/* listeners.h: all the doors of one configuration: opened together by the master before anything
 * else touches the database, shared with the workers, refused and shut together at the end. A
 * reload opens the doors of the next configuration beside the present ones: what both have stays
 * one socket with one queue (two descriptors of it), so that nobody who waits there is lost. Doors
 * that a service manager gave (activation.h) are in every configuration, asked for or not. */
#pragma once

#include "shared/config.h"
#include "shared/sock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LISTENERS_MAX = 60 }; /* each is a bit of MESSAGE_MOVE's value */

/* What becomes of a door when its configuration goes. */
enum listener_fate {
    LISTENER_OURS,  /* shut with the server */
    LISTENER_KEPT,  /* another configuration has it too, or it is activated: only this descriptor
                       is closed */
    LISTENER_ENDING /* newcomers are refused already; what is queued is still served */
};

struct listener_note {
    char *asked; /* the address as configured: what makes it the same one after a reload, whatever
                    words stand behind it then; owned */
    char *source; /* of an activated one: "systemd web.socket"; owned; NULL: bound here */
    int twin;    /* index in the configuration it was taken from; -1: opened anew */
    enum listener_fate fate;
};

struct listeners {
    struct listener *items;      /* owned; workers see these */
    struct listener_note *notes; /* owned; one for each */
    size_t len;
    bool refusing; /* newcomers are refused; the paths of unix sockets are gone */
};

/* Binds every [server] bind that *current* (may be NULL) does not have; the activated ones of
 * *current* come along in any case, and where there are such, the default address is not opened.
 * All or nothing: 0, or -1 with one line in *error*. */
int listeners_open(struct listeners *l, const struct config *config, const struct listeners *current,
                   struct buf *error);
/* The same for any list of addresses, none of them given by a service manager. An empty one is fine. */
int listeners_open_list(struct listeners *l, const struct config_list *bind, int backlog,
                        const struct listeners *current, struct buf *error);
/* A log line, with the remedy, for each whose backlog the kernel capped. */
void listeners_warn_capped(const struct listeners *l);
/* *next*, opened beside *l*, takes over: what it does not have ends, and its backlogs count. */
void listeners_hand_on(struct listeners *l, struct listeners *next);
/* The way back: *next* will not be; what only it has ends. */
void listeners_take_back(struct listeners *next);
/* The doors that end, as MESSAGE_MOVE says it. */
int64_t listeners_ending(const struct listeners *l);
/* Newcomers are refused from now on; what the kernel has queued can still be accepted. */
void listeners_refuse(struct listeners *l);
/* Shuts for all processes and unlinks what is not kept; closes all; frees. Twice is harmless. */
void listeners_shut(struct listeners *l);
/* In a child: closes its copies. */
void listeners_drop(struct listeners *l);
/* "https://127.0.0.1:8443 tls, unix:/run/x.sock proxy (from systemd)", with real ports. */
void listeners_describe(const struct listeners *l, struct buf *out);
