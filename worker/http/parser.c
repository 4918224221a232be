/* parser.c: see parser.h. RFC 9112, sections 3.2 (target, Host), 6 (body), 7.1 (chunks); RFC 9110,
 * 10.1.1 (Expect). llhttp reads the head; it calls back in the middle of llhttp_execute(), and the
 * callbacks only note down. */
#include "worker/http/parser.h"

#include "shared/check.h"
#include "worker/http/authority.h"
#include "worker/http/target.h"

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
    .on_message_complete = on_message_complete,
};

/* ---- rules for the head ---------------------------------------------------------------------- */

/* What the fields that matter here said. */
struct seen {
    size_t hosts;
    struct slice host;
    size_t codings;
    struct slice coding;
    bool expects_continue;
    bool expects_more; /* than that */
    bool closes;
    bool has_content_length;
    struct slice content_length;
};

/* A list (RFC 9110, 10.1.1); empty elements are none (5.6.1.2). */
static void note_expectations(struct seen *seen, struct slice list)
{
    while (list.ptr) {
        struct slice one = slice_trim(slice_split(&list, ','), " \t");
        if (slice_equals_nocase(one, SLICE("100-continue")))
            seen->expects_continue = true;
        else if (one.len > 0)
            seen->expects_more = true;
    }
}

/* llhttp looks for it, too, and misses it before a tab. */
static void note_options(struct seen *seen, struct slice list)
{
    while (list.ptr)
        if (slice_equals_nocase(slice_trim(slice_split(&list, ','), " \t"), SLICE("close")))
            seen->closes = true;
}

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
        if (slice_equals_nocase(h->name, SLICE("expect")))
            note_expectations(seen, h->value);
        return;
    case 10:
        if (slice_equals_nocase(h->name, SLICE("connection")))
            note_options(seen, h->value);
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

static enum http_input check_host(const struct parser *p, const struct seen *seen)
{
    if (seen->hosts > 1 || (seen->hosts == 0 && !p->http_1_0))
        return INPUT_MALFORMED;
    if (seen->hosts == 1 && !authority_is_valid(seen->host) && !(p->http_1_0 && seen->host.len == 0))
        return INPUT_MALFORMED;
    return INPUT_COMPLETE;
}

/* Exactly "chunked", once, only on 1.1. A list in which it does not come last, or comes twice, leaves
 * the body's length unclear (400; RFC 9112, 6.3); with others before it, that is clear but the coding
 * unknown (501; 6.1). */
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
    if (!chunked)
        return INPUT_MALFORMED;
    return other ? INPUT_CODING : INPUT_COMPLETE;
}

