/* json.c: see json.h. The structure of the text: arrays and objects by recursion of bounded depth.
 */
#include "worker/validate/json.h"

#include "shared/check.h"
#include "worker/validate/json_internal.h"
#include "worker/validate/utf8.h"

#include <math.h>

static enum json_result read_value(struct json_reader *r, struct json_value *value);

static void skip_space(struct json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool next_is(const struct json_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

/* Appends an empty value to the items of *parent*. NULL without memory. */
static struct json_value *add_item(struct arena *a, struct json_value *parent,
                                   struct json_value **last)
{
    struct json_value *item = arena_zalloc(a, sizeof *item);
    if (!item)
        return NULL;
    if (*last)
        (*last)->next = item;
    else
        parent->items.first = item;
    *last = item;
    parent->items.len++;
    return item;
}

/* What follows an item: *more_r says whether another one does. Leaves r->at on it, or behind the
 * bracket that closes. */
static enum json_result read_separator(struct json_reader *r, char close, const char *trailing,
                                       bool *more_r)
{
    skip_space(r);
    *more_r = false;
    if (next_is(r, close)) {
        r->at++;
        return JSON_OK;
    }
    if (!next_is(r, ','))
        return json_fail(r, "Expecting ',' delimiter", r->at);
    const char *comma = r->at++;
    skip_space(r);
    if (next_is(r, close))
        return json_fail(r, trailing, comma);
    *more_r = true;
    return JSON_OK;
}

static enum json_result read_array(struct json_reader *r, struct json_value *array)
{
    struct json_value *last = NULL;
    array->type = JSON_ARRAY;
    r->at++;
    skip_space(r);
    bool more = !next_is(r, ']');
    if (!more)
        r->at++;
    while (more) {
        struct json_value *item = add_item(r->arena, array, &last);
        if (!item)
            return JSON_NO_MEMORY;
        enum json_result result = read_value(r, item);
        if (result == JSON_OK)
            result = read_separator(r, ']', "Illegal trailing comma before end of array", &more);
        if (result != JSON_OK)
            return result;
    }
    return JSON_OK;
}

static enum json_result read_member(struct json_reader *r, struct json_value *member)
{
    if (!next_is(r, '"'))
        return json_fail(r, "Expecting property name enclosed in double quotes", r->at);
    enum json_result result = json_read_string(r, &member->name, &member->name_surrogates);
    if (result != JSON_OK)
        return result;
    skip_space(r);
    if (!next_is(r, ':'))
        return json_fail(r, "Expecting ':' delimiter", r->at);
    r->at++;
    skip_space(r);
    return read_value(r, member);
}

static enum json_result read_object(struct json_reader *r, struct json_value *object)
{
    struct json_value *last = NULL;
    object->type = JSON_OBJECT;
    r->at++;
    skip_space(r);
    bool more = !next_is(r, '}');
    if (!more)
        r->at++;
    while (more) {
        struct json_value *member = add_item(r->arena, object, &last);
        if (!member)
            return JSON_NO_MEMORY;
        enum json_result result = read_member(r, member);
        if (result == JSON_OK)
            result = read_separator(r, '}', "Illegal trailing comma before end of object", &more);
        if (result != JSON_OK)
            return result;
    }
    return json_unite_members(r->arena, object) ? JSON_OK : JSON_NO_MEMORY;
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

/* The value that begins at r->at, whitespace being skipped already. */
static enum json_result read_value(struct json_reader *r, struct json_value *value)
{
    if (next_is(r, '"')) {
        value->type = JSON_STRING;
        return json_read_string(r, &value->text, &value->surrogates);
    }
    if (next_is(r, '[') || next_is(r, '{')) {
        if (r->depth == JSON_DEPTH_MAX)
            return JSON_UNDECODABLE;
        r->depth++;
        enum json_result result = *r->at == '[' ? read_array(r, value) : read_object(r, value);
        r->depth--;
        return result;
    }
    return read_word(r, value) ? JSON_OK : json_read_number(r, value);
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

/* The escaper leaves all above 0x7f as it is, so surrogates can be patched behind it. */
static void write_string(struct jsonw *w, struct slice text, bool surrogates, bool is_name)
{
    size_t start = w->out->len;
    if (is_name)
        jsonw_name(w, text);
    else
        jsonw_string(w, text);
    if (surrogates && !w->out->failed)
        utf8_patch_surrogates(w->out->data + start, w->out->len - start);
}

static void write_float(struct jsonw *w, double number)
{
    char text[JSON_FLOAT_TEXT_MAX];
    if (isfinite(number))
        jsonw_raw(w, (struct slice){text, json_float_repr(text, number)});
    else
        jsonw_null(w);
}

static void write_items(struct jsonw *w, const struct json_value *value)
{
    for (const struct json_value *item = value->items.first; item; item = item->next) {
        if (value->type == JSON_OBJECT)
            write_string(w, item->name, item->name_surrogates, true);
        json_write(w, item);
    }
}

void json_write(struct jsonw *w, const struct json_value *value)
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
        write_string(w, value->text, value->surrogates, false);
        break;
    case JSON_ARRAY:
        jsonw_array_open(w);
        write_items(w, value);
        jsonw_array_close(w);
        break;
    case JSON_OBJECT:
        jsonw_object_open(w);
        write_items(w, value);
        jsonw_object_close(w);
        break;
    }
}
