/* client.h: makes calls of one upstream over HTTP/1.1, on the worker's loop: libcurl's multi interface
 * with its sockets and its timer as watchers. Connections are kept and used again; redirects are not
 * followed, and proxies of the environment not asked. An answer is bounded in head, body and time.
 * Names are looked up on libcurl's own threads, certificates are verified. Of what comes at once, each
 * turn of the loop takes a few calls only (curl_watch.h). Loop thread. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/str.h"
#include "worker/upstream/call.h"

enum {
    CLIENT_BODY_MAX = 512 * 1024,       /* of one answer */
    CLIENT_HEAD_MAX = 64 * 1024,        /* … its head, trailers and interim answers */
    CLIENT_BODIES_MAX = 64 * 1024 * 1024, /* of all answers that are coming in */
    CLIENT_LEAVES = 4,                  /* cancelled calls whose connection is closed, in a turn of the loop */
    CLIENT_BEGINS = 2,                  /* … that waited for libcurl and are begun */
    CLIENT_REST_MS = 30000              /* without a call: connections are closed */
};

struct client;

struct client_options {
    const char *base;              /* "https://api.example.com:8443", no slash at the end */
    const char *ca_file;           /* certificates to trust instead of the system's; NULL: those */
    const char *const *headers;    /* "Name: value", of each call; they may hold a secret */
    size_t headers_len;
    unsigned max_connections;      /* at once; also how many are kept */
    int64_t rest_ms;               /* 0: CLIENT_REST_MS */
};

/* Copies the options. libcurl is loaded with the first call, on a thread; calls wait for it meanwhile,
 * and fail when it cannot be had, then the next one tries again. NULL with the reason in *error*. */
struct client *client_new(struct loop *l, const struct client_options *options, struct buf *error);
/* Cancels what is under way; the done() calls come when the loop turns again. Accepts NULL. */
void client_free(struct client *c);

/* For fan-outs. It lives as long as the client. */
struct caller *client_caller(struct client *c);
/* Calls under way. */
unsigned client_calls(const struct client *c);
