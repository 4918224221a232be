/* control_text.h: what goes out on the control socket: lines of JSON, and the events kept for those
 * who ask later. Only control.c calls it. */
#pragma once

#include "master/control.h"

/* Appends the JSON as one line of UTF-8 (without its end): what is none becomes '?', line ends
 * spaces, and nothing longer than it was. Texts in it may come from files and clients; only strings
 * can hold what is replaced, so it stays JSON. */
void control_text_clean(struct buf *out, struct slice json);
/* Appends {"ok":false,"error":"…"}. */
void control_text_error(struct buf *out, struct slice text);

/* The last events, oldest first; {0} is an empty one. Bounded in number and bytes. */
struct control_ring {
    struct control_ring_event {
        char *json; /* owned */
        size_t len;
    } events[CONTROL_RING_MAX];
    size_t first, len, bytes;
};

/* Keeps a copy, cleaned; one that is too long for the ring is not kept. */
void control_ring_add(struct control_ring *r, struct slice json);
/* Appends {"ok":true,"events":[…]}. */
void control_ring_write(const struct control_ring *r, struct buf *out);
/* Forgets all. */
void control_ring_free(struct control_ring *r);
