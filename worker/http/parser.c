/* parser.c: see parser.h. RFC 9112, sections 3.2 (Host), 6 (body), 7.1 (chunks); RFC 9110, 10.1.1
 * (Expect). llhttp calls back in the middle of llhttp_execute(); the callbacks only note down. */
#include "worker/http/parser.h"

#include "shared/check.h"

#include <llhttp.h>
#include <string.h>

/* Framing bytes (chunk sizes, extensions, trailers) a client may send beside a chunked body: this
 * many per byte of body, on top of max_head. Enough for one-byte chunks. */
enum { FRAMING_PER_BODY_BYTE = 8 };

static int stop(struct parser *p, enum http_input failure)
{
    p->failure = failure;
    return HPE_USER;
}

/* A body whose framing outweighs it is an attack on the reader's time. *raw_len*: bytes so far. */
static bool is_framing_fair(const struct parser *p, uint64_t raw_len)
{
    return !p->chunked || raw_len - p->body.len <=
                              p->limits->max_head + FRAMING_PER_BODY_BYTE * (uint64_t)p->body.len;
}

/* ---- llhttp's callbacks ---------------------------------------------------------------------- */

static int on_header_field(llhttp_t *machine, const char *at, size_t len)
{
    struct parser *p = machine->data;
    if (p->headers_len == p->headers_cap)
        return stop(p, INPUT_MALFORMED); /* the guard counted fewer lines */
    p->headers[p->headers_len++] = (struct header){.name = {at, len}, .value = {"", 0}};
    return 0;
}

static int on_header_value(llhttp_t *machine, const char *at, size_t len)
{
    struct parser *p = machine->data;
    if (p->headers_len == 0)
        return stop(p, INPUT_MALFORMED); /* a value without a name */
    p->headers[p->headers_len - 1].value = slice_trim((struct slice){at, len}, " \t");
    return 0;
}

static int on_headers_complete(llhttp_t *machine)
{
    struct parser *p = machine->data;
    p->http_1_0 = machine->http_minor == 0;
    p->keep_alive =
        !p->http_1_0 && llhttp_should_keep_alive(machine) && machine->method != HTTP_CONNECT;
    return 0;
}

static int on_body(llhttp_t *machine, const char *at, size_t len)
{
    struct parser *p = machine->data;
    if (len > p->limits->max_body - p->body.len ||
        !is_framing_fair(p, p->body_raw_len + (uint64_t)(at - p->bytes)))
        return stop(p, INPUT_BODY_LARGE);
    buf_append(&p->body, at, len);
    return p->body.failed ? stop(p, INPUT_NO_MEMORY) : 0;
}

/* The line of the last chunk ends the call: trailer.c goes on. */
static int on_chunk_header(llhttp_t *machine)
{
    struct parser *p = machine->data;
    p->trailing = machine->content_length == 0;
    return p->trailing ? HPE_PAUSED : 0;
}

