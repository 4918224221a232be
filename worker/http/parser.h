/* parser.h: llhttp (strict) over exactly one guarded head, with the rules that it leaves to its user:
 * target, one Host, one transfer coding, limits; and then the body. Headers and body land in the
 * request's arena. One thread at a time. */
#pragma once

#include "shared/arena.h"
#include "shared/str.h"
#include "worker/http/chunked.h"
#include "worker/http/guard.h"
#include "worker/http/header.h"
#include "worker/http/input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* llhttp's state, by its tag: its header is not for headers of ours. */
struct llhttp__internal_s;

struct parser {
    struct llhttp__internal_s *machine; /* in the arena */
    struct arena *arena;                /* borrowed */
    const struct input_limits *limits;  /* borrowed */

    /* the head, once it was complete */
    struct header *headers; /* in the arena */
    size_t headers_len;
    size_t headers_cap;
    bool http_1_0;
    bool keep_alive;       /* HTTP/1.1 without "Connection: close", and no CONNECT */
    bool expects_continue; /* "Expect: 100-continue" on HTTP/1.1 */
    bool chunked;
    uint64_t content_length; /* 0 when there was none, or chunked */

    /* the body */
    struct buf body;         /* in the arena */
    uint64_t body_raw_len;   /* bytes of former parser_body() calls: framing included */
    uint64_t content_left;   /* of content_length */
    struct chunked chunks;
    bool whole;              /* the message is complete */
    enum http_input failure; /* why a callback stopped llhttp; MORE: it did not */
};

/* To be done with a head's bytes before they are parsed: tabs behind a value become the blanks they mean
 * (RFC 9112, 5.1), for llhttp takes none behind a length or a coding. */
void parser_prepare_head(char *head, size_t len);

/* Parses a head that guard_scan() found complete. *head* is its bytes, prepared, which must stay valid as
 * long as the headers are used. INPUT_COMPLETE: the message is whole, there is no body; INPUT_MORE:
 * a body follows; else what is wrong. *limits* is kept. */
enum http_input parser_head(struct parser *p, struct arena *arena,
                            const struct input_limits *limits, const struct guard_head *described,
                            const char *head);
/* Takes body bytes: how many is in *taken_r. INPUT_MORE: all of them; INPUT_COMPLETE: the message
 * ends behind the taken ones. */
enum http_input parser_body(struct parser *p, const char *bytes, size_t len, size_t *taken_r);
