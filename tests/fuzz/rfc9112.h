/* rfc9112.h: a second reading of HTTP/1.1 requests, straight from the grammar of RFC 9112 (with the
 * definitions of RFC 9110 and RFC 3986 that it borrows), for the fuzzers to compare the server
 * with. As plain as can be and as slow as it likes: it goes over the whole input again and again,
 * byte by byte, and shares nothing with worker/http, not even a comparison of names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RFC_FIELDS_MAX = 64, RFC_BODY_MAX = 16384 };

enum rfc_verdict {
    RFC_WHOLE, /* a complete message stands at the beginning of the bytes */
    RFC_SHORT, /* so far it could become one */
    RFC_BAD    /* whatever follows, it is none, or one that must be refused; *why* says why */
};

/* Bytes of the input. */
struct rfc_part {
    const char *ptr;
    size_t len;
};

struct rfc_field {
    struct rfc_part name, value;
};

/* What matters of a request. */
struct rfc_message {
    enum rfc_verdict verdict;
    const char *why;

    size_t empty_lines; /* before the request line; of *used*, not of *head_len* */
    struct rfc_part method, target;
    int minor;       /* of HTTP/1.x */
    size_t head_len; /* from the request line to the empty line's end */
    struct rfc_field fields[RFC_FIELDS_MAX];
    size_t fields_len;

    bool chunked;
    size_t framing; /* bytes of a chunked body that are no content */
    char body[RFC_BODY_MAX];
    size_t body_len;
    uint64_t length_told; /* by Content-Length */
    uint64_t announced;   /* bytes of the last chunk that have not come */
    bool persists;        /* another request may follow on the connection */
    size_t used;          /* bytes that were this message */

    bool other_version; /* WHOLE line, but HTTP of another version: then only the line was read */
    bool other_coding;  /* a transfer coding that is not chunked, chunked being the last */
    bool doubtful; /* the target is no URI reference, a chunk's extension is odd, or CONNECT has
                      content (RFC 9110, 9.3.6): a server may refuse it or bear with it */
    bool expects_other; /* an expectation that is not 100-continue */
    bool has_expectation;
};

void rfc9112_read(const char *bytes, size_t len, struct rfc_message *m);

/* A chunked body alone, with its trailer section; *m as above, but for the head. */
void rfc9112_read_chunked(const char *bytes, size_t len, struct rfc_message *m);

/* ASCII letters count alike. */
bool rfc_part_is(struct rfc_part part, const char *text);
