/* config_compare.c: what a reload would change, and what stays until a restart. */
#include "shared/check.h"
#include "shared/config_internal.h"

#include <string.h>

static bool same_list(const struct config_list *a, const struct config_list *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool same_value(const struct option_value *a, const struct option_value *b)
{
    bool same_string = a->string && b->string ? strcmp(a->string, b->string) == 0
                                              : !a->string == !b->string;
    return a->number == b->number && same_string && same_list(&a->list, &b->list);
}

static void say_value(const struct config *c, const struct option *o, struct buf *out)
{
    struct option_value value = option_load(c, o);
    size_t before = out->len;
    if ((o->flags & SECRET) && (value.string || value.list.len > 0))
        buf_printf(out, "********");
    else
        option_format(o, &value, out);
    if (out->len == before)
        buf_printf(out, "unset");
}

static const char kept_origin[] = "kept: a change needs a restart";

/* A text of the other configuration must not outlive it here. */
static void keep_value(struct config *to, const struct config *from, const struct option *o)
{
    struct option_value value = option_load(from, o);
    if (value.string)
        value.string = arena_dup(&to->private_data->arena, value.string, strlen(value.string));
    option_store(to, o, &value);
    to->private_data->origins[option_id(o)] = kept_origin;
}

/* A change in a file that has no effect, because something stronger says otherwise. */
static bool say_shadow(const struct config_private *current, const struct config_private *next,
                       size_t i, struct buf *lines)
{
    const char *before = current->shadowed[i], *now = next->shadowed[i];
    if (!now || (before && strcmp(before, now) == 0))
        return false;
    const struct option *o = &config_options[i];
    buf_printf(lines, "%s.%s: %s has no effect, %s says otherwise\n", o->section, o->key, now,
               next->origins[i]);
    return true;
}

size_t config_compare(const struct config *current, struct config *next, bool keep, struct buf *lines)
{
    size_t changes = 0;
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        changes += say_shadow(current->private_data, next->private_data, i, lines);
        struct option_value a = option_load(current, o), b = option_load(next, o);
        if (same_value(&a, &b))
            continue;
        changes++;
        buf_printf(lines, "%s.%s: ", o->section, o->key);
        say_value(current, o, lines);
        buf_printf(lines, " -> ");
        say_value(next, o, lines);
        buf_printf(lines, " (%s)%s\n", next->private_data->origins[i],
                   o->flags & RESTART ? "; this needs a restart and is left as it is" : "");
        if (keep && (o->flags & RESTART))
            keep_value(next, current, o);
    }
    return changes;
}

/* ---- from program to program ----------------------------------------------------------------- */

bool config_kept_next(const struct config *c, size_t *at, struct config_kept *kept_r)
{
    while (*at < OPTIONS_LEN && !(config_options[*at].flags & RESTART))
        ++*at;
    if (*at == OPTIONS_LEN)
        return false;
    const struct option *o = &config_options[(*at)++];
    ASSERT(o->type == OPTION_STRING); /* as all of them are so far */
    const char *value = option_load(c, o).string;
    *kept_r = (struct config_kept){slice_of(o->section), slice_of(o->key),
                                   value ? slice_of(value) : (struct slice){0}};
    return true;
}

static const struct option *find_kept(const struct config_kept *kept)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        if ((o->flags & RESTART) && slice_equals(kept->section, slice_of(o->section)) &&
            slice_equals(kept->key, slice_of(o->key)))
            return o;
    }
    return NULL;
}

static bool parse_kept(struct config *c, const struct option *o, struct slice text,
                       struct option_value *value_r, struct buf *why)
{
    *value_r = (struct option_value){0};
    if (text.ptr)
        return option_parse(o, text, &c->private_data->arena, value_r, why);
    if (o->fallback)
        buf_printf(why, "it has none");
    return !o->fallback;
}

bool config_keep(struct config *c, const struct config_kept *kept, struct buf *notes,
                 struct buf *errors)
{
    const struct option *o = find_kept(kept);
    struct option_value value;
    struct buf why = {0};
    if (!o) {
        buf_printf(notes, "%.*s.%.*s: its present value is not kept: this version knows no such "
                          "option that needs a restart\n",
                   SLICE_ARGS(kept->section), SLICE_ARGS(kept->key));
        return true;
    }
    bool good = parse_kept(c, o, kept->value, &value, &why);
    if (!good)
        buf_printf(errors, "%s.%s: its present value: %.*s; this needs a restart\n", o->section,
                   o->key, SLICE_ARGS(buf_slice(&why)));
    struct option_value now = option_load(c, o);
    if (good && !same_value(&now, &value)) {
        option_store(c, o, &value);
        c->private_data->origins[option_id(o)] = kept_origin;
    }
    buf_free(&why);
    return good;
}
