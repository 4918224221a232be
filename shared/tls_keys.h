/* tls_keys.h: the keys of TLS session tickets, shared memory: whichever worker a client comes back to,
 * it opens the ticket that another one gave. One writer, the master, which makes a new key now and then:
 * the newest seals, the two before it still open. Any process that serves reads. Core dumps do not hold
 * them (MADV_DONTDUMP). */
#pragma once

#include "shared/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TLS_KEY_NAME_LEN = 16,
    TLS_KEY_CIPHER_LEN = 32, /* AES-256-CBC */
    TLS_KEY_MAC_LEN = 32,    /* HMAC-SHA-256 */
    TLS_KEYS_VALID = 3       /* the newest and those that still open */
};

struct tls_key {
    unsigned char name[TLS_KEY_NAME_LEN]; /* stands in the ticket, in the clear */
    unsigned char cipher[TLS_KEY_CIPHER_LEN];
    unsigned char mac[TLS_KEY_MAC_LEN];
};

struct tls_keys;

/* Maps new ones, with a first key, and the descriptor they live behind (memory.h): another program that
 * has the same layout, which a number stands for, maps them too. NULL with errno. */
struct tls_keys *tls_keys_make(int *fd_r);
struct tls_keys *tls_keys_map(int fd);
uint64_t tls_keys_layout(void);
/* In a child that serves: they can only be read from now on. -1 with errno. */
int tls_keys_protect(struct tls_keys *k);
/* Unmaps. Accepts NULL. */
void tls_keys_free(struct tls_keys *k);

/* The master's: a new key, if the newest is older than *every_ms*. True: there is one. No random bytes:
 * it is tried again at the next call. */
bool tls_keys_turn(struct tls_keys *k, mono_ms now, int64_t every_ms);

/* The newest, to seal with. The copy is the caller's to wipe. */
void tls_keys_newest(const struct tls_keys *k, struct tls_key *key_r);
/* The one of that name, to open with: 0 the newest, 1 or 2 older ones, -1: not there any more. */
int tls_keys_find(const struct tls_keys *k, const unsigned char name[static TLS_KEY_NAME_LEN],
                  struct tls_key *key_r);
