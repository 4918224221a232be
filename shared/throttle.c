/* throttle.c: see throttle.h.
 *
 * A cell:  63 tag 42 | 41 debt, in s 24 | 23 time, in units of 125 ms 0
 *
 * The debt is as it was at the cell's time, which is that of the last attempt. Times are compared
 * modulo 24 days: an older cell may look young again, for as long as its debt takes to be paid, which
 * nobody who comes back after 24 days will mind. */
#include "shared/throttle.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/memory.h"
#include "shared/siphash.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SETS = THROTTLE_CELLS / THROTTLE_WAYS,
    TIME_BITS = 24,
    DEBT_BITS = 18,
    TAG_BITS = 22,
    ACCOUNT_BITS = 11, /* of a tag: the account's, which its pairs have, too */
    UNIT_MS = 125,
    UNITS_PER_S = 1000 / UNIT_MS,
    AHEAD_UNITS = 60 * UNITS_PER_S, /* another process may have read the clock a moment later */
    TIME_MASK = (1 << TIME_BITS) - 1,
    DEBT_MAX = (1 << DEBT_BITS) - 1
};
_Static_assert(TIME_BITS + DEBT_BITS + TAG_BITS == 64, "a cell");

struct throttle {
    struct siphash_key key; /* fixed at creation */
    _Alignas(64) _Atomic(uint64_t) cells[THROTTLE_CELLS];
};

/* ---- memory ---------------------------------------------------------------------------------- */

struct throttle *throttle_make(int *fd_r)
{
    struct throttle *t =
        FAULT_CALL(throttle_mmap, NULL, memory_new("colmeia-throttle", sizeof *t, fd_r));
    /* never short up to 256 bytes; getrandom(2) */
    if (!t || getrandom(&t->key, sizeof t->key, 0) == (ssize_t)sizeof t->key)
        return t;
    memory_undo(t, fd_r);
    return NULL;
}

struct throttle *throttle_map(int fd)
{
    return memory_map_exact(fd, sizeof(struct throttle));
}

uint64_t throttle_layout(void)
{
    return 1 << 24 | THROTTLE_WAYS << 8 | sizeof(_Atomic(uint64_t));
}

void throttle_free(struct throttle *t)
{
    memory_free(t);
}

/* ---- keys ------------------------------------------------------------------------------------ */

enum kind { KIND_ACCOUNT, KIND_PAIR, KIND_ADDRESS, KIND_SIGN_UP };

struct throttle_address throttle_address_of(int family, const uint8_t *bytes)
{
    struct throttle_address a = {.len = family == AF_INET ? 4 : family == AF_INET6 ? 8 : 0};
    memcpy(a.bytes, bytes, a.len);
    return a;
}

/* The address's length stands before it, so that no account can make up for it. */
static uint64_t hash_of(const struct throttle *t, enum kind kind, struct throttle_address address,
                        struct slice account)
{
    const uint8_t head[] = {(uint8_t)kind, address.len};
    struct siphash s;
    siphash_begin(&s, &t->key);
    siphash_add(&s, head, sizeof head);
    siphash_add(&s, address.bytes, address.len);
    siphash_add(&s, account.ptr, account.len);
    return siphash_end(&s);
}

static struct throttle_key key_of(uint64_t hash)
{
    return (struct throttle_key){.set = (uint32_t)(hash % SETS), .tag = (uint32_t)(hash >> (64 - TAG_BITS))};
}

struct throttle_key throttle_key_account(const struct throttle *t, struct slice account)
{
    return key_of(hash_of(t, KIND_ACCOUNT, (struct throttle_address){0}, account));
}

static uint32_t account_bits(uint32_t tag)
{
    return tag >> (TAG_BITS - ACCOUNT_BITS);
}

struct throttle_key throttle_key_pair(const struct throttle *t, struct slice account,
                                      struct throttle_address address)
{
    struct throttle_key key = key_of(hash_of(t, KIND_PAIR, address, account));
    uint32_t own_bits = key.tag & ((1 << (TAG_BITS - ACCOUNT_BITS)) - 1);
    key.tag = account_bits(throttle_key_account(t, account).tag) << (TAG_BITS - ACCOUNT_BITS) | own_bits;
    return key;
}

struct throttle_key throttle_key_address(const struct throttle *t, struct throttle_address address)
{
    return key_of(hash_of(t, KIND_ADDRESS, address, SLICE("")));
}

struct throttle_key throttle_key_sign_up(const struct throttle *t, struct throttle_address address)
{
    return key_of(hash_of(t, KIND_SIGN_UP, address, SLICE("")));
}

/* ---- a cell ---------------------------------------------------------------------------------- */

static uint64_t cell_make(uint32_t tag, uint32_t debt_s, uint32_t time)
{
    return (uint64_t)tag << (DEBT_BITS + TIME_BITS) | (uint64_t)debt_s << TIME_BITS | time;
}

