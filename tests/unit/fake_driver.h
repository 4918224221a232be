/* fake_driver.h: a store driver without a database, for tests: rows in memory, answers that come on
 * the loop in later turns, as a non-blocking client's do, and a script that delays, reorders or
 * replaces them. It shows that the store's interface holds for both kinds of driver. */
#pragma once

#include "worker/store/driver.h"

/* What happens to one call, in the order of submission; calls beyond the script are answered in the
 * next turn with what the rows say. */
struct fake_step {
    unsigned turns; /* extra turns of the loop to wait: a longer wait overtakes nobody else */
    bool replace;   /* answer *result* and leave the rows alone */
    enum store_result result;
    bool refuse; /* ends as TASK_REFUSED */
    bool begin;  /* is under way from its submission on: cannot be called off */
};

extern const struct store_driver store_driver_fake;

/* The script of the fake store opened next or open now; borrowed. NULL: none. */
void fake_driver_script(const struct fake_step *steps, size_t len);
/* Steps of it that no call has taken yet. */
size_t fake_driver_left(void);
/* Calls that are submitted and not answered. */
unsigned fake_driver_pending(void);
/* Answers all of them now. */
void fake_driver_hurry(void);
