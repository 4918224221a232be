/* json_internal.h: what the parts of the JSON reader share: json.c (structure), json_string.c,
 * json_number.c, json_decode.c (encodings). */
#pragma once

#include "worker/validate/json.h"

struct json_reader {
    struct arena *arena;
    const char *start;
    const char *at;
    const char *end;
    struct json_value *open; /* the innermost container that is not closed yet */
    unsigned depth;          /* how many are */
    const char *message;  /* after JSON_SYNTAX … */
    const char *position; /* … and where */
};

static inline enum json_result json_fail(struct json_reader *r, const char *message, const char *at)
{
    r->message = message;
    r->position = at;
    return JSON_SYNTAX;
}

/* *text* as valid wide UTF-8 (utf8.h) without its byte order mark: text itself, or a copy in the
 * arena. JSON_OK, JSON_UNDECODABLE or JSON_NO_MEMORY. */
enum json_result json_decode(struct arena *a, struct slice text, struct slice *utf8_r);

/* A string whose opening quote is at r->at; leaves r->at behind the closing one. */
enum json_result json_read_string(struct json_reader *r, struct slice *text_r, bool *surrogates_r);

/* A number, NaN, Infinity or -Infinity at r->at. What is none is "Expecting value". */
enum json_result json_read_number(struct json_reader *r, struct json_value *value);

/* Makes the members of *object* unique, as a dict would. False without memory. */
bool json_unite_members(struct arena *a, struct json_value *object);
