/* calibrate.c: see calibrate.h. */
#include "worker/tools/calibrate.h"

#define MIB (INT64_C(1) << 20)

/* OWASP's least costs (Password Storage Cheat Sheet: 46 MiB and 1 pass, 19 MiB and 2, 12 MiB and 3)
 * lie on a line of about this product. */
static const int64_t work_min = 46 * MIB;

size_t calibrate_rows(bool quick, struct calibrate_row rows_r[static CALIBRATE_ROWS_MAX])
{
    static const int64_t memories[] = {16, 32, 64, 128, 256};
    size_t len = 0;
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++)
        for (int passes = 1; passes <= 4; passes++)
            if (!quick || (passes % 2 == 1 && memories[m] <= 64))
                rows_r[len++] =
                    (struct calibrate_row){.memory_bytes = memories[m] * MIB, .passes = passes};
    return len;
}

static bool is_measured(const struct calibrate_row *row)
{
    return row->busy_us > 0;
}

bool calibrate_is_strong(const struct calibrate_row *row)
{
    return row->memory_bytes * row->passes >= work_min;
}

static bool is_better(const struct calibrate_row *row, const struct calibrate_row *than)
{
    return !than || row->memory_bytes > than->memory_bytes ||
           (row->memory_bytes == than->memory_bytes && row->passes > than->passes);
}

const struct calibrate_row *calibrate_choose(const struct calibrate_row *rows, size_t len,
                                             int64_t target_us, unsigned tickets,
                                             int64_t memory_max, bool *fits_r)
{
    const struct calibrate_row *best = NULL, *cheapest = NULL;
    for (size_t i = 0; i < len; i++) {
        const struct calibrate_row *row = &rows[i];
        if (!is_measured(row) || !calibrate_is_strong(row))
            continue;
        if (!cheapest || row->busy_us < cheapest->busy_us)
            cheapest = row;
        if (row->busy_us <= target_us && row->memory_bytes * (int64_t)tickets <= memory_max &&
            is_better(row, best))
            best = row;
    }
    *fits_r = best != NULL;
    return best ? best : cheapest;
}

bool calibrate_target(struct slice text, int64_t *target_us_r)
{
    uint64_t value;
    int64_t unit_us = 1000000;
    if (slice_ends_with(text, SLICE("ms"))) {
        unit_us = 1000;
        text.len -= 2;
    } else if (slice_ends_with(text, SLICE("s"))) {
        text.len -= 1;
    }
    if (!slice_to_u64(text, 10000, &value))
        return false;
    *target_us_r = (int64_t)value * unit_us;
    return *target_us_r >= 10000 && *target_us_r <= 10000000;
}

void calibrate_head(struct buf *out)
{
    buf_printf(out, "%6s  %6s  %10s  %12s  %10s  %13s\n", "memory", "passes", "one alone",
               "all at once", "logins/s", "memory in all");
}

void calibrate_line(struct buf *out, const struct calibrate_row *row, unsigned tickets)
{
    buf_printf(out, "%5lldm  %6d  ", (long long)(row->memory_bytes / MIB), row->passes);
    if (!is_measured(row))
        buf_printf(out, "%10s  %12s  %10s", "-", "-", "-");
    else
        buf_printf(out, "%7.1f ms  %9.1f ms  %10.1f", (double)row->alone_us / 1e3,
                   (double)row->busy_us / 1e3, (double)tickets * 1e6 / (double)row->busy_us);
    buf_printf(out, "  %12lldm\n", (long long)(row->memory_bytes / MIB * tickets));
}