static uint32_t cell_tag(uint64_t cell)
{
    return (uint32_t)(cell >> (DEBT_BITS + TIME_BITS));
}

static uint32_t cell_debt_s(uint64_t cell)
{
    return (uint32_t)(cell >> TIME_BITS) & DEBT_MAX;
}

static uint32_t units_of(mono_ms now)
{
    return (uint32_t)(now.ms / UNIT_MS) & TIME_MASK;
}

static uint32_t elapsed_units(uint64_t cell, uint32_t now)
{
    uint32_t units = (now - (uint32_t)cell) & TIME_MASK;
    return units > TIME_MASK - AHEAD_UNITS ? 0 : units;
}

/* What is left of the debt; 0: the cell is free. */
static uint32_t debt_now_s(uint64_t cell, uint32_t now)
{
    uint32_t debt_s = cell_debt_s(cell), paid_s = elapsed_units(cell, now) / UNITS_PER_S;
    return debt_s > paid_s ? debt_s - paid_s : 0;
}

/* From the last attempt on. */
static uint32_t growing_wait_s(uint64_t cell, const struct throttle_rule *rule)
{
    uint32_t failures = (cell_debt_s(cell) + rule->forget_s - 1) / rule->forget_s;
    if (failures < rule->limit)
        return 0;
    uint32_t doublings = failures - rule->limit;
    return doublings < 10 ? UINT32_C(1) << doublings : THROTTLE_WAIT_MAX_S;
}

static int64_t cell_wait_ms(uint64_t cell, const struct throttle_rule *rule, uint32_t now)
{
    int64_t elapsed = elapsed_units(cell, now), wait;
    if (rule->grows) {
        wait = (int64_t)growing_wait_s(cell, rule) * UNITS_PER_S - elapsed;
    } else {
        int64_t too_much_s = (int64_t)cell_debt_s(cell) - (int64_t)(rule->limit - 1) * rule->forget_s;
        wait = too_much_s * UNITS_PER_S - elapsed;
    }
    return wait > 0 ? wait * UNIT_MS : 0;
}

/* ---- a set ----------------------------------------------------------------------------------- */

/* What a look at a set has found: the key's cell, else the one that it would take. */
struct look {
    bool found;
    uint32_t cell;
    uint64_t value;
};

static bool is_of(uint64_t cell, uint32_t tag)
{
    return cell_debt_s(cell) > 0 && cell_tag(cell) == tag;
}

/* The first of those that would be forgotten soonest; of free ones, the first. */
static struct look look_at(const struct throttle *t, struct throttle_key key, uint32_t now)
{
    struct look least = {.found = false}, own = {.found = false};
    uint32_t least_s = UINT32_MAX;
    for (uint32_t i = key.set * THROTTLE_WAYS; i < (key.set + 1) * THROTTLE_WAYS; i++) {
        uint64_t value = atomic_load(&t->cells[i]);
        uint32_t debt_s = debt_now_s(value, now);
        if (is_of(value, key.tag) && (!own.found || debt_s > debt_now_s(own.value, now)))
            own = (struct look){true, i, value};
        if (debt_s < least_s) {
            least = (struct look){false, i, value};
            least_s = debt_s;
        }
    }
    return own.found ? own : least;
}

static uint32_t sum_s(uint32_t a, uint32_t b)
{
    return a + b < DEBT_MAX ? a + b : DEBT_MAX;
}

/* The debt goes, the time of the last one stays. */
static void take_off(struct throttle *t, struct throttle_key key, uint32_t off_s, uint32_t now)
{
    for (;;) {
        struct look look = look_at(t, key, now);
        uint32_t debt_s = cell_debt_s(look.value);
        if (!look.found)
            return;
        debt_s = debt_s > off_s ? debt_s - off_s : 0;
        uint64_t less = debt_s ? cell_make(key.tag, debt_s, (uint32_t)look.value & TIME_MASK) : 0;
        if (atomic_compare_exchange_strong(&t->cells[look.cell], &look.value, less))
            return;
    }
}

/* False: the cell is not the key's any more. */
static bool add_to(_Atomic(uint64_t) *cell, struct throttle_key key, uint32_t more_s, uint32_t now)
{
    uint64_t value = atomic_load(cell);
    while (is_of(value, key.tag)) {
        uint64_t sum = cell_make(key.tag, sum_s(debt_now_s(value, now), more_s), now);
        if (atomic_compare_exchange_weak(cell, &value, sum))
            return true;
    }
    return false;
}

/* Two that came with a new key at the same time may each have found it a cell, if a third changed the
 * set between their looks. Whoever sees it makes one of them: the first stays. For a moment both have what
 * one gets from the other, so that nobody who takes back what he has counted finds nothing. */
