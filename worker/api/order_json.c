/* order_json.c: the upstream's JSON, read as httpx and pydantic do in the original: what it would
 * not take is bad, and so is an answer that is more than an order can sensibly have. */
#include "worker/api/orders.h"

#include "worker/validate/json.h"
#include "worker/validate/pyint.h"

#include <math.h>
#include <stdio.h>

/* json.h: some 60 bytes for each byte of the text. */
enum { SCRATCH_MAX = 64 * CLIENT_BODY_MAX };

/* The member if it is a text that can be sent on; else absent. */
static struct slice text_member(const struct json_value *object, struct slice name)
{
    const struct json_value *v = json_member(object, name);
    if (!v || v->type != JSON_STRING || v->surrogates)
        return (struct slice){NULL, 0};
    return v->text;
}

static const struct json_value *typed_member(const struct json_value *object, struct slice name,
                                             enum json_type type)
{
    const struct json_value *v = object->type == JSON_OBJECT ? json_member(object, name) : NULL;
    return v && v->type == type ? v : NULL;
}

static enum fanout_verdict read_json(struct arena *a, struct slice text, struct json_value **value_r)
{
    struct json_error error;
    switch (json_read(a, text, value_r, &error)) {
    case JSON_OK:
        return FANOUT_GOOD;
    case JSON_SYNTAX:
    case JSON_UNDECODABLE:
        return FANOUT_BAD;
    case JSON_NO_MEMORY:
        break;
    }
    return FANOUT_TOO_MUCH_MEMORY;
}

/* ---- the order ------------------------------------------------------------------------------- */

static enum fanout_verdict take_ids(struct arena *a, const struct json_value *packages,
                                    struct order_packages *packages_r)
{
    if (packages->items.len > ORDER_PACKAGES_MAX)
        return FANOUT_BAD;
    packages_r->ids = arena_alloc(a, packages->items.len * sizeof *packages_r->ids);
    if (!packages_r->ids)
        return FANOUT_TOO_MUCH_MEMORY;
    for (const struct json_value *p = packages->items.first; p; p = p->next) {
        const struct json_value *id = typed_member(p, SLICE("uuid"), JSON_STRING);
        if (!id || id->surrogates || id->text.len == 0 || id->text.len > ORDER_PACKAGE_ID_MAX)
            return FANOUT_BAD;
        struct slice copy = slice_dup(a, id->text);
        if (!copy.ptr)
            return FANOUT_TOO_MUCH_MEMORY;
        packages_r->ids[packages_r->len++] = copy;
    }
    return FANOUT_GOOD;
}

enum fanout_verdict order_read_packages(struct arena *a, struct slice json,
                                        struct order_packages *packages_r)
{
    struct arena scratch;
    struct json_value *order;
    *packages_r = (struct order_packages){0};
    arena_init(&scratch, NULL, 0, SCRATCH_MAX);
    enum fanout_verdict verdict = read_json(&scratch, json, &order);
    if (verdict == FANOUT_GOOD) {
        const struct json_value *packages = typed_member(order, SLICE("packages"), JSON_ARRAY);
        verdict = packages ? take_ids(a, packages, packages_r) : FANOUT_BAD;
    }
    arena_fini(&scratch);
    return verdict;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* A whole number in any of the ways that pydantic reads one. */
static bool write_quantity(struct jsonw *w, const struct json_value *v)
{
    struct pyint n;
    switch (v->type) {
    case JSON_INT:
        jsonw_raw(w, v->text);
        return true;
    case JSON_FLOAT:
        if (!isfinite(v->number) || trunc(v->number) != v->number || fabs(v->number) >= 0x1p63)
            return false;
        jsonw_i64(w, (int64_t)v->number);
        return true;
    case JSON_STRING:
        if (v->surrogates || pyint_parse(v->text, &n) != PYINT_OK || n.overflow)
            return false;
        jsonw_i64(w, n.value);
        return true;
    case JSON_BOOL:
        jsonw_i64(w, v->boolean);
        return true;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return false;
}

/* A text, "" when there is none at all. */
static bool write_optional(struct jsonw *w, const struct json_value *product, struct slice name)
{
    struct slice text = json_member(product, name) ? text_member(product, name) : SLICE("");
    jsonw_name(w, name);
    jsonw_string(w, text.ptr ? text : SLICE(""));
    return text.ptr;
}

static bool write_item(struct jsonw *w, const struct json_value *item)
{
    const struct json_value *product = typed_member(item, SLICE("product"), JSON_OBJECT);
    const struct json_value *quantity = product ? json_member(item, SLICE("quantity")) : NULL;
    struct slice code = product ? text_member(product, SLICE("code")) : (struct slice){NULL, 0};
    if (!code.ptr || !quantity)
        return false;
    jsonw_object_open(w);
    jsonw_name(w, SLICE("sku"));
    jsonw_string(w, code);
    bool good = write_optional(w, product, SLICE("description")) &&
                write_optional(w, product, SLICE("image_url")) &&
                write_optional(w, product, SLICE("reference"));
    jsonw_name(w, SLICE("quantity"));
    good = good && write_quantity(w, quantity);
    jsonw_object_close(w);
    return good;
}

enum fanout_verdict order_write_items(struct slice json, struct buf *out)
{
    struct arena scratch;
    struct json_value *items;
    arena_init(&scratch, NULL, 0, SCRATCH_MAX);
    enum fanout_verdict verdict = read_json(&scratch, json, &items);
    if (verdict == FANOUT_GOOD && items->type != JSON_ARRAY)
        verdict = FANOUT_BAD;
    if (verdict == FANOUT_GOOD) {
        struct jsonw w = jsonw_on(out);
        for (const struct json_value *i = items->items.first; i && verdict == FANOUT_GOOD; i = i->next)
            verdict = write_item(&w, i) ? FANOUT_GOOD : FANOUT_BAD;
        if (out->failed)
            verdict = FANOUT_TOO_MUCH_MEMORY;
    }
    arena_fini(&scratch);
    return verdict;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* RFC 3986, 2.3. A dot would be more than a letter if it stood alone. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static void append_segment(struct buf *path, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_unreserved(text.ptr[i]))
            buf_append_char(path, text.ptr[i]);
        else
            buf_printf(path, "%%%02X", (unsigned)(unsigned char)text.ptr[i]);
    }
}

const char *order_path(struct arena *a, struct slice order, struct slice package)
{
    struct buf path = buf_in_arena(a);
    buf_append_slice(&path, SLICE("/maestro/v1/orders/"));
    append_segment(&path, order);
    if (package.ptr) {
        buf_append_slice(&path, SLICE("/packages/"));
        append_segment(&path, package);
        buf_append_slice(&path, SLICE("/items"));
    }
    buf_append_char(&path, 0);
    return path.failed ? NULL : path.data;
}
