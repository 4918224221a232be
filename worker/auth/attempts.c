/* attempts.c: see attempts.h. */
#include "worker/auth/attempts.h"

#include "shared/check.h"

enum {
    PAIR_LIMIT = 5,
    ACCOUNT_LIMIT = 50,
    FORGET_S = 15 * 60,   /* of an account's failures: the longest wait, so that waiting gains nothing */
    ADDRESS_FORGET_S = 60, /* many people may be behind one */
    HOUR_S = 3600
};

struct attempt_rules attempt_rules_of(const struct config *c)
{
    struct attempt_rules r = {0};
    if (c->auth_throttle) {
        r.pair = (struct throttle_rule){PAIR_LIMIT, FORGET_S, true};
        r.account = (struct throttle_rule){ACCOUNT_LIMIT, FORGET_S, true};
        r.address = (struct throttle_rule){(uint32_t)c->auth_throttle_address, ADDRESS_FORGET_S, true};
    }
    if (c->auth_create_limit > 0) {
        uint32_t limit = (uint32_t)c->auth_create_limit;
        r.sign_up = (struct throttle_rule){limit, (HOUR_S + limit - 1) / limit, false};
    }
    return r;
}

static void count(const struct attempts *a, enum counter counter)
{
    if (a->slot)
        counter_add(a->slot, counter, 1);
}

/* ---- the beginning ---------------------------------------------------------------------------- */

struct counted_key {
    struct throttle_key key;
    const struct throttle_rule *rule;
};

/* All of them are looked at before any is counted: who has to wait for one leaves no trace. */
static int64_t longest_wait_ms(const struct attempts *a, const struct counted_key *keys, unsigned len,
                               mono_ms now)
{
    int64_t longest = 0;
    for (unsigned i = 0; i < len; i++) {
        int64_t wait_ms = throttle_wait_ms(a->table, keys[i].key, keys[i].rule, now);
        longest = wait_ms > longest ? wait_ms : longest;
    }
    return longest;
}

static int64_t begin(struct attempts *a, const struct counted_key *keys, unsigned len, mono_ms now,
                     struct attempt *attempt)
{
    int64_t wait_ms = longest_wait_ms(a, keys, len, now);
    for (unsigned i = 0; i < len && wait_ms == 0; i++) {
        wait_ms = throttle_charge(a->table, keys[i].key, keys[i].rule, now, &attempt->charges[i]);
        attempt->len += wait_ms == 0;
    }
    if (wait_ms > 0) /* somebody came between */
        attempts_undone(a, attempt);
    return wait_ms;
}

int64_t attempts_login(struct attempts *a, struct slice account,
                       const struct attempt_origin *origin, mono_ms now, struct attempt *attempt_r)
{
    struct counted_key keys[ATTEMPT_KEYS_MAX];
    unsigned len = 0;
    *attempt_r = (struct attempt){.has_pair = a->rules.pair.limit > 0};
    if (!a->table)
        return 0;
    if (a->rules.pair.limit > 0)
        keys[len++] = (struct counted_key){
            throttle_key_pair(a->table, account, origin->address), &a->rules.pair};
    if (a->rules.account.limit > 0)
        keys[len++] = (struct counted_key){throttle_key_account(a->table, account), &a->rules.account};
    if (a->rules.address.limit > 0 && !origin->exempt && origin->address.len > 0)
        keys[len++] =
            (struct counted_key){throttle_key_address(a->table, origin->address), &a->rules.address};
    int64_t wait_ms = begin(a, keys, len, now, attempt_r);
    if (wait_ms > 0)
        count(a, COUNTER_logins_throttled);
    return wait_ms;
}

int64_t attempts_sign_up(struct attempts *a, const struct attempt_origin *origin, mono_ms now,
                         struct attempt *attempt_r)
{
    *attempt_r = (struct attempt){0};
    if (!a->table || a->rules.sign_up.limit == 0 || origin->exempt || origin->address.len == 0)
        return 0;
    struct counted_key key = {throttle_key_sign_up(a->table, origin->address), &a->rules.sign_up};
    int64_t wait_ms = begin(a, &key, 1, now, attempt_r);
    if (wait_ms > 0)
        count(a, COUNTER_sign_ups_throttled);
    return wait_ms;
}

/* ---- the end ---------------------------------------------------------------------------------- */

void attempts_undone(struct attempts *a, struct attempt *attempt)
{
    while (attempt->len > 0)
        throttle_undo(a->table, &attempt->charges[--attempt->len]);
}

void attempts_succeeded(struct attempts *a, struct attempt *attempt)
{
    if (attempt->len == 0)
        return;
    struct throttle_key first = attempt->charges[0].key;
    attempts_undone(a, attempt);
    if (attempt->has_pair)
        throttle_forget(a->table, first);
}

void attempts_failed(struct attempts *a, struct attempt *attempt)
{
    attempt->len = 0;
    count(a, COUNTER_logins_failed);
}

void attempts_signed_up(struct attempt *attempt)
{
    attempt->len = 0;
}
