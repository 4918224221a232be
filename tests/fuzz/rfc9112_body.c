/* rfc9112_body.c: see rfc9112_internal.h: how long a body is, and what is in it. RFC 9112, 6 and 7.
 */
#include "rfc9112_internal.h"

static void content(struct rfc_message *m, int c)
{
    if (m->body_len < RFC_BODY_MAX)
        m->body[m->body_len] = (char)c;
    m->body_len++;
}

static size_t token(const struct input *in, size_t at)
{
    while (rfc_is_tchar(rfc_byte_at(in, at)))
        at++;
    return at;
}

/* 7.1.1: what clients send, if anything: *( ";" token ) [ ";" token "=" token ]. (llhttp 8.1
 * refuses what follows a value, against the RFC; with a 400, so that nothing is misread.) */
static size_t plain_extensions(const struct input *in, size_t at)
{
    while (rfc_byte_at(in, at) == ';') {
        size_t end = token(in, at + 1);
        if (end == at + 1)
            return at;
        at = end;
        if (rfc_byte_at(in, at) == '=') {
            end = token(in, at + 1);
            return end == at + 1 ? at : end;
        }
    }
    return at;
}

/* What else may stand there (blanks around, quoted strings) and what may not makes no difference to
 * the framing, as long as it has no control characters: a server may refuse it or bear with it. */
static size_t chunk_ext(struct rfc_message *m, const struct input *in, size_t at)
{
    size_t end = plain_extensions(in, at);
    if (end == in->len || rfc_byte_at(in, end) == '\r')
        return end;
    m->doubtful = true;
    while (rfc_byte_at(in, at) == ' ' || rfc_byte_at(in, at) == '\t')
        at++;
    if (rfc_byte_at(in, at) != ';')
        return rfc_wrong_at(m, in, at, "what follows a chunk's size");
    while (rfc_byte_at(in, at) >= ' ' || rfc_byte_at(in, at) == '\t')
        at++;
    return at;
}

/* 1*HEXDIG, not beyond 64 bits. */
static size_t chunk_size(struct rfc_message *m, const struct input *in, size_t at, uint64_t *size_r)
{
    size_t begin = at;
    for (*size_r = 0; rfc_hexdig(rfc_byte_at(in, at)) >= 0; at++) {
        if (*size_r >> 60)
            return rfc_bad(m, "chunk-size: too large");
        *size_r = *size_r << 4 | (unsigned)rfc_hexdig(rfc_byte_at(in, at));
    }
    return at > begin ? at : rfc_wrong_at(m, in, at, "chunk-size");
}

size_t rfc_chunked_body(struct rfc_message *m, const struct input *in, size_t at)
{
    struct rfc_field trailer;
    uint64_t size;
    size_t begin = at;
    do {
        at = chunk_size(m, in, at, &size);
        if (at != NONE)
            at = chunk_ext(m, in, at);
        if (at != NONE)
            at = rfc_crlf(m, in, at, "the end of a chunk's size");
        if (at == NONE || size == 0)
            break;
        m->announced = size > in->len - at ? size - (in->len - at) : 0;
        for (uint64_t i = 0; i < size && at < in->len; i++)
            content(m, rfc_byte_at(in, at++));
        at = rfc_crlf(m, in, at, "the end of a chunk");
    } while (at != NONE);
    while (at != NONE && rfc_byte_at(in, at) != '\r')
        at = rfc_field_line(m, in, at, &trailer);
    if (at != NONE)
        at = rfc_crlf(m, in, at, "the end of the trailers");
    m->framing = (at == NONE ? in->len : at) - begin - m->body_len;
    return at;
}

/* 6.3: how long the body is. False: nobody knows, or it is a trick. */
bool rfc_message_body_length(struct rfc_message *m)
{
    struct rfc_part coding, length, element;
    size_t codings = rfc_count(m, "Transfer-Encoding", &coding);
    size_t lengths = rfc_count(m, "Content-Length", &length);
    if (codings > 0 && (lengths > 0 || m->minor == 0 || codings > 1))
        return false; /* a server may refuse several fields with one coding each: this one does */
    bool last_is_chunked = false;
    size_t chunks = 0;
    for (size_t at = 0; codings > 0 && rfc_list_element(coding, &at, &element);) {
        last_is_chunked = rfc_part_is(element, "chunked");
        chunks += last_is_chunked;
        m->other_coding |= !last_is_chunked;
    }
    m->chunked = codings > 0;
    if (codings > 0)
        return last_is_chunked && chunks == 1;
    if (lengths > 1 || (lengths == 1 && length.len == 0))
        return false;
    for (size_t i = 0; lengths == 1 && i < length.len; i++) {
        if (!rfc_is_digit((unsigned char)length.ptr[i]) || m->length_told > UINT64_MAX / 10 - 1)
            return false;
        m->length_told = m->length_told * 10 + (unsigned)(length.ptr[i] - '0');
    }
    return true;
}

size_t rfc_message_body(struct rfc_message *m, const struct input *in, size_t at)
{
    if (m->chunked)
        return rfc_chunked_body(m, in, at);
    for (uint64_t i = 0; i < m->length_told; i++) {
        if (at == in->len)
            return rfc_wrong_at(m, in, at, "message-body");
        content(m, rfc_byte_at(in, at++));
    }
    return at;
}
