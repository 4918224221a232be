/* guard.c: see guard.h. RFC 9112, sections 2.2, 3 and 5; RFC 9110, section 2.5 (versions). */
#include "worker/http/guard.h"

#include <stdbool.h>
#include <string.h>

enum {
    LINE_SLACK = 32 /* bytes of a request line that are not its target: method, blanks, version */
};

/* All methods that HTTP knows do; case counts (RFC 9110, 9.1). */
static bool begins_like_a_method(struct slice line)
{
    return line.ptr[0] >= 'A' && line.ptr[0] <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum http_input check_version(struct slice version)
{
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || !is_digit(version.ptr[5]) ||
        version.ptr[6] != '.' || !is_digit(version.ptr[7]))
        return INPUT_MALFORMED;
    bool known = version.ptr[5] == '1' && (version.ptr[7] == '0' || version.ptr[7] == '1');
    return known ? INPUT_COMPLETE : INPUT_VERSION;
}

/* Three parts with single spaces between them; false when there are not three. */
static bool split_request_line(struct slice line, struct guard_head *head)
{
    struct slice rest = line;
    head->method = slice_split(&rest, ' ');
    head->target = rest.ptr ? slice_split(&rest, ' ') : (struct slice){NULL, 0};
    head->version = rest;
    return rest.ptr && head->method.len > 0 && head->target.len > 0;
}

/* Nothing but visible ASCII; no fragment in the target (RFC 9112, 3.2). */
static enum http_input check_request_line(const struct input_limits *limits, struct slice line)
{
    struct guard_head head;
    if (line.len > limits->max_target + LINE_SLACK)
        return INPUT_TARGET_LONG;
    if (!split_request_line(line, &head) || !begins_like_a_method(line))
        return INPUT_MALFORMED;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        if (c < ' ' || c >= 0x7f || c == '#')
            return INPUT_MALFORMED;
    }
    enum http_input input = check_version(head.version);
    if (input != INPUT_MALFORMED && head.target.len > limits->max_target)
        return INPUT_TARGET_LONG;
    return input;
}

/* The first line has not ended: what can be told already? */
static enum http_input judge_unfinished_request_line(const struct input_limits *limits,
                                                     struct slice line)
{
    if (line.len > 0 && line.ptr[0] != '\r' && !begins_like_a_method(line))
        return INPUT_MALFORMED; /* a TLS hello, for one, never ends in CR LF */
    size_t ended = line.len > 0 && line.ptr[line.len - 1] == '\r'; /* only its LF is missing */
    if (line.len - ended > limits->max_target + LINE_SLACK || line.len > limits->max_head)
        return INPUT_TARGET_LONG;
    return INPUT_MORE;
}

/* The last line has no LF yet. */
static enum http_input judge_unfinished(const struct guard *g, const struct input_limits *limits,
                                        struct slice line)
{
    const char *cr = line.len ? memchr(line.ptr, '\r', line.len) : NULL;
    if (cr && cr != line.ptr + line.len - 1)
        return INPUT_MALFORMED;
    if (g->lines == 0) {
        enum http_input input = judge_unfinished_request_line(limits, line);
        if (input != INPUT_MORE)
            return input;
    } else if (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
        return INPUT_MALFORMED;
    }
    return g->line_at - g->skipped + line.len > limits->max_head ? INPUT_HEAD_LARGE : INPUT_MORE;
}

/* One whole line with its CR LF cut off. INPUT_COMPLETE: it was the blank one at the end. */
static enum http_input judge_line(struct guard *g, const struct input_limits *limits,
                                  struct slice line)
{
    if (g->lines == 0) {
        if (line.len == 0) {
            if (g->skipped > 0)
                return INPUT_MALFORMED;
            g->skipped = 2;
            return INPUT_MORE;
        }
        enum http_input input = check_request_line(limits, line);
        if (input != INPUT_COMPLETE)
            return input;
    } else if (line.len == 0) {
        return INPUT_COMPLETE;
    } else if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        return INPUT_MALFORMED;
    } else if (g->lines > limits->max_headers) {
        return INPUT_HEAD_LARGE;
    }
    g->lines++;
    return INPUT_MORE;
}

static void describe(const struct guard *g, const char *bytes, struct guard_head *head)
{
    const char *begin = bytes + g->skipped;
    const char *cr = memchr(begin, '\r', g->line_at - g->skipped);
    *head = (struct guard_head){
        .skipped = g->skipped,
        .len = g->line_at - g->skipped,
        .headers = g->lines - 1,
    };
    split_request_line((struct slice){begin, (size_t)(cr - begin)}, head);
}

enum http_input guard_scan(struct guard *g, const struct input_limits *limits, const char *bytes,
                           size_t len, struct guard_head *head_r)
{
    for (;;) {
        const char *at = bytes + g->line_at;
        struct slice line = {at, len - g->line_at};
        const char *lf = line.len ? memchr(at, '\n', line.len) : NULL;
        if (!lf)
            return judge_unfinished(g, limits, line);
        line.len = (size_t)(lf - at);
        if (line.len == 0 || memchr(at, '\r', line.len) != lf - 1)
            return INPUT_MALFORMED;
        line.len--;
        enum http_input input = judge_line(g, limits, line);
        if (input != INPUT_MORE && input != INPUT_COMPLETE)
            return input;
        g->line_at = (uint32_t)(lf + 1 - bytes);
        if (g->line_at - g->skipped > limits->max_head)
            return INPUT_HEAD_LARGE;
        if (input == INPUT_COMPLETE) {
            describe(g, bytes, head_r);
            return INPUT_COMPLETE;
        }
    }
}
