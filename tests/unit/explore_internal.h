/* explore_internal.h: what the files of explore.h share: the state under the lens, and what has
 * been found so far. */
#pragma once

#include "explore.h"

/* All of a state: what the supervisor knows, what the laws remember, and the time. In words, of
 * which most are those of the beginning: only the others are kept. */
enum { IMAGE_WORDS = 512, MASK_WORDS = IMAGE_WORDS / 64 };

struct node {
    struct node *next;
    unsigned depth;
    bool twin; /* of a state that was queued before */
    uint64_t mask[MASK_WORDS];
    uint64_t words[]; /* those that the mask names */
};

struct portrait {
    uint64_t hash, sum;
};

struct exploration {
    const struct world *world;
    struct explored *found;
    struct state_lens lens;
    struct sim sim; /* the state under the lens */
    struct fate fate;
    size_t supervisor_size, image_words;
    uint64_t origin[IMAGE_WORDS], image[IMAGE_WORDS]; /* at the beginning; of the present node */
    struct seen seen, stoppable, finite;
    struct node *first, **last;
    uint64_t sum;               /* all that the present node leads to, in any order */
    struct portrait *portraits; /* sums of the chosen keys */
    size_t portraits_len, portraits_cap;
    size_t expanded, offered[SUP_TICK + 1]; /* states in which that event was offered */
};

/* The present node's state is the simulation's again. */
void explore_load(struct exploration *x);
/* The simulation's state as words. */
void explore_save(const struct exploration *x, uint64_t *image);
/* Says where it is and fails the test. */
_Noreturn void explore_broken(const struct exploration *x, unsigned depth, const char *what);
bool explore_is_chosen(const struct exploration *x, uint64_t hash);
/* The simulation's state is to be looked at later; *twin*: though its key is known. */
void explore_queue(struct exploration *x, unsigned depth, bool twin);
/* The simulation's state has been come to from that node. */
void explore_arrive(struct exploration *x, const struct node *from);

/* explore_offer.c: all that can happen in a node. */
void explore_offer(struct exploration *x, const struct node *node);
/* Slot *i* is like one before it; codes[0..i] are kept. One of such is enough. */
bool explore_is_double(const struct exploration *x, size_t i, uint64_t codes[]);
bool explore_ready_is_late(const struct sup_slot *slot);
bool explore_can_be_flagged(const struct sup_slot *slot);

/* explore_vain.c: all that must change nothing. */
void explore_offer_in_vain(struct exploration *x, const struct node *node);

/* explore_ends.c: a stop leads to EXIT; a transition ends. */
void explore_ends(struct exploration *x, const struct node *node);
