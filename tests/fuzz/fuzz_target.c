/* fuzz_target.c: worker/http/target.c beside another decoding of the same path, made of the
 * simplest loops and of what worker/validate knows of UTF-8. Targets that the parser refuses are
 * not tried. */
#include "worker/http/target.h"

#include "shared/check.h"
#include "shared/utf8.h"

#include <stdint.h>
#include <stdio.h>

static bool is_for_the_parser(struct slice target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return false;
    return target.len > 0;
}

static struct slice decode(struct arena *a, struct slice raw)
{
    struct buf bytes = buf_in_arena(a);
    for (size_t i = 0; i < raw.len; i++) {
        char digits[3] = {i + 1 < raw.len ? raw.ptr[i + 1] : 0,
                          i + 2 < raw.len ? raw.ptr[i + 2] : 0};
        unsigned value;
        int used = 0;
        bool encoded = raw.ptr[i] == '%' && strchr("+-xX", digits[0]) == NULL && digits[1] != 'x' &&
                       digits[1] != 'X' && sscanf(digits, "%2x%n", &value, &used) == 1 && used == 2;
        buf_append_char(&bytes, encoded ? (char)value : raw.ptr[i]);
        i += encoded ? 2 : 0;
    }
    return utf8_replace(a, buf_slice(&bytes));
}

/* The path and the query of what is no "http://host". */
static void check(struct arena *a, struct slice rest, const struct target *t)
{
    struct slice raw = slice_split(&rest, '?');
    if (raw.len == 0)
        raw = SLICE("/");
    ASSERT(slice_equals(t->raw_path, raw));
    ASSERT((t->query.ptr != NULL) == (rest.ptr != NULL) && slice_equals(t->query, rest));
    ASSERT(slice_equals(t->path, decode(a, raw)) && utf8_is_valid(t->path));
}

/* What follows the host, character by character. */
static struct slice behind_host(struct slice target)
{
    size_t i = 0;
    for (int slashes = 0; slashes < 2; i++)
        slashes += target.ptr[i] == '/';
    while (i < target.len && target.ptr[i] != '/' && target.ptr[i] != '?')
        i++;
    return (struct slice){target.ptr + i, target.len - i};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice target = {(const char *)data, size};
    struct target t;
    struct arena a;
    if (!is_for_the_parser(target))
        return 0;
    arena_init(&a, NULL, 0, 1 << 24);
    ASSERT(target_split(&a, target, &t));
    if (target.ptr[0] == '/')
        check(&a, target, &t);
    else if (slice_starts_with(target, SLICE("http://")) ||
             slice_starts_with(target, SLICE("HTTPS://")))
        check(&a, behind_host(target), &t);
    arena_fini(&a);
    return 0;
}