static enum http_input check_expectation(struct parser *p, const struct seen *seen)
{
    if (p->http_1_0) /* RFC 9110, 10.1.1: 1.0 clients' are ignored */
        return INPUT_COMPLETE;
    p->expects_continue = seen->expects_continue;
    return seen->expects_more ? INPUT_EXPECTATION : INPUT_COMPLETE;
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

/* "http://host…" or "https://host…". */
static bool is_absolute_form(struct slice target)
{
    struct target parts;
    struct slice rest = target;
    struct slice scheme = slice_split(&rest, ':');
    if (!slice_equals_nocase(scheme, SLICE("http")) && !slice_equals_nocase(scheme, SLICE("https")))
        return false;
    target_parts(target, &parts);
    return parts.authority.ptr && authority_is_valid(parts.authority);
}

/* origin-form, absolute-form, "*" for OPTIONS, authority-form for CONNECT (RFC 9112, 3.2). */
static bool is_target_valid(struct slice method, struct slice target)
{
    if (slice_equals(method, SLICE("CONNECT")))
        return authority_has_port(target);
    if (slice_equals(target, SLICE("*")))
        return slice_equals(method, SLICE("OPTIONS"));
    return target.ptr[0] == '/' || is_absolute_form(target);
}

static enum http_input check_head(struct parser *p, const struct guard_head *described)
{
    struct seen seen = {0};
    for (size_t i = 0; i < p->headers_len; i++) {
        if (p->headers[i].name.len == 0)
            return INPUT_MALFORMED;
        note(&seen, &p->headers[i]);
    }
    p->keep_alive =
        !p->http_1_0 && !seen.closes && !slice_equals(described->method, SLICE("CONNECT"));
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

/* ---- the head -------------------------------------------------------------------------------- */

/* What llhttp's answer means; *taken_r: how many of the bytes are the message's. */
static enum http_input run(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    llhttp_errno_t error = llhttp_execute(p->machine, bytes, len);
    *taken_r = len;
    if (p->failure != INPUT_MORE)
        return p->failure;
    if (error == HPE_OK)
        return INPUT_MORE;
    if (error == HPE_PAUSED && p->whole) {
        *taken_r = (size_t)(llhttp_get_error_pos(p->machine) - bytes);
        return INPUT_COMPLETE;
    }
    return INPUT_MALFORMED;
}

void parser_prepare_head(char *head, size_t len)
{
    if (!memchr(head, '\t', len))
        return;
    bool at_end = false;
    for (char *c = head + len; c-- > head;) {
        if (*c == '\t' && at_end)
            *c = ' ';
        at_end = *c == '\r' || (at_end && *c == ' ');
    }
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
        return INPUT_MALFORMED; /* … or another body: CONNECT has none (RFC 9110, 9.3.6) */
    p->content_left = p->content_length;
    return input;
}

/* ---- body ------------------------------------------------------------------------------------ */

/* A body whose framing outweighs it is an attack on the reader's time. *raw_len*: bytes so far. */
static bool is_framing_fair(const struct parser *p, uint64_t raw_len)
{
    return raw_len - p->body.len <=
           p->limits->max_head + FRAMING_PER_BODY_BYTE * (uint64_t)p->body.len;
}

static enum http_input take_data(struct parser *p, struct slice data)
{
    buf_append_slice(&p->body, data);
    return p->body.failed ? INPUT_NO_MEMORY : INPUT_MORE;
}

/* Room for *data*, and for what the present chunk has announced? */
static bool has_room(const struct parser *p, struct slice data)
{
    uint64_t room = p->limits->max_body - p->body.len;
    return data.len <= room && chunked_expects(&p->chunks) <= room - data.len;
}

static enum http_input read_chunks(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    enum http_input input = INPUT_MORE;
    size_t at = 0;
    while (input == INPUT_MORE && at < len) {
        size_t n;
        struct slice data;
        input = chunked_read(&p->chunks, bytes + at, len - at, &n, &data);
        at += n;
        if (input == INPUT_MALFORMED)
            return input;
        if (!is_framing_fair(p, p->body_raw_len + at - data.len))
            return chunked_is_trailing(&p->chunks) ? INPUT_HEAD_LARGE : INPUT_BODY_LARGE;
        if (!has_room(p, data))
            return INPUT_BODY_LARGE;
        if (data.len > 0)
            input = take_data(p, data);
    }
    *taken_r = at;
    return input;
}

static enum http_input read_content(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    if (p->body.cap == 0 && len >= p->content_length &&
        !buf_reserve(&p->body, (size_t)p->content_length))
        return INPUT_NO_MEMORY;
    size_t n = len < p->content_left ? len : (size_t)p->content_left;
    p->content_left -= n;
    *taken_r = n;
    enum http_input input = take_data(p, (struct slice){bytes, n});
    return input == INPUT_MORE && p->content_left == 0 ? INPUT_COMPLETE : input;
}

enum http_input parser_body(struct parser *p, const char *bytes, size_t len, size_t *taken_r)
{
    ASSERT(!p->whole);
    *taken_r = 0;
    enum http_input input = p->chunked ? read_chunks(p, bytes, len, taken_r)
                                       : read_content(p, bytes, len, taken_r);
    p->body_raw_len += *taken_r;
    p->whole = input == INPUT_COMPLETE;
    return input;
}
