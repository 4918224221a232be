/* library.h: libcurl, loaded with the first call of an upstream: it brings some thirty libraries along,
 * which cost a worker 25 ms and two megabytes. Functions are called as curl->easy_perform(…).
 * Loop thread, but for library_load(). */
#pragma once

#include "shared/str.h"

#define CURL_DISABLE_TYPECHECK /* its macros hide the functions */
#define CURL_NO_OLDIES
#include <curl/curl.h>

#define LIBRARY_FUNCTIONS(X)                                                                       \
    X(global_init_mem)                                                                               \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(share_init)                                                                                  \
    X(share_cleanup)                                                                               \
    X(share_setopt)                                                                                \
    X(url)                                                                                         \
    X(url_cleanup)                                                                                 \
    X(url_set)                                                                                     \
    X(multi_init)                                                                                  \
    X(multi_cleanup)                                                                               \
    X(multi_setopt)                                                                                \
    X(multi_add_handle)                                                                            \
    X(multi_remove_handle)                                                                         \
    X(multi_socket_action)                                                                         \
    X(multi_info_read)

struct library {
#define X(name) __typeof__(curl_##name) *name;
    LIBRARY_FUNCTIONS(X)
#undef X
};

/* The loaded library; it stays. NULL with the reason in *error*: asking again may help. On any thread,
 * one at a time (libcurl's start is safe beside other threads since 7.84). */
const struct library *library_load(struct buf *error);
