/* common.c: see common.h. A binary search over bytes: wherever it falls, the line around it is compared. */
#include "worker/validate/common.h"

#include <string.h>

/* The line that the byte at *at* belongs to, without its end; at < end. */
static struct slice line_around(const struct common_list *list, const char *at)
{
    const char *before = memrchr(list->begin, '\n', (size_t)(at - list->begin));
    const char *begin = before ? before + 1 : list->begin;
    const char *end = memchr(at, '\n', (size_t)(list->end - at));
    return (struct slice){begin, (size_t)((end ? end : list->end) - begin)};
}

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool common_has(const struct common_list *list, struct slice password)
{
    const char *low = list->begin, *high = list->end;
    while (low < high) {
        struct slice line = line_around(list, low + (high - low) / 2);
        int order = compare(password, line);
        if (order == 0)
            return password.len > 0;
        if (order < 0)
            high = line.ptr;
        else
            low = line.ptr + line.len + 1;
    }
    return false;
}
