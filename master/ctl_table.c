/* ctl_table.c: see ctl_table.h. */
#include "master/ctl_table.h"

#include "shared/check.h"

#include <stdio.h>
#include <stdlib.h>

void table_init(struct table *t, const char *const *heads, size_t columns)
{
    ASSERT(columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){.heads = heads, .columns = columns};
}

void table_free(struct table *t)
{
    free(t->cells);
    t->cells = NULL;
}

/* A cut may have gone through a character: its rest goes, too. */
static void drop_half_character(char *cell)
{
    size_t len = strlen(cell), start = len;
    while (start > 0 && ((unsigned char)cell[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)cell[start - 1] >= 0xc0)
        cell[start - 1] = '\0';
}

void table_add(struct table *t, const char *format, ...)
{
    if (t->cells_len == t->cells_cap) {
        size_t cap = t->cells_cap ? 2 * t->cells_cap : 16 * t->columns;
        void *cells = realloc(t->cells, cap * sizeof t->cells[0]);
        t->failed |= !cells;
        if (!cells)
            return;
        t->cells = cells;
        t->cells_cap = cap;
    }
    char *cell = t->cells[t->cells_len++];
    va_list ap;
    va_start(ap, format);
    if (vsnprintf(cell, TABLE_CELL_MAX, format, ap) >= TABLE_CELL_MAX)
        drop_half_character(cell);
    va_end(ap);
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void spaces(struct buf *out, size_t n)
{
    while (n-- > 0)
        buf_append_char(out, ' ');
}

static void write_cell(struct buf *out, const char *text, size_t width, bool right, bool last)
{
    size_t pad = width - width_of(text);
    if (right)
        spaces(out, pad);
    buf_append_slice(out, slice_of(text));
    if (!right && !last)
        spaces(out, pad);
    buf_append_slice(out, last ? SLICE("\n") : SLICE("  "));
}

void table_write(const struct table *t, struct buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = width_of(t->heads[c] + (t->heads[c][0] == '>'));
    for (size_t i = 0; i < t->cells_len; i++) {
        size_t width = width_of(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (size_t i = 0; i < t->columns + t->cells_len; i++) {
        size_t c = i % t->columns;
        bool right = t->heads[c][0] == '>';
        const char *text = i < t->columns ? t->heads[c] + right : t->cells[i - t->columns];
        write_cell(out, text, widths[c], right, c == t->columns - 1);
    }
    out->failed |= t->failed;
}