static void unite(struct throttle *t, struct throttle_key key, uint32_t now)
{
    _Atomic(uint64_t) *first = NULL;
    for (uint32_t i = key.set * THROTTLE_WAYS; i < (key.set + 1) * THROTTLE_WAYS; i++) {
        uint64_t value = atomic_load(&t->cells[i]);
        if (!is_of(value, key.tag))
            continue;
        if (!first) {
            first = &t->cells[i];
            continue;
        }
        while (is_of(value, key.tag)) {
            uint32_t moved_s = debt_now_s(value, now);
            if (!add_to(first, key, moved_s, now))
                return; /* this one stays */
            if (atomic_compare_exchange_strong(&t->cells[i], &value, 0))
                break;
            take_off(t, key, moved_s, now); /* somebody else was there */
        }
    }
}

/* ---- counting -------------------------------------------------------------------------------- */

int64_t throttle_wait_ms(const struct throttle *t, struct throttle_key key,
                         const struct throttle_rule *rule, mono_ms now)
{
    struct look look = look_at(t, key, units_of(now));
    return look.found ? cell_wait_ms(look.value, rule, units_of(now)) : 0;
}

int64_t throttle_charge(struct throttle *t, struct throttle_key key,
                        const struct throttle_rule *rule, mono_ms now,
                        struct throttle_charge *charge_r)
{
    uint32_t units = units_of(now);
    ASSERT(rule->limit > 0 && rule->forget_s > 0);
    ASSERT((uint64_t)rule->limit * rule->forget_s < 250000);
    for (;;) {
        struct look look = look_at(t, key, units);
        int64_t wait_ms = look.found ? cell_wait_ms(look.value, rule, units) : 0;
        if (wait_ms > 0)
            return wait_ms;
        uint32_t debt_s = look.found ? debt_now_s(look.value, units) : 0;
        uint64_t before = look.value;
        uint64_t after = cell_make(key.tag, sum_s(debt_s, rule->forget_s), units);
        if (!atomic_compare_exchange_strong(&t->cells[look.cell], &look.value, after))
            continue;
        if (!look.found)
            unite(t, key, units);
        *charge_r = (struct throttle_charge){key, look.cell, rule->forget_s, before, after};
        return 0;
    }
}

/* Whether the key of this cell, which another one had taken the place of, has found a new place. */
static bool has_moved(const struct throttle *t, struct throttle_key of_set, uint64_t cell)
{
    bool found = false;
    for (uint32_t i = of_set.set * THROTTLE_WAYS; i < (of_set.set + 1) * THROTTLE_WAYS; i++)
        found |= is_of(atomic_load(&t->cells[i]), cell_tag(cell));
    return found;
}

void throttle_undo(struct throttle *t, const struct throttle_charge *c)
{
    uint64_t expected = c->after;
    uint64_t before = c->before;
    if (cell_tag(before) != c->key.tag && has_moved(t, c->key, before))
        before = 0;
    if (atomic_compare_exchange_strong(&t->cells[c->cell], &expected, before))
        return;
    /* others were counted since */
    take_off(t, c->key, c->forget_s, (uint32_t)c->after & TIME_MASK);
}

/* ---- forgetting ------------------------------------------------------------------------------ */

static bool forget_cell(_Atomic(uint64_t) *cell, uint64_t seen)
{
    return atomic_compare_exchange_strong(cell, &seen, 0);
}

void throttle_forget(struct throttle *t, struct throttle_key key)
{
    for (uint32_t i = key.set * THROTTLE_WAYS; i < (key.set + 1) * THROTTLE_WAYS; i++) {
        uint64_t value = atomic_load(&t->cells[i]);
        while (is_of(value, key.tag) && !forget_cell(&t->cells[i], value))
            value = atomic_load(&t->cells[i]);
    }
}

unsigned throttle_forget_account(struct throttle *t, struct slice account)
{
    uint32_t bits = account_bits(throttle_key_account(t, account).tag);
    unsigned forgotten = 0;
    for (uint32_t i = 0; i < THROTTLE_CELLS; i++) {
        uint64_t value = atomic_load(&t->cells[i]);
        if (cell_debt_s(value) > 0 && account_bits(cell_tag(value)) == bits)
            forgotten += forget_cell(&t->cells[i], value);
    }
    return forgotten;
}

unsigned throttle_forget_all(struct throttle *t)
{
    unsigned forgotten = 0;
    for (uint32_t i = 0; i < THROTTLE_CELLS; i++)
        forgotten += cell_debt_s(atomic_exchange(&t->cells[i], 0)) > 0;
    return forgotten;
}

unsigned throttle_used(const struct throttle *t, mono_ms now)
{
    unsigned used = 0;
    for (uint32_t i = 0; i < THROTTLE_CELLS; i++)
        used += debt_now_s(atomic_load_explicit(&t->cells[i], memory_order_relaxed), units_of(now)) > 0;
    return used;
}