/* Ends the call right behind the message, so that what follows stays ours. */
static int on_message_complete(llhttp_t *machine)
{
    struct parser *p = machine->data;
    p->whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- rules for the head ---------------------------------------------------------------------- */

/* What the fields that matter here said. */
struct seen {
    size_t hosts;
    struct slice host;
    size_t codings;
    struct slice coding;
    size_t expectations;
    struct slice expectation;
    bool has_content_length;
    struct slice content_length;
};

static void note(struct seen *seen, const struct header *h)
{
    switch (h->name.len) { /* few names have these lengths: one comparison at most */
    case 4:
        if (slice_equals_nocase(h->name, SLICE("host"))) {
            seen->hosts++;
            seen->host = h->value;
        }
        return;
    case 6:
        if (slice_equals_nocase(h->name, SLICE("expect"))) {
            seen->expectations++;
            seen->expectation = h->value;
        }
        return;
    case 14:
        if (slice_equals_nocase(h->name, SLICE("content-length"))) {
            seen->has_content_length = true; /* llhttp refuses a second one */
            seen->content_length = h->value;
        }
        return;
    case 17:
        if (slice_equals_nocase(h->name, SLICE("transfer-encoding"))) {
            seen->codings++;
            seen->coding = h->value;
        }
        return;
    default:
        return;
    }
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* How many bytes at the beginning a name or, within its brackets, a literal may have. */
static size_t host_len(struct slice s, bool literal)
{
    const char *more = literal ? "-._~!$&'()*+,;=:" : "-._~!$&'()*+,;=";
    size_t n = 0;
    while (n < s.len) {
        char c = s.ptr[n];
        bool encoded = !literal && c == '%' && s.len - n > 2 && is_hex(s.ptr[n + 1]) && is_hex(s.ptr[n + 2]);
        if (!encoded && !is_alnum(c) && (c == 0 || !strchr(more, c)))
            break;
        n += encoded ? 3 : 1;
    }
    return n;
}

/* RFC 3986, 3.2.2: a name or IPv4 address, or a literal in brackets, then perhaps a port; no user
 * information. */
static bool is_host_valid(struct slice host)
{
    bool literal = host.len > 0 && host.ptr[0] == '[';
    struct slice rest = {host.ptr + literal, host.len - literal};
    size_t n = host_len(rest, literal);
    if (literal && (n == 0 || n == rest.len || rest.ptr[n++] != ']'))
        return false;
    rest = (struct slice){rest.ptr + n, rest.len - n};
    for (size_t i = 1; i < rest.len; i++)
        if (rest.ptr[i] < '0' || rest.ptr[i] > '9')
            return false;
    return n > 0 && (rest.len == 0 || rest.ptr[0] == ':');
}

static enum http_input check_host(const struct parser *p, const struct seen *seen)
{
    if (seen->hosts > 1 || (seen->hosts == 0 && !p->http_1_0))
        return INPUT_MALFORMED;
    if (seen->hosts == 1 && !is_host_valid(seen->host) && !(p->http_1_0 && seen->host.len == 0))
        return INPUT_MALFORMED;
    return INPUT_COMPLETE;
}

/* Exactly "chunked", once, only on 1.1. Otherwise: a list in which chunked does not come last, or
 * comes twice, leaves the body's length unclear (400); other codings are clear but unknown (501).
 */
static enum http_input check_coding(bool http_1_0, const struct seen *seen)
{
    if (seen->codings == 0)
        return INPUT_COMPLETE;
    if (seen->codings > 1 || http_1_0 || seen->has_content_length)
        return INPUT_MALFORMED;
    struct slice rest = seen->coding;
    bool chunked = false;
    bool other = false;
    while (rest.ptr) {
        struct slice coding = slice_trim(slice_split(&rest, ','), " \t");
        if (coding.len == 0 || chunked)
            return INPUT_MALFORMED;
        if (slice_equals_nocase(coding, SLICE("chunked")))
            chunked = true;
        else
            other = true;
    }
    return other ? INPUT_CODING : INPUT_COMPLETE;
}

static enum http_input check_expectation(struct parser *p, const struct seen *seen)
{
    if (seen->expectations == 0 || p->http_1_0) /* RFC 9110: 1.0 clients' are ignored */
        return INPUT_COMPLETE;
    if (seen->expectations > 1 || !slice_equals_nocase(seen->expectation, SLICE("100-continue")))
        return INPUT_EXPECTATION;
    p->expects_continue = true;
    return INPUT_COMPLETE;
}

static enum http_input check_body(struct parser *p, const struct seen *seen)
{
    p->chunked = seen->codings == 1;
    if (!seen->has_content_length)
        return INPUT_COMPLETE;
    if (!slice_to_u64(seen->content_length, INT64_MAX, &p->content_length))
        return INPUT_MALFORMED;
    return p->content_length > p->limits->max_body ? INPUT_BODY_LARGE : INPUT_COMPLETE;
}

/* origin-form, absolute-form of http(s), "*" for OPTIONS, authority-form for CONNECT (RFC
 * 9112, 3.2). */
static bool is_target_valid(struct slice method, struct slice target)
{
    if (slice_equals(method, SLICE("CONNECT")))
        return target.ptr[0] != '/';
    if (target.ptr[0] == '/')
        return true;
    if (slice_equals(target, SLICE("*")))
        return slice_equals(method, SLICE("OPTIONS"));
    struct slice scheme = target;
    struct slice after = scheme;
    scheme = slice_split(&after, ':');
    return after.ptr && slice_starts_with(after, SLICE("//")) && after.len > 2 &&
           after.ptr[2] != '/' && after.ptr[2] != '?' &&
           (slice_equals_nocase(scheme, SLICE("http")) ||
            slice_equals_nocase(scheme, SLICE("https")));
}

static enum http_input check_head(struct parser *p, const struct guard_head *described)
{
    struct seen seen = {0};
    for (size_t i = 0; i < p->headers_len; i++) {
        if (p->headers[i].name.len == 0)
            return INPUT_MALFORMED;
        note(&seen, &p->headers[i]);
    }
    if (!is_target_valid(described->method, described->target))
        return INPUT_MALFORMED;
    enum http_input input = check_host(p, &seen);
    if (input == INPUT_COMPLETE)
        input = check_coding(p->http_1_0, &seen);
    if (input == INPUT_COMPLETE)
        input = check_body(p, &seen);
    if (input == INPUT_COMPLETE)
        input = check_expectation(p, &seen);
    return input;
}

/* llhttp itself refuses codings that do not end in chunked: which of them are only unknown? */
static enum http_input judge_refused_coding(const struct parser *p)
{
    struct seen seen = {0};
    for (size_t i = 0; i < p->headers_len; i++)
        note(&seen, &p->headers[i]);
    enum http_input input = check_coding(false, &seen);
    return input == INPUT_CODING && !p->http_1_0 ? INPUT_CODING : INPUT_MALFORMED;
}

/* ---- head and body --------------------------------------------------------------------------- */

/* What llhttp's answer means; *taken_r: how many of the bytes are the message's. */
static enum http_input run(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    p->bytes = bytes;
    llhttp_errno_t error = llhttp_execute(p->machine, bytes, len);
    *taken_r = len;
    if (p->failure != INPUT_MORE)
        return p->failure;
    if (error == HPE_OK)
        return INPUT_MORE;
    if (error == HPE_PAUSED && (p->whole || p->trailing)) {
        *taken_r = (size_t)(llhttp_get_error_pos(p->machine) - bytes);
        return p->whole ? INPUT_COMPLETE : INPUT_MORE;
    }
    return error == HPE_INVALID_TRANSFER_ENCODING ? judge_refused_coding(p) : INPUT_MALFORMED;
}

enum http_input parser_head(struct parser *p, struct arena *arena,
                            const struct input_limits *limits, const struct guard_head *described,
                            const char *head)
{
    *p = (struct parser){.arena = arena, .limits = limits, .headers_cap = described->headers};
    p->http_1_0 = described->version.ptr[7] == '0';
    p->body = buf_in_arena(arena);
    p->machine = arena_alloc(arena, sizeof *p->machine);
    p->headers = arena_alloc(arena, described->headers * sizeof *p->headers);
    if (!p->machine || !p->headers)
        return INPUT_NO_MEMORY;
    llhttp_init(p->machine, HTTP_REQUEST, &settings);
    p->machine->data = p;
    size_t taken;
    enum http_input input = run(p, head, described->len, &taken);
    if (input != INPUT_MORE && input != INPUT_COMPLETE)
        return input;
    if (taken != described->len)
        return INPUT_MALFORMED; /* llhttp saw another end of the head than the guard */
    enum http_input checked = check_head(p, described);
    if (checked != INPUT_COMPLETE)
        return checked;
    bool body_follows = p->chunked || p->content_length > 0;
    if (body_follows != (input == INPUT_MORE))
        return INPUT_MALFORMED; /* … or another body */
    return input;
}

/* llhttp reads the body, or up to the end of the last chunk's line; then the trailers are read. */
static enum http_input run_body(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    enum http_input input = INPUT_MORE;
    size_t taken = 0;
    *taken_r = 0;
    if (!p->trailing)
        input = run(p, bytes, len, taken_r);
    if (!p->trailing || input != INPUT_MORE)
        return input;
    input = trailer_read(&p->trailer, bytes + *taken_r, len - *taken_r, &taken);
    *taken_r += taken;
    p->whole = input == INPUT_COMPLETE;
    return input;
}

enum http_input parser_body(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    ASSERT(!p->whole);
    *taken_r = 0;
    if (p->content_length > 0 && p->body.cap == 0 && len >= p->content_length &&
        !buf_reserve(&p->body, (size_t)p->content_length))
        return INPUT_NO_MEMORY;
    enum http_input input = run_body(p, bytes, len, taken_r);
    p->body_raw_len += *taken_r;
    if (input != INPUT_MORE && input != INPUT_COMPLETE)
        return input;
    if (is_framing_fair(p, p->body_raw_len))
        return input;
    return p->trailing ? INPUT_HEAD_LARGE : INPUT_BODY_LARGE;
}
