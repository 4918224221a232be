/* calibrate.h: which cost of a password hash fits a machine: the pure part of `colmeia calibrate`.
 */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One cost and what it takes; times are 0 when it was not measured. */
struct calibrate_row {
    int64_t memory_bytes;
    int passes;
    int64_t alone_us; /* one hash, the other cores idle */
    int64_t busy_us;  /* one hash while every ticket is in use */
};

/* The costs to look at, cheapest first; *quick*: only a few. Returns how many; rows_r has room for
 * CALIBRATE_ROWS_MAX. */
enum { CALIBRATE_ROWS_MAX = 20 };
size_t calibrate_rows(bool quick, struct calibrate_row rows_r[static CALIBRATE_ROWS_MAX]);

/* The best that stays within *target_us* while every ticket is in use and within *memory_max* for
 * *tickets* of them: the most memory, then the most passes (RFC 9106, 4). Costs that would be too
 * weak are left out. When none is fast enough, *fits_r* is false and it is the cheapest that is not
 * weak. NULL: nothing was measured. */
const struct calibrate_row *calibrate_choose(const struct calibrate_row *rows, size_t len,
                                             int64_t target_us, unsigned tickets,
                                             int64_t memory_max, bool *fits_r);

/* Whether a cost is above the least that OWASP recommends. */
bool calibrate_is_strong(const struct calibrate_row *row);

/* "250ms", "1s", "0.25" is none; a bare number is seconds. False when it is no time from 10 ms to
 * 10 s. */
bool calibrate_target(struct slice text, int64_t *target_us_r);

/* A line of the table, and its head. */
void calibrate_head(struct buf *out);
void calibrate_line(struct buf *out, const struct calibrate_row *row, unsigned tickets);
