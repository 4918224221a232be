/* cors.h: requests that a browser sends for a page of another origin (Fetch standard, "CORS protocol"). Off
 * without [cors] allow_origins. An origin is allowed when it is on the list, byte by byte; nothing is
 * answered to others that would let their pages read it, and nothing that they sent is sent back. Tokens
 * travel in a header, never in a cookie, so credentials mode is not offered. Loop thread. */
#pragma once

#include "shared/config.h"
#include "worker/http/request.h"

#include <stdbool.h>

/* Room for cors_put()'s lines, but for the origin. */
enum { CORS_LINES_MAX = 128 };

/* The request's origin as the list has it; {NULL, 0}: none, several, or one that is not on the list. */
struct slice cors_origin(const struct config_list *allowed, const struct request *r);
/* Writes the lines that let that origin's page read the answer; returns their end. */
char *cors_put(char *at, struct slice origin);

/* The browser asks whether it may send something later. */
bool cors_is_preflight(const struct request *r);
/* The header lines of the answer to it. *methods*: "GET, POST". */
void cors_preflight(struct buf *lines, const char *methods, int64_t max_age_ms);
