/* password.h: argon2id (RFC 9106) through libsodium, off the loop: on threads of low priority unless
 * that starves them (priority.h), at most one hash per core at a time over all workers
 * (shared/tickets.h), a bounded queue that is fair between accounts: they take turns, and none fills
 * more than a quarter of it. Calls are answered once, in a later turn. Passwords are copied, kept out
 * of core dumps and wiped.
 *
 * Thread: all functions and all done functions run on the loop's thread, but password_salt(), which
 * any may call. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/str.h"
#include "shared/tickets.h"
#include "worker/loop/task.h"

#include <stdbool.h>
#include <stdint.h>

struct passwords;

struct password_options {
    int64_t memory_bytes;         /* of one hash, 8 KiB to 1 GiB; counted in whole KiB */
    int64_t iterations;           /* passes, 1 to 100 */
    struct tickets *tickets;      /* borrowed; NULL: as many at a time as there are threads */
    struct scoreboard_slot *slot; /* counters, borrowed; may be NULL */
    unsigned threads;             /* 0: as many as tickets (one without tickets) */
    unsigned max_queue;           /* 0: a default (256); beyond it calls end as PASSWORD_BUSY */
    int64_t queue_timeout_ms;     /* longest wait before a hash begins; 0: a default (10 s) */
};

enum password_result {
    PASSWORD_OK,       /* hash: made. verify: it matches */
    PASSWORD_MISMATCH, /* verify: wrong password, unknown account, or a stored text that is no
                        * argon2id of bounded cost; all cost one verification */
    PASSWORD_BUSY,     /* queue full or too slow: 503 with Retry-After. Also after task_cancel() and
                        * passwords_free() */
    PASSWORD_NO_MEMORY /* 503 */
};

/* Valid until done() returns. */
struct password_reply {
    enum password_result result;
    struct slice hash; /* hash: "$argon2id$v=19$m=65536,t=3,p=1$…". verify: a new text with the same
                        * salt when the stored cost is lower than configured, else {NULL,0} */
};
typedef void password_done_fn(void *ctx, const struct password_reply *reply);

/* Copies the options. NULL without memory. */
struct passwords *passwords_new(struct loop *l, const struct password_options *options);
/* Ends queued work as PASSWORD_BUSY, waits (blocks) for the hashes that run. The last done() calls come when
 * the loop turns again. Accepts NULL. */
void passwords_free(struct passwords *p);

/* fair_key: the same for the same account (see password_fair_key()). Each returns the task, for
 * task_cancel() until done() is called; NULL without memory (then done() is not called). */
struct task *password_hash(struct passwords *p, struct slice password, uint64_t fair_key,
                           password_done_fn *done, void *ctx, const char *made_at);
/* *stored* {NULL,0}: the account is unknown; costs the same work and ends as PASSWORD_MISMATCH. */
struct task *password_verify(struct passwords *p, struct slice password, struct slice stored,
                             uint64_t fair_key, password_done_fn *done, void *ctx,
                             const char *made_at);
/* Keyed afresh in each process, so that nobody can choose accounts that share a turn. */
uint64_t password_fair_key(struct slice account);
/* Seconds to put into Retry-After (1 to 60), from the queue's present length and the time hashes
 * take. */
int password_retry_after_s(const struct passwords *p);

/* Calls begun and not answered. */
unsigned passwords_queued(const struct passwords *p);

/* The salt part of a stored text: what stands between its last two '$'; {NULL,0} when it has none.
 * What token.c digests into pwv. */
struct slice password_salt(struct slice stored);

/* Where a call is made is its last argument, for reports; nobody writes it. */
#define password_hash(...) password_hash(__VA_ARGS__, MADE_HERE)
#define password_verify(...) password_verify(__VA_ARGS__, MADE_HERE)
