/* ctl_table.h: columns of text that line up. Only ctl_print.c calls it. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

enum { TABLE_CELL_MAX = 64, TABLE_COLUMNS_MAX = 16 };

struct table {
    const char *const
        *heads; /* borrowed; one that begins with '>' makes its column right-aligned */
    size_t columns;
    size_t cells_len, cells_cap;
    char (*cells)[TABLE_CELL_MAX]; /* owned, row by row */
    bool failed;                   /* out of memory */
};

void table_init(struct table *t, const char *const *heads, size_t columns);
/* The next cell; too long a text is cut. */
void table_add(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Heads and rows, two spaces between columns, none at the end of a line. */
void table_write(const struct table *t, struct buf *out);
void table_free(struct table *t);
