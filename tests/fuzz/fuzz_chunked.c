/* fuzz_chunked.c: chunked bodies with their extensions and trailers (worker/http/parser.c), whole,
 * cut once and in small pieces, beside the plain reading of rfc9112.c. The first two bytes say
 * where to cut. */
#include "rfc9112.h"

#include "shared/check.h"
#include "worker/http/parser.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
static const struct input_limits limits = {
    .max_target = 20, .max_head = 256, .max_headers = 8, .max_body = 512};

struct reading {
    struct arena arena;
    struct parser parser;
    enum http_input input;
    size_t used;
};

static void begin(struct reading *r)
{
    struct guard guard = {0};
    struct guard_head described;
    *r = (struct reading){0};
    arena_init(&r->arena, NULL, 0, 1 << 20);
    ASSERT(guard_scan(&guard, &limits, head, sizeof head - 1, &described) == INPUT_COMPLETE);
    r->input = parser_head(&r->parser, &r->arena, &limits, &described, head);
    ASSERT(r->input == INPUT_MORE);
}

/* One piece, in memory of exactly its size. */
static void give(struct reading *r, const char *bytes, size_t len)
{
    size_t used = 0;
    char *copy = malloc(len + (len == 0));
    ASSERT(copy);
    memcpy(copy, bytes, len);
    r->input = parser_body(&r->parser, copy, len, &used);
    ASSERT(used <= len && (r->input != INPUT_MORE || used == len));
    ASSERT(r->parser.body.len <= limits.max_body);
    r->used += used;
    free(copy);
}

static void read_pieces(struct reading *r, const char *bytes, size_t len, size_t first,
                        size_t piece)
{
    begin(r);
    for (size_t at = 0; at < len && r->input == INPUT_MORE; first = piece) {
        size_t n = first == 0 ? 1 : first < len - at ? first : len - at;
        give(r, bytes + at, n);
        at += n;
    }
}

static bool is_refused(const struct reading *r)
{
    return r->input != INPUT_MORE && r->input != INPUT_COMPLETE;
}

static void check_alike(const struct reading *a, const struct reading *b)
{
    ASSERT(is_refused(a) == is_refused(b));
    if (is_refused(a))
        return; /* pieces are judged earlier, so the reason may be another */
    ASSERT(a->input == b->input && a->used == b->used);
    ASSERT(slice_equals(buf_slice(&a->parser.body), buf_slice(&b->parser.body)));
}

static void check_true(const struct reading *r, const char *bytes, size_t len)
{
    static struct rfc_message m;
    rfc9112_read_chunked(bytes, len, &m);
    bool excused = m.doubtful || m.framing > limits.max_head || m.announced > limits.max_body ||
                   m.body_len + m.announced > limits.max_body;
    if (r->input == INPUT_COMPLETE) {
        ASSERT(m.verdict == RFC_WHOLE && m.body_len <= limits.max_body);
        ASSERT(r->used == m.used && r->parser.body.len == m.body_len);
        ASSERT(m.body_len == 0 || memcmp(r->parser.body.data, m.body, m.body_len) == 0);
    } else if (m.verdict == RFC_WHOLE) {
        ASSERT(is_refused(r) && (excused || m.body_len > limits.max_body));
    } else if (m.verdict == RFC_SHORT) {
        ASSERT(!is_refused(r) || excused || m.body_len > limits.max_body);
        ASSERT(is_refused(r) || m.body_len <= limits.max_body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, cut, small;
    if (size < 3 || size > 8192)
        return 0;
    const char *bytes = (const char *)data + 2;
    size_t len = size - 2, first = (size_t)(data[0] << 8 | data[1]) % len;
    read_pieces(&whole, bytes, len, len, len);
    read_pieces(&cut, bytes, len, first, len);
    read_pieces(&small, bytes, len, 1 + data[0] % 3, 1 + data[0] % 3);
    check_alike(&whole, &cut);
    check_alike(&whole, &small);
    check_true(&whole, bytes, len);
    arena_fini(&whole.arena);
    arena_fini(&cut.arena);
    arena_fini(&small.arena);
    return 0;
}
