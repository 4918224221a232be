/* curl_watch.h: what libcurl's multi interface wants to be watched (sockets, one timer) as watchers of
 * the loop. Inner header of worker/upstream. Loop thread. */
#pragma once

#include "worker/loop/loop.h"
#include "worker/upstream/library.h"

struct curl_watch;

struct curl_watches {
    struct loop *loop;          /* borrowed */
    const struct library *curl; /* borrowed */
    CURLM *multi;               /* borrowed; NULL: stopped */
    void (*collect)(void *ctx); /* libcurl was told something: transfers may be over */
    void *ctx;
    struct ev_timer timer;
    struct curl_watch **by_fd;  /* made when first needed, and kept: libcurl comes and goes often */
    size_t by_fd_len;
};

void curl_watches_init(struct curl_watches *w, struct loop *l, const struct library *curl,
                       void (*collect)(void *ctx), void *ctx);
/* From now on serves this multi handle, whose socket and timer functions it sets. */
void curl_watches_start(struct curl_watches *w, CURLM *multi);
/* Before the handle is cleaned up. */
void curl_watches_stop(struct curl_watches *w);
void curl_watches_fini(struct curl_watches *w);
