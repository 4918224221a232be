/* attempts.h: who may try how often: logins by account and address together, by account, and by
 * address; new accounts by address. The counts stand in the table that all workers share
 * (shared/throttle.h); this says which keys an attempt has, and by which rules they are counted. An
 * attempt is counted when it begins and taken back if it turns out to be none. Whether an account
 * exists makes no difference to anything here. Loop thread. */
#pragma once

#include "shared/clock.h"
#include "shared/config.h"
#include "shared/scoreboard.h"
#include "shared/str.h"
#include "shared/throttle.h"

#include <stdbool.h>
#include <stdint.h>

/* The limits of a configuration; limit 0: not counted. */
struct attempt_rules {
    struct throttle_rule pair, account, address, sign_up;
};
struct attempt_rules attempt_rules_of(const struct config *config);

struct attempts {
    struct throttle *table;       /* borrowed; NULL: nothing is counted */
    struct scoreboard_slot *slot; /* counters, borrowed; may be NULL */
    struct attempt_rules rules;
};

/* Where an attempt comes from. */
struct attempt_origin {
    struct throttle_address address;
    bool exempt; /* from what is counted by address alone, as addresses that are none are, too */
};

enum { ATTEMPT_KEYS_MAX = 3 };

/* What an attempt was counted as; {0}: nothing. */
struct attempt {
    struct throttle_charge charges[ATTEMPT_KEYS_MAX];
    unsigned len;
    bool has_pair; /* charges[0] is that of account and address together */
};

/* Milliseconds to wait; 0: it may begin, and is counted. *account*: the e-mail as it is looked up.
 */
int64_t attempts_login(struct attempts *a, struct slice account,
                       const struct attempt_origin *origin, mono_ms now, struct attempt *attempt_r);
int64_t attempts_sign_up(struct attempts *a, const struct attempt_origin *origin, mono_ms now,
                         struct attempt *attempt_r);

/* The end of one that began. Calls for an attempt that has ended do nothing. */

/* The password was right: what failed from this address before is forgotten; what failed elsewhere
 * is not, for that was somebody else. */
void attempts_succeeded(struct attempts *a, struct attempt *attempt);
/* Wrong password or unknown account: it stays counted. */
void attempts_failed(struct attempts *a, struct attempt *attempt);
/* An account was made, or may be yet, or would have been if the client had stayed: it stays counted. */
void attempts_signed_up(struct attempt *attempt);
/* Nothing was judged: too busy, no database, the client left; no account was made, and by no fault of
 * the client. */
void attempts_undone(struct attempts *a, struct attempt *attempt);
