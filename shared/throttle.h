/* throttle.h: what each key has failed lately, and how long it has to wait for that: a table of
 * 65,536 cells of 64 bits that all workers share, compare-and-swap, no locks, no memory beyond it.
 * It knows no passwords and no HTTP: worker/auth/attempts.h says which keys an attempt has and by
 * which rules.
 *
 * A cell holds a debt in seconds. Each attempt adds the rule's *forget_s*, and time pays it back:
 * of failures that are *forget_s* seconds worth each one is forgotten in as many. From *limit*
 * failures on the key waits 1 s after the last one, 2 s after the next, 4 s … up to 15 min. So over
 * any time T nobody gets more than limit + 12 + T / forget_s attempts, however they are spread.
 *
 * An attempt is counted before it is made, and taken back if it was none: of attempts at the same
 * time no more are let through than of others.
 *
 * Keys are hashed with a key that is made at random with the table. Eight cells, a line of the
 * processor's cache, make a set; a key may be in any cell of its set. A new key takes the place of
 * the one with the least debt, the one that would be forgotten soonest. Two keys of one set are
 * taken for one another with a chance of 1 in 4 million.
 *
 * Time is passed in, and is the same monotonic clock for all processes. Any thread, any process. */
#pragma once

#include "shared/clock.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct throttle;

enum { THROTTLE_CELLS = 65536, THROTTLE_WAYS = 8, THROTTLE_WAIT_MAX_S = 15 * 60 };

/* Maps a new table behind a descriptor (memory.h), the caller's. Master, before it forks. NULL with
 * errno. */
struct throttle *throttle_make(int *fd_r);
/* Maps one that perhaps another program has made; its layout must be throttle_layout(). */
struct throttle *throttle_map(int fd);
uint64_t throttle_layout(void);
/* Unmaps it from this process. Accepts NULL. */
void throttle_free(struct throttle *t);

/* ---- keys ------------------------------------------------------------------------------------ */

/* Whom an address stands for: an IPv4 address, or the /64 that an IPv6 one is in, for every
 * customer has so many. None (a unix socket): len 0. */
struct throttle_address {
    uint8_t len;
    uint8_t bytes[8];
};

/* family: AF_INET or AF_INET6, bytes in network order; anything else gives none. */
struct throttle_address throttle_address_of(int family, const uint8_t *bytes);

/* Where a key may be, and how it is told from others there. */
struct throttle_key {
    uint32_t set;
    uint32_t tag;
};

struct throttle_key throttle_key_account(const struct throttle *t, struct slice account);
struct throttle_key throttle_key_pair(const struct throttle *t, struct slice account,
                                      struct throttle_address address);
struct throttle_key throttle_key_address(const struct throttle *t, struct throttle_address address);
struct throttle_key throttle_key_sign_up(const struct throttle *t, struct throttle_address address);

/* ---- counting -------------------------------------------------------------------------------- */

struct throttle_rule {
    uint32_t limit;    /* 1 to 4000 */
    uint32_t forget_s; /* one is forgotten in so many seconds; limit * forget_s < 250000 */
    bool grows;        /* the wait doubles with each one; else it is until one is forgotten */
};

/* An attempt that was counted, for taking it back. */
struct throttle_charge {
    struct throttle_key key;
    uint32_t cell;
    uint32_t forget_s;
    uint64_t before, after;
};

/* Milliseconds that *key* has to wait; 0: none. Counts nothing. */
int64_t throttle_wait_ms(const struct throttle *t, struct throttle_key key,
                         const struct throttle_rule *rule, mono_ms now);
/* The same, and if the answer is 0 the attempt is counted. */
int64_t throttle_charge(struct throttle *t, struct throttle_key key,
                        const struct throttle_rule *rule, mono_ms now,
                        struct throttle_charge *charge_r);
/* It was no failure: as if it had not been. What else was counted meanwhile stays. */
void throttle_undo(struct throttle *t, const struct throttle_charge *charge);

/* ---- forgetting ------------------------------------------------------------------------------ */

/* All that was counted for this key. */
void throttle_forget(struct throttle *t, struct throttle_key key);
/* All that was counted for this account, from whatever addresses; and, since its keys are known by
 * 11 bits only, for one key in 2048 of others. Returns how many cells that were. */
unsigned throttle_forget_account(struct throttle *t, struct slice account);
unsigned throttle_forget_all(struct throttle *t);
/* Keys that have something to be forgotten (for display: it may have changed). */
unsigned throttle_used(const struct throttle *t, mono_ms now);
