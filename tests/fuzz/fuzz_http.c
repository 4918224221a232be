/* fuzz_http.c: guard and parser over any bytes, whole and in pieces. The first two bytes say where
 * the rest is cut. Whatever way the bytes come, the same messages are accepted, with the same
 * parts, and a refused input is refused both ways (the status may differ: pieces are judged
 * earlier). */
#include "shared/check.h"
#include "worker/http/parser.h"
#include "worker/http/target.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES_MAX = 8 };

static const struct input_limits limits = {
    .max_target = 200, .max_head = 1024, .max_headers = 16, .max_body = 512};

/* What became of the bytes. */
struct outcome {
    unsigned messages;
    bool refused;
    struct buf text; /* every part of every accepted message */
};

struct reading {
    struct arena arena;
    struct guard guard;
    struct guard_head head;
    struct parser parser;
    bool in_body;
};

static void note(struct outcome *o, struct slice part)
{
    buf_printf(&o->text, "%zu:", part.len);
    buf_append_slice(&o->text, part);
}

static void note_message(struct outcome *o, struct reading *r)
{
    struct target target;
    o->messages++;
    note(o, r->head.method);
    note(o, r->head.target);
    ASSERT(r->head.target.len <= limits.max_target);
    ASSERT(r->parser.headers_len <= limits.max_headers);
    ASSERT(r->parser.body.len <= limits.max_body);
    ASSERT(target_split(&r->arena, r->head.target, &target));
    note(o, target.path);
    for (size_t i = 0; i < r->parser.headers_len; i++) {
        ASSERT(r->parser.headers[i].name.len > 0);
        note(o, r->parser.headers[i].name);
        note(o, r->parser.headers[i].value);
    }
    note(o, buf_slice(&r->parser.body));
}

static void rebase(struct slice *s, const char *from, const char *to)
{
    s->ptr = to + (s->ptr - from);
}

static enum http_input take_head(struct reading *r, const char *bytes, size_t len, size_t *taken)
{
    enum http_input input = guard_scan(&r->guard, &limits, bytes, len, &r->head);
    if (input != INPUT_COMPLETE)
        return input;
    const char *from = bytes + r->head.skipped;
    *taken = r->head.skipped + r->head.len;
    char *copy = arena_dup(&r->arena, from, r->head.len);
    ASSERT(copy);
    parser_prepare_head(copy, r->head.len);
    rebase(&r->head.method, from, copy);
    rebase(&r->head.target, from, copy);
    rebase(&r->head.version, from, copy);
    r->in_body = true;
    return parser_head(&r->parser, &r->arena, &limits, &r->head, copy);
}

static void restart(struct reading *r)
{
    arena_fini(&r->arena);
    *r = (struct reading){0};
    arena_init(&r->arena, NULL, 0, 1 << 20);
}

/* Takes messages from the bytes; returns how many bytes. */
static size_t take(struct reading *r, struct outcome *o, const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && !o->refused && o->messages < MESSAGES_MAX) {
        size_t taken = 0;
        enum http_input input = r->in_body ? parser_body(&r->parser, bytes + at, len - at, &taken)
                                           : take_head(r, bytes + at, len - at, &taken);
        ASSERT(taken <= len - at);
        at += taken;
        if (input == INPUT_COMPLETE) {
            note_message(o, r);
            restart(r);
        } else if (input != INPUT_MORE) {
            o->refused = true;
        } else if (taken == 0) {
            break;
        }
    }
    return at;
}

/* Reads the bytes in pieces of *piece* bytes; the first has *first*. Each piece is in memory of
 * exactly its size. */
static struct outcome run(const char *bytes, size_t len, size_t first, size_t piece)
{
    struct outcome o = {0};
    struct reading r = {0};
    restart(&r);
    size_t begin = 0;
    for (size_t end = first < len ? first : len;; end = len - end < piece ? len : end + piece) {
        char *copy = malloc(end - begin + 1);
        ASSERT(copy);
        memcpy(copy, bytes + begin, end - begin);
        begin += take(&r, &o, copy, end - begin);
        free(copy);
        if (end == len)
            break;
    }
    arena_fini(&r.arena);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192)
        return 0;
    const char *bytes = (const char *)data + 2;
    size_t len = size - 2;
    size_t first = len ? (size_t)(data[0] << 8 | data[1]) % (len + 1) : 0;
    struct outcome whole = run(bytes, len, len, 1);
    struct outcome split = run(bytes, len, first, len + 1);
    struct outcome small = run(bytes, len, first, 1 + data[0] % 7);
    ASSERT(whole.refused == split.refused && whole.refused == small.refused);
    ASSERT(whole.messages == split.messages && whole.messages == small.messages);
    ASSERT(slice_equals(buf_slice(&whole.text), buf_slice(&split.text)));
    ASSERT(slice_equals(buf_slice(&whole.text), buf_slice(&small.text)));
    buf_free(&whole.text);
    buf_free(&split.text);
    buf_free(&small.text);
    return 0;
}
