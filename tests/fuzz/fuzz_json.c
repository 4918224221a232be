/* fuzz_json.c: worker/validate/json*.c. What was read and printed reads again to the same print,
 * and an error lies within the text. */
#include "worker/validate/json.h"

#include "shared/check.h"

#include <stdint.h>

/* Names are unique. */
static void find_members(const struct json_value *value)
{
    if (value->type == JSON_OBJECT)
        for (const struct json_value *m = value->items.first; m; m = m->next)
            ASSERT(json_member(value, m->name) == m);
}

static enum json_result print(struct arena *a, struct slice text, struct buf *out)
{
    struct json_value *value;
    struct json_error error = {NULL, SIZE_MAX};
    enum json_result result = json_read(a, text, &value, &error);
    if (result == JSON_OK) {
        find_members(value);
        struct jsonw w = jsonw_on(out);
        json_write(&w, value);
        ASSERT(!out->failed);
    }
    if (result == JSON_SYNTAX)
        ASSERT(error.message && error.position <= text.len);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct buf once = {0}, twice = {0};
    struct slice text = {(const char *)data, size};
    arena_init(&a, NULL, 0, 64 << 20);
    if (print(&a, text, &once) == JSON_OK) {
        /* Our print has no mark of its encoding, and a surrogate may have made two names one. */
        ASSERT(print(&a, buf_slice(&once), &twice) == JSON_OK);
        ASSERT(twice.len <= once.len);
        once.len = 0;
        ASSERT(print(&a, buf_slice(&twice), &once) == JSON_OK);
        ASSERT(slice_equals(buf_slice(&once), buf_slice(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
    arena_fini(&a);
    return 0;
}
