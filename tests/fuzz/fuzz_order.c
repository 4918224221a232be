/* fuzz_order.c: what the upstream sends (worker/api/order_json.c) and the spelling of an order
 * (worker/validate/uuid.c). Items that were taken print as JSON; paths hold no byte that means anything; a
 * UUID that was read reads again to the same. The first byte chooses. */
#include "worker/api/orders.h"

#include "shared/check.h"
#include "worker/validate/json.h"
#include "worker/validate/uuid.h"

#include <stdint.h>

static void items(struct arena *a, struct slice text)
{
    struct buf out = {0};
    struct json_value *value;
    struct json_error error;
    buf_append_char(&out, '[');
    struct buf inner = {0};
    if (order_write_items(text, &inner) == FANOUT_GOOD) {
        buf_append_slice(&out, buf_slice(&inner));
        buf_append_char(&out, ']');
        ASSERT(json_read(a, buf_slice(&out), &value, &error) == JSON_OK);
        ASSERT(value->type == JSON_ARRAY);
        for (const struct json_value *i = value->items.first; i; i = i->next)
            ASSERT(i->type == JSON_OBJECT && i->items.len == 5);
    }
    buf_free(&inner);
    buf_free(&out);
}

static void packages(struct arena *a, struct slice text)
{
    struct order_packages found;
    if (order_read_packages(a, text, &found) != FANOUT_GOOD)
        return;
    ASSERT(found.len <= ORDER_PACKAGES_MAX);
    for (size_t i = 0; i < found.len; i++) {
        const char *path = order_path(a, SLICE("efb77dcf-d83c-4935-81ac-7be5f37e6cdc"), found.ids[i]);
        unsigned slashes = 0;
        ASSERT(path && strlen(path) <= CALL_PATH_MAX);
        for (const char *c = path; *c; c++) {
            ASSERT(*c > ' ' && *c < 0x7f && *c != '?' && *c != '#' && *c != '.');
            slashes += *c == '/';
        }
        ASSERT(slashes == 7);
    }
}

static void uuid(struct slice text)
{
    char once[UUID_TEXT_LEN], twice[UUID_TEXT_LEN];
    struct buf error = {0};
    if (uuid_parse(text, once, &error)) {
        ASSERT(error.len == 0);
        ASSERT(uuid_parse((struct slice){once, UUID_TEXT_LEN}, twice, &error));
        ASSERT(memcmp(once, twice, UUID_TEXT_LEN) == 0);
    } else {
        ASSERT(error.len > 0);
    }
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size == 0)
        return 0;
    struct slice text = {(const char *)data + 1, size - 1};
    arena_init(&a, NULL, 0, 64 << 20);
    if (data[0] == 'o')
        packages(&a, text);
    else if (data[0] == 'u')
        uuid(text);
    else
        items(&a, text);
    arena_fini(&a);
    return 0;
}
