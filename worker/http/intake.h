/* intake.h: from bytes to requests in a session's queue. Inner header of worker/http: called by
 * session.c within a round. */
#pragma once

#include "worker/http/session_internal.h"

/* Takes requests out of the bytes until they end, or no more may be taken now; starts those that
 * may start. Returns the bytes taken. */
size_t intake(struct session *s, const char *bytes, size_t len);
/* Queues a 100 Continue if the client waits for one. True: it did. */
bool intake_offer_continue(struct session *s);
/* Answers the request that is being read with an error, as the session's last. *head*: its bytes, as
 * far as they have come and its head was not complete. */
void intake_refuse(struct session *s, int status, struct slice head);

/* In session.c: appends to the queue (one reference goes with it); starts it if it may. */
void session_enqueue(struct session *s, struct turn *t);
/* Whether another request may be taken now. */
bool session_can_take(const struct session *s);
/* No deadline; the end of the round sets the one that is due, anew. */
void session_clear_timer(struct session *s);
