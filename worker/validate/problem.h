/* problem.h: collects what is wrong with a request and writes it as the body of a 422. Filled by
 * schema.c, and by handlers that have checks of their own. Problems stay in the order they were
 * added. Any thread, one at a time per list. */
#pragma once

#include "shared/str.h"
#include "worker/validate/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum problem_type {
#define PROBLEM(name, type, msg, key) PROBLEM_##name,
#include "worker/validate/problem.def"
#undef PROBLEM
    PROBLEM_TYPE_END
};

/* What "input" shows. */
enum problem_input_kind {
    PROBLEM_INPUT_NULL,
    PROBLEM_INPUT_EMPTY_OBJECT,
    PROBLEM_INPUT_TEXT,
    PROBLEM_INPUT_JSON
};

struct problem_input {
    enum problem_input_kind kind;
    union {
        struct slice text;              /* UTF-8; borrowed */
        const struct json_value *value; /* borrowed */
    };
};

struct problem {
    enum problem_type type;
    const char *where;  /* first of "loc": "body", "query", "path"; static */
    struct slice field; /* second of "loc"; {NULL, 0}: none; borrowed */
    bool has_position;  /* second of "loc" is position instead */
    size_t position;
    struct problem_input input;
    struct slice ctx_text; /* ctx value of a kind that has a key: this text (borrowed) … */
    int64_t ctx_number;    /* … or, when ctx_text is absent, this number */
};

struct problem_node;

struct problems {
    struct arena *arena; /* borrowed; must outlive the list and its writing */
    struct problem_node *first;
    struct problem_node *last;
    size_t count;
    bool failed; /* memory ran out somewhere in validation: answer 503, whatever count says */
};

static inline struct problems problems_in(struct arena *a)
{
    return (struct problems){.arena = a};
}

static inline struct problem_input problem_input_text(struct slice text)
{
    return (struct problem_input){PROBLEM_INPUT_TEXT, {.text = text}};
}

static inline struct problem_input problem_input_json(const struct json_value *value)
{
    return (struct problem_input){PROBLEM_INPUT_JSON, {.value = value}};
}

/* Adds a copy of *p. Sets *failed* without memory. */
void problems_add(struct problems *list, const struct problem *p);
/* Appends {"detail":[…]}. Trouble is the buffer's *failed*. */
void problems_write(const struct problems *list, struct buf *out);
