/* door.h: an address of [server] bind with the words behind it, "0.0.0.0:8443 tls proxy", that say
 * how the connections which come there begin. Pure. Any thread. */
#pragma once

#include "shared/sock.h"
#include "shared/str.h"

#include <stdbool.h>

/* In the order in which a connection goes through them. */
#define DOOR_WORDS(X)                                                                              \
    X(PROXY, "proxy") /* each connection begins with a header of the PROXY protocol, version 2 */  \
    X(TLS, "tls")     /* then, or at once, with a TLS handshake */

enum door_index {
#define X(name, text) DOOR_INDEX_##name,
    DOOR_WORDS(X)
#undef X
    DOOR_WORDS_LEN
};

/* Bits of listener.words. */
enum door_word {
#define X(name, text) DOOR_##name = 1 << DOOR_INDEX_##name,
    DOOR_WORDS(X)
#undef X
    DOOR_WORDS_ALL = (1 << DOOR_WORDS_LEN) - 1
};

/* What stands before the first blank: the address as people type it (sock.h). */
struct slice door_address(struct slice text);
/* Address and words, these in any order. False with the reason (no line end) appended to *error*. */
bool door_parse(struct slice text, struct sock_address *address_r, unsigned *words_r,
                struct buf *error);
/* The words among *words*, each behind a blank: " proxy tls". */
void door_say_words(unsigned words, struct buf *out);
