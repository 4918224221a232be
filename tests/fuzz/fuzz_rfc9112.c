/* fuzz_rfc9112.c: guard and parser beside rfc9112.c, a second reading of the same RFC: what the one
 * takes the other takes, with the same method, target, fields, framing, body, persistence and end.
 * Where the server is stricter than the RFC (limits, methods it does not know, …) house() says so.
 */
#include "rfc9112.h"

#include "shared/check.h"
#include "worker/http/parser.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct input_limits limits = {
    .max_target = 200, .max_head = 1024, .max_headers = 16, .max_body = 512};

/* What the server says to a message that the RFC allows. */
enum house { MUST_TAKE, MAY_TAKE, MUST_REFUSE };

static bool is_in_rfc9110(struct rfc_part method)
{
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (method.len == strlen(names[i]) && memcmp(method.ptr, names[i], method.len) == 0)
            return true;
    return false;
}

static enum house house(const struct rfc_message *m)
{
    if (m->empty_lines > 1 || m->other_version || m->other_coding || m->expects_other)
        return MUST_REFUSE;
    if (m->target.len > limits.max_target || m->head_len > limits.max_head ||
        m->fields_len > limits.max_headers)
        return MUST_REFUSE;
    if (m->body_len > limits.max_body || m->length_told > limits.max_body)
        return MUST_REFUSE;
    if (m->announced > limits.max_body || m->body_len + m->announced > limits.max_body)
        return MUST_REFUSE;
    if (m->chunked && m->framing > limits.max_head)
        return MAY_TAKE; /* framing that outweighs the body */
    return m->doubtful || !is_in_rfc9110(m->method) ? MAY_TAKE : MUST_TAKE;
}

/* The server's reading. */
struct taken {
    struct arena arena;
    struct guard_head head;
    struct parser parser;
    enum http_input input;
    size_t used;
};

static void take(struct taken *t, const char *bytes, size_t len)
{
    struct guard guard = {0};
    arena_init(&t->arena, NULL, 0, 1 << 20);
    t->input = guard_scan(&guard, &limits, bytes, len, &t->head);
    if (t->input != INPUT_COMPLETE)
        return;
    t->used = t->head.skipped + t->head.len;
    char *head = arena_dup(&t->arena, bytes + t->head.skipped, t->head.len);
    ASSERT(head);
    parser_prepare_head(head, t->head.len);
    t->input = parser_head(&t->parser, &t->arena, &limits, &t->head, head);
    if (t->input != INPUT_MORE || t->used == len)
        return;
    size_t used;
    t->input = parser_body(&t->parser, bytes + t->used, len - t->used, &used);
    t->used += used;
}

static bool equals(struct slice ours, struct rfc_part theirs)
{
    return ours.len == theirs.len && memcmp(ours.ptr, theirs.ptr, ours.len) == 0;
}

static void compare(const struct taken *t, const struct rfc_message *m)
{
    ASSERT(equals(t->head.method, m->method));
    ASSERT(equals(t->head.target, m->target));
    ASSERT(t->parser.http_1_0 == (m->minor == 0));
    ASSERT(t->parser.headers_len == m->fields_len && m->fields_len <= RFC_FIELDS_MAX);
    for (size_t i = 0; i < m->fields_len; i++) {
        ASSERT(equals(t->parser.headers[i].name, m->fields[i].name));
        ASSERT(equals(t->parser.headers[i].value, m->fields[i].value));
    }
    ASSERT(t->parser.chunked == m->chunked);
    ASSERT(t->parser.content_length == m->length_told);
    ASSERT(t->parser.body.len == m->body_len);
    ASSERT(m->body_len == 0 || memcmp(t->parser.body.data, m->body, m->body_len) == 0);
    ASSERT(t->parser.keep_alive == m->persists);
    ASSERT(t->parser.expects_continue == m->has_expectation);
    ASSERT(t->used == m->used);
}

/* Returns the bytes of the message, 0 when there is none. */
static size_t read_both(const char *bytes, size_t len)
{
    static struct rfc_message m;
    struct taken t = {0};
    take(&t, bytes, len);
    rfc9112_read(bytes, len, &m);
    bool refused = t.input != INPUT_COMPLETE && t.input != INPUT_MORE;
    bool head_is_whole = m.head_len > 0 && m.verdict != RFC_BAD;
    if (t.input == INPUT_COMPLETE) {
        ASSERT(m.verdict == RFC_WHOLE && house(&m) != MUST_REFUSE);
        compare(&t, &m);
    } else {
        ASSERT(m.verdict != RFC_WHOLE || (refused && house(&m) != MUST_TAKE));
        ASSERT(!head_is_whole || !refused || house(&m) != MUST_TAKE);
        ASSERT(!head_is_whole || refused || house(&m) != MUST_REFUSE);
    }
    arena_fini(&t.arena);
    return t.input == INPUT_COMPLETE && m.persists ? t.used : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > RFC_BODY_MAX)
        return 0;
    for (size_t at = 0, used = 1; used > 0 && at < size; at += used) {
        char *rest = malloc(size - at); /* exactly, so that no byte behind it is read */
        ASSERT(rest);
        memcpy(rest, data + at, size - at);
        used = read_both(rest, size - at);
        free(rest);
    }
    return 0;
}
