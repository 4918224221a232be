/* config_suggest.c: the nearest of some names, for "did you mean". Optimal string alignment
 * distance: insertion, deletion, replacement and the swap of two neighbours cost one each. */
#include "shared/config_internal.h"

enum { WORD_MAX = 64 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Both at most WORD_MAX long. Three rows of the table are enough. */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && y == lower(a.ptr[i - 2]))
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

void suggestion_offer(struct suggestion *s, const char *candidate)
{
    struct slice name = slice_of(candidate);
    if (s->word.len == 0 || s->word.len > WORD_MAX || name.len > WORD_MAX)
        return;
    size_t near = s->word.len < 6 ? 2 : s->word.len / 3; /* a third may be wrong */
    size_t d = distance(s->word, name);
    if (d > near || d >= name.len || (s->best && d >= s->distance))
        return;
    s->best = candidate;
    s->distance = d;
}
