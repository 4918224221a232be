/* json.h: reads JSON as Python's json module (3.13 and later) does, with its error texts and
 * positions, and writes values back as Python prints them. For request bodies, so that an invalid
 * one is answered as the original answers it. Called by schema.c; any thread.
 *
 * What Python accepts is accepted: UTF-8, UTF-16 and UTF-32 with or without a byte order mark; NaN,
 * Infinity, -Infinity; integers of any size up to JSON_DIGITS_MAX digits; U+0000 and lone
 * surrogates in strings. Everything made lives in the arena given; at most some 80 bytes for each
 * byte of the text. Time is proportional to the text, but for n log n in the names of one object.
 */
#pragma once

#include "shared/jsonw.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    JSON_DEPTH_MAX = 100000, /* arrays and objects inside each other, as the original */
    JSON_DIGITS_MAX = 4300 /* of an integer, as sys.int_info.default_max_str_digits */
};

enum json_result {
    JSON_OK,
    JSON_SYNTAX,      /* see struct json_error */
    JSON_UNDECODABLE, /* malformed bytes, too deep, an integer too long: 400 in the original */
    JSON_NO_MEMORY
};

struct json_error {
    const char *message; /* static; Python's text */
    size_t position;     /* in code points from the start, a byte order mark not counted */
};

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,    /* text: "-12", normalised ("-0" is "0"), any size */
    JSON_FLOAT,  /* number: may be NaN or infinite */
    JSON_STRING, /* text: UTF-8, may hold NUL */
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_value {
    enum json_type type;
    bool surrogates; /* a JSON_STRING with lone surrogates: text is wide (utf8.h), not UTF-8 */
    struct slice name; /* of a member of an object, as wide as it may be; {NULL, 0} else */
    struct json_value *next; /* next item or member; NULL for the last and for the top value */
    union {
        bool boolean;
        double number;
        struct slice text;
        struct {
            struct json_value
                *first; /* NULL when empty. In an object each name stands once: where it
                         * was first, with the value it had last (as in a Python dict) */
            size_t len;
        } items;
    };
};

/* Reads one value that is all of *text*. *value_r is set on JSON_OK, *error_r on JSON_SYNTAX.
 * Slices in the value may point into *text*, which must live as long. */
enum json_result json_read(struct arena *a, struct slice text, struct json_value **value_r,
                           struct json_error *error_r);

/* The member of that name (plain UTF-8), or NULL. */
const struct json_value *json_member(const struct json_value *object, struct slice name);

/* Appends the value as Python prints it (compact). What JSON cannot say is written so: NaN and the
 * infinities as null, a lone surrogate as U+FFFD. */
void json_write(struct jsonw *w, const struct json_value *value);

enum { JSON_FLOAT_TEXT_MAX = 32 };
/* repr(number) of a finite number at *out* (JSON_FLOAT_TEXT_MAX bytes, NUL-terminated); returns its
 * length. "1e+22", "100000.0", "-0.0". */
size_t json_float_repr(char *out, double number);
