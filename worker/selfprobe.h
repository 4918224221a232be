/* selfprobe.h: a worker asks itself for /healthcheck, over a socket pair and through every layer,
 * before it calls itself ready. Loop thread. */
#pragma once

#include "worker/http/session.h"

struct selfprobe;

/* Calls done(ctx, …) once, in a later turn, with the status of the answer; 0: there was none. NULL
 * when it could not start (logged). */
struct selfprobe *selfprobe_start(struct http_service *s, void (*done)(void *ctx, int status),
                                  void *ctx);
/* Stops it when it still runs, and frees. Accepts NULL. */
void selfprobe_free(struct selfprobe *p);
