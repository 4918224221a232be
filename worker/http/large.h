/* large.h: the memory of answers. What an answer takes beyond its request's own block is counted until
 * it has left, or its client has. Answers that may be of any size (request_await_room()) are begun one
 * at a time in a worker, each as the first of its connection's queue, and while what is counted is
 * within [limits] answer_memory. So a connection holds one of them, however many were asked for ahead;
 * a worker that memory and one answer more; and one alone may be of any size. Beyond that memory requests
 * are not taken ahead of others of their connection. Inner header of
 * worker/http. Loop thread. */
#pragma once

#include "worker/http/turn.h"

enum { LARGE_WAIT_MS = 10000 }; /* as the first of its connection; then it is refused */

/* Waits for room and may have become the first of its connection's queue, or its client has left:
 * stands in line from now on. Harmless twice. */
void large_line_up(struct turn *t);
/* Answers that are made and have not left take no more than they may. */
bool large_may_be_more(const struct http_service_private *sp);
/* Its answer is made: counts it, and lets the next one begin. */
void large_answered(struct turn *t);
/* … and goes now. */
void large_released(struct turn *t);

/* The watcher; and the end: whoever still waits is refused. */
void large_init(struct http_service_private *sp);
void large_stop(struct http_service_private *sp);
