/* json_members.c: a name that stands twice in an object. Names are sorted rather than hashed: no
 * choice of names makes it slow. */
#include "worker/validate/json_internal.h"

#include <stdlib.h>

struct entry {
    struct json_value *member;
    size_t order;
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    struct slice x = a->member->name, y = b->member->name;
    size_t shorter = x.len < y.len ? x.len : y.len;
    int by_bytes = shorter ? memcmp(x.ptr, y.ptr, shorter) : 0;
    if (by_bytes)
        return by_bytes;
    if (x.len != y.len)
        return x.len < y.len ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* Puts the value of *from* where *to* stands. */
static void take_value(struct json_value *to, const struct json_value *from)
{
    struct json_value kept = *to;
    *to = *from;
    to->name = kept.name;
    to->next = kept.next;
}

/* In each run of one name the first takes the last's value; the others lose their name, as a mark.
 * True when there was any. */
static bool mark_repeats(struct entry *entries, size_t len)
{
    bool any = false;
    for (size_t first = 0, last; first < len; first = last + 1) {
        struct json_value *kept = entries[first].member;
        for (last = first; last + 1 < len; last++) {
            if (!slice_equals(kept->name, entries[last + 1].member->name))
                break;
            any = true;
        }
        if (last > first)
            take_value(kept, entries[last].member);
        for (size_t i = first + 1; i <= last; i++)
            entries[i].member->name.ptr = NULL;
    }
    return any;
}

static void drop_marked(struct json_value *object)
{
    struct json_value **link = &object->items.first;
    while (*link) {
        if ((*link)->name.ptr) {
            link = &(*link)->next;
        } else {
            *link = (*link)->next;
            object->items.len--;
        }
    }
}

bool json_unite_members(struct arena *a, struct json_value *object)
{
    size_t len = object->items.len, i = 0;
    if (len < 2)
        return true;
    struct entry *entries = arena_alloc(a, len * sizeof *entries);
    if (!entries)
        return false;
    for (struct json_value *m = object->items.first; m; m = m->next, i++)
        entries[i] = (struct entry){m, i};
    qsort(entries, len, sizeof *entries, compare_entries);
    if (mark_repeats(entries, len))
        drop_marked(object);
    return true;
}
