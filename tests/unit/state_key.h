/* state_key.h: when two states of the supervisor are the same, and which have been seen.
 *
 * Time is counted in units: all settings are whole units and it moves by whole units, so that the
 * states are finite. A key holds all that can still matter, and nothing else: times count from now,
 * counters up to where they stop mattering, slots in any order. What is left out, and why that is
 * sound, stands beside each line of state_key.c; test_explore.c puts it to the test: states of one
 * key must lead to states of one key, by the same actions. */
#pragma once

#include "supervisor_sim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNIT_MS = 1000, STATE_WORKERS_MAX = 3, STATE_SLOTS_MAX = 2 * STATE_WORKERS_MAX + 2 };

/* What matters in one world. */
struct state_lens {
    bool flags;      /* workers are replaced singly: when the next one may be matters */
    bool forks;      /* the bucket of forks can become empty */
    bool counts_cut; /* what was cut decides the exit code, and nothing else */
    unsigned deaths_most, fork_failures_most, recycle_failures_most; /* all more are like these */
};
/* The counters' ends follow from the settings. */
struct state_lens state_lens_for(const struct sup_settings *settings, bool flags, bool forks,
                                 bool counts_cut);

struct state_key {
    uint64_t words[2 + STATE_SLOTS_MAX];
    size_t len;
};

/* At rest: no fork is unanswered. Includes what the laws remember. */
void state_key(const struct state_lens *lens, const struct sim *sim, struct state_key *key);
/* One slot's part. Slots with one code are the same but for their index. */
uint64_t state_slot_code(const struct state_lens *lens, const struct sim *sim, size_t slot);

/* A set of keys. Grows; without memory it ASSERTs. */
struct seen {
    uint64_t *cells; /* owned */
    size_t cap;      /* a power of two */
    size_t len;
};
void seen_init(struct seen *seen);
void seen_fini(struct seen *seen);
/* True when it was not in yet. */
bool seen_add(struct seen *seen, const struct state_key *key);
bool seen_has(const struct seen *seen, const struct state_key *key);
/* 64 bits of hash stand for a state. */
uint64_t state_hash(const struct state_key *key);
/* What is decided about a slot, a bit each. */
uint8_t state_flags(const struct sup_slot *slot);
