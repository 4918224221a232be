/* input.h: how far reading a request has come, for guard and parser: one list of outcomes with the
 * status that answers each. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* INPUT(name, status): 0 where there is nothing to answer. */
#define HTTP_INPUTS(INPUT)                                                                         \
    INPUT(MORE, 0)          /* fine so far, incomplete */                                          \
    INPUT(COMPLETE, 0)      /* head or message is whole */                                         \
    INPUT(MALFORMED, 400)   /* not HTTP, or ambiguous: answered with the original's text */        \
    INPUT(TARGET_LONG, 414) /* request target above max_target */                                  \
    INPUT(HEAD_LARGE, 431)  /* head above max_head, or more than max_headers fields */             \
    INPUT(BODY_LARGE, 413)  /* body above max_body */                                              \
    INPUT(EXPECTATION, 417) /* an expectation other than 100-continue */                           \
    INPUT(CODING, 501)      /* a transfer coding other than chunked */                             \
    INPUT(VERSION, 505)     /* HTTP, but neither 1.0 nor 1.1 */                                    \
    INPUT(NO_MEMORY, 503)   /* the arena is full */

enum http_input {
#define INPUT(name, status) INPUT_##name,
    HTTP_INPUTS(INPUT)
#undef INPUT
};

/* The status that answers an outcome, 0 for MORE and COMPLETE. */
static inline int http_input_status(enum http_input input)
{
    static const int statuses[] = {
#define INPUT(name, status) status,
        HTTP_INPUTS(INPUT)
#undef INPUT
    };
    return statuses[input];
}

/* What a request may be at most ([limits] of the configuration). */
struct input_limits {
    size_t max_target;  /* bytes of the request target */
    size_t max_head;    /* bytes of the head, request line and final blank line included */
    size_t max_headers; /* header fields */
    uint64_t max_body;  /* bytes of the decoded body */
    size_t answer_memory; /* bytes of answers, made and not sent, beyond which no large one is begun */
};
