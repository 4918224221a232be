/* proxy_header.h: the header of the PROXY protocol, version 2, with which a balancer begins a
 * connection to tell whose it is (HAProxy's proxy-protocol.txt, section 2.2). Pure. Any thread. */
#pragma once

#include "worker/http/proxy.h"

#include <stddef.h>

/* With all its extensions (TLVs), which are skipped: more is refused. */
enum { PROXY_HEADER_MAX = 4096 };

#define PROXY_HEADER_RESULTS(X)                                                                    \
    X(MORE, "it is incomplete")                                                                    \
    X(PEER, "it names the client")                                                                 \
    X(LOCAL, "it names nobody")                                                                    \
    X(NONE, "it does not begin with one")                                                          \
    X(OLD, "its header has the protocol's version 1; write send-proxy-v2 there")                   \
    X(WRONG, "its header is malformed")                                                            \
    X(LONG, "its header is longer than 4096 bytes")

enum proxy_header {
#define X(name, text) PROXY_HEADER_##name,
    PROXY_HEADER_RESULTS(X)
#undef X
};
/* The words above. */
const char *proxy_header_text(enum proxy_header result);

/* Looks at the first bytes of a connection. PEER: *peer_r is the client that the balancer speaks for.
 * LOCAL: it speaks for itself (a health check), or for a client without an address: the socket's own
 * peer stands. With both, *used_r is the header's length. All but these and MORE end the connection. */
enum proxy_header proxy_header_read(const char *bytes, size_t len, struct peer *peer_r,
                                    size_t *used_r);
