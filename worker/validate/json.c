/* json.c: see json.h. The structure of the text, without recursion: while a container is open, its
 * *next* leads to the one around it. */
#include "worker/validate/json.h"

#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/json_internal.h"

#include <math.h>

static void skip_space(struct json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool next_is(const struct json_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

/* Appends an empty value to the items of *parent*, behind *last* (NULL: the first). NULL without
 * memory. */
static struct json_value *add_item(struct arena *a, struct json_value *parent,
                                   struct json_value *last)
{
    struct json_value *item = arena_zalloc(a, sizeof *item);
    if (!item)
        return NULL;
    if (last)
        last->next = item;
    else
        parent->items.first = item;
    parent->items.len++;
    return item;
}

static char closing(const struct json_value *container)
{
    return container->type == JSON_ARRAY ? ']' : '}';
}

/* What follows an item: *more_r says whether another one does. Leaves r->at on it, or behind the
 * bracket that closes. */
static enum json_result read_separator(struct json_reader *r, const struct json_value *container,
                                       bool *more_r)
{
    skip_space(r);
    *more_r = false;
    if (next_is(r, closing(container))) {
        r->at++;
        return JSON_OK;
    }
    if (!next_is(r, ','))
        return json_fail(r, "Expecting ',' delimiter", r->at);
    const char *comma = r->at++;
    skip_space(r);
    if (next_is(r, closing(container)))
        return json_fail(r,
                         container->type == JSON_ARRAY
                             ? "Illegal trailing comma before end of array"
                             : "Illegal trailing comma before end of object",
                         comma);
    *more_r = true;
    return JSON_OK;
}

static enum json_result read_name(struct json_reader *r, struct json_value *member)
{
    if (!next_is(r, '"'))
        return json_fail(r, "Expecting property name enclosed in double quotes", r->at);
    bool surrogates; /* nobody asks of a name */
    enum json_result result = json_read_string(r, &member->name, &surrogates);
    if (result != JSON_OK)
        return result;
    skip_space(r);
    if (!next_is(r, ':'))
        return json_fail(r, "Expecting ':' delimiter", r->at);
    r->at++;
    skip_space(r);
    return JSON_OK;
}

/* Makes the next item of *container*, up to where its value begins. */
static enum json_result begin_item(struct json_reader *r, struct json_value *container,
                                   struct json_value *last, struct json_value **item_r)
{
    *item_r = add_item(r->arena, container, last);
    if (!*item_r)
        return JSON_NO_MEMORY;
    return container->type == JSON_OBJECT ? read_name(r, *item_r) : JSON_OK;
}

static bool read_word(struct json_reader *r, struct json_value *value)
{
    static const struct {
        struct slice word;
        enum json_type type;
        bool boolean;
    } words[] = {
        {{"null", 4}, JSON_NULL, false},
        {{"true", 4}, JSON_BOOL, true},
        {{"false", 5}, JSON_BOOL, false},
    };
    struct slice rest = {r->at, (size_t)(r->end - r->at)};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_starts_with(rest, words[i].word)) {
            value->type = words[i].type;
            value->boolean = words[i].boolean;
            r->at += words[i].word.len;
            return true;
        }
    return false;
}

static enum json_result read_scalar(struct json_reader *r, struct json_value *value)
{
    if (next_is(r, '"')) {
        value->type = JSON_STRING;
        return json_read_string(r, &value->text, &value->surrogates);
    }
    return read_word(r, value) ? JSON_OK : json_read_number(r, value);
}

/* Enters the container whose bracket is at r->at. */
static enum json_result open_container(struct json_reader *r, struct json_value *value)
{
    if (r->depth == JSON_DEPTH_MAX)
        return JSON_UNDECODABLE;
    r->depth++;
    value->type = *r->at == '[' ? JSON_ARRAY : JSON_OBJECT;
    value->next = r->open;
    r->open = value;
    r->at++;
    skip_space(r);
    return JSON_OK;
}

/* Leaves the innermost container, whose bracket was read. */
static enum json_result close_container(struct json_reader *r)
{
    struct json_value *closed = r->open;
    r->depth--;
    r->open = closed->next;
    closed->next = NULL;
    if (closed->type == JSON_OBJECT && !json_unite_members(r->arena, closed))
        return JSON_NO_MEMORY;
    return JSON_OK;
}

/* *value* is whole: closes all that ends behind it. *next_r is the item to be read then, NULL when
 * nothing is open any more. */
static enum json_result end_value(struct json_reader *r, struct json_value *value,
                                  struct json_value **next_r)
{
    enum json_result result = JSON_OK;
    *next_r = NULL;
    while (result == JSON_OK && r->open) {
        bool more;
        result = read_separator(r, r->open, &more);
        if (result == JSON_OK && more)
            return begin_item(r, r->open, value, next_r);
        value = r->open;
        if (result == JSON_OK)
            result = close_container(r);
    }
    return result;
}

/* The value that begins at r->at, whitespace being skipped already. */
static enum json_result read_value(struct json_reader *r, struct json_value *value)
{
    enum json_result result = JSON_OK;
    while (result == JSON_OK && value) {
        if (!next_is(r, '[') && !next_is(r, '{')) {
            result = read_scalar(r, value);
        } else {
            result = open_container(r, value);
            if (result == JSON_OK && !next_is(r, closing(value))) {
                result = begin_item(r, value, NULL, &value);
                continue;
            }
            if (result == JSON_OK) {
                r->at++;
                result = close_container(r);
            }
        }
        if (result == JSON_OK)
            result = end_value(r, value, &value);
    }
    return result;
}

static enum json_result read_document(struct json_reader *r, struct json_value **value_r)
{
    struct json_value *value = arena_zalloc(r->arena, sizeof *value);
    if (!value)
        return JSON_NO_MEMORY;
    skip_space(r);
    enum json_result result = read_value(r, value);
    if (result != JSON_OK)
        return result;
    skip_space(r);
    if (r->at < r->end)
        return json_fail(r, "Extra data", r->at);
    *value_r = value;
    return JSON_OK;
}

enum json_result json_read(struct arena *a, struct slice text, struct json_value **value_r,
                           struct json_error *error_r)
{
    struct slice utf8;
    enum json_result result = json_decode(a, text.ptr ? text : SLICE(""), &utf8);
    if (result != JSON_OK)
        return result;
    struct json_reader r = {
        .arena = a, .start = utf8.ptr, .at = utf8.ptr, .end = utf8.ptr + utf8.len};
    result = read_document(&r, value_r);
    if (result == JSON_SYNTAX) {
        struct slice before = {r.start, (size_t)(r.position - r.start)};
        *error_r = (struct json_error){r.message, utf8_count(before)};
    }
    return result;
}

const struct json_value *json_member(const struct json_value *object, struct slice name)
{
    ASSERT(object->type == JSON_OBJECT);
    const struct json_value *m = object->items.first;
    while (m && !slice_equals(m->name, name))
        m = m->next;
    return m;
}

static void write_float(struct jsonw *w, double number)
{
    char text[JSON_FLOAT_TEXT_MAX];
    if (isfinite(number))
        jsonw_raw(w, (struct slice){text, json_float_repr(text, number)});
    else
        jsonw_null(w);
}

/* Everything but what is in a container. */
static void write_alone(struct jsonw *w, const struct json_value *value)
{
    switch (value->type) {
    case JSON_NULL:
        jsonw_null(w);
        break;
    case JSON_BOOL:
        jsonw_bool(w, value->boolean);
        break;
    case JSON_INT:
        jsonw_raw(w, value->text);
        break;
    case JSON_FLOAT:
        write_float(w, value->number);
        break;
    case JSON_STRING:
        jsonw_string(w, value->text);
        break;
    case JSON_ARRAY:
        jsonw_array_open(w);
        break;
    case JSON_OBJECT:
        jsonw_object_open(w);
        break;
    }
}

static bool is_container(const struct json_value *value)
{
    return value->type == JSON_ARRAY || value->type == JSON_OBJECT;
}

static void write_end(struct jsonw *w, const struct json_value *container)
{
    if (container->type == JSON_ARRAY)
        jsonw_array_close(w);
    else
        jsonw_object_close(w);
}

/* The open containers, innermost last, as pointers in a buffer. */
static void push(struct buf *open, const struct json_value *container)
{
    buf_append(open, &container, sizeof container);
}

static const struct json_value *innermost(const struct buf *open)
{
    const struct json_value *container = NULL;
    if (open->len)
        memcpy(&container, open->data + open->len - sizeof container, sizeof container);
    return container;
}

void json_write(struct jsonw *w, const struct json_value *value)
{
    struct buf open = {0};
    const struct json_value *item = value;
    for (;;) {
        const struct json_value *around = innermost(&open);
        if (!item && !around)
            break;
        if (!item) { /* behind the last one */
            write_end(w, around);
            open.len -= sizeof around;
            item = around == value ? NULL : around->next;
            continue;
        }
        if (around && around->type == JSON_OBJECT)
            jsonw_name(w, item->name);
        write_alone(w, item);
        if (is_container(item)) {
            push(&open, item);
            item = item->items.first;
        } else {
            item = item == value ? NULL : item->next;
        }
        if (open.failed || w->out->failed)
            break;
    }
    w->out->failed |= open.failed;
    buf_free(&open);
}
