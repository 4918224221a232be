/* problem.c: see problem.h. */
#include "worker/validate/problem.h"

#include "shared/check.h"

struct problem_node {
    struct problem problem;
    struct problem_node *next;
};

static const struct {
    struct slice type, msg, key;
} kinds[] = {
#define PROBLEM(name, type_, msg_, key_)                                                           \
    [PROBLEM_##                                                                                    \
        name] = {{type_, sizeof(type_) - 1}, {msg_, sizeof(msg_) - 1}, {key_, sizeof(key_) - 1}},
#include "worker/validate/problem.def"
#undef PROBLEM
};

void problems_add(struct problems *list, const struct problem *p)
{
    ASSERT(p->type < PROBLEM_TYPE_END);
    struct problem_node *node = arena_alloc(list->arena, sizeof *node);
    if (!node) {
        list->failed = true;
        return;
    }
    *node = (struct problem_node){.problem = *p};
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    list->count++;
}

/* The ctx value as it stands in the message. */
static struct slice ctx_words(const struct problem *p, char digits[24])
{
    if (p->ctx_text.ptr)
        return p->ctx_text;
    return (struct slice){digits, str_i64(digits, p->ctx_number)};
}

static void write_msg(struct jsonw *w, const struct problem *p)
{
    struct slice rest = kinds[p->type].msg;
    char digits[24];
    const char *gap = memmem(rest.ptr, rest.len, "{}", 2);
    if (!gap) {
        jsonw_string(w, rest);
        return;
    }
    size_t before = (size_t)(gap - rest.ptr);
    jsonw_raw(w, SLICE("\""));
    jsonw_escape(w->out, (struct slice){rest.ptr, before});
    jsonw_escape(w->out, ctx_words(p, digits));
    jsonw_escape(w->out, (struct slice){gap + 2, rest.len - before - 2});
    buf_append_char(w->out, '"');
}

static void write_loc(struct jsonw *w, const struct problem *p)
{
    jsonw_array_open(w);
    jsonw_string(w, slice_of(p->where));
    if (p->has_position)
        jsonw_u64(w, p->position);
    else if (p->field.ptr)
        jsonw_string(w, p->field);
    jsonw_array_close(w);
}

static void write_ctx(struct jsonw *w, const struct problem *p)
{
    jsonw_object_open(w);
    jsonw_name(w, kinds[p->type].key);
    if (p->ctx_text.ptr)
        jsonw_string(w, p->ctx_text);
    else
        jsonw_i64(w, p->ctx_number);
    jsonw_object_close(w);
}

/* Where a JSON input stands in the output already: a body with three fields missing is shown three
 * times, but printed once. */
struct shown {
    const struct json_value *value;
    size_t start, len;
};

static void write_json_input(struct jsonw *w, const struct json_value *value, struct shown *shown)
{
    if (shown->value == value && buf_reserve(w->out, shown->len + 1)) {
        jsonw_raw(w, (struct slice){w->out->data + shown->start, shown->len});
        return;
    }
    size_t start = w->out->len;
    json_write(w, value);
    *shown = (struct shown){value, start, w->out->len - start};
}

static void write_input(struct jsonw *w, const struct problem_input *input, struct shown *shown)
{
    switch (input->kind) {
    case PROBLEM_INPUT_NULL:
        jsonw_null(w);
        break;
    case PROBLEM_INPUT_EMPTY_OBJECT:
        jsonw_object_open(w);
        jsonw_object_close(w);
        break;
    case PROBLEM_INPUT_TEXT:
        jsonw_string(w, input->text);
        break;
    case PROBLEM_INPUT_JSON:
        write_json_input(w, input->value, shown);
        break;
    }
}

static void write_problem(struct jsonw *w, const struct problem *p, struct shown *shown)
{
    jsonw_object_open(w);
    jsonw_name(w, SLICE("type"));
    jsonw_string(w, kinds[p->type].type);
    jsonw_name(w, SLICE("loc"));
    write_loc(w, p);
    jsonw_name(w, SLICE("msg"));
    write_msg(w, p);
    jsonw_name(w, SLICE("input"));
    write_input(w, &p->input, shown);
    if (kinds[p->type].key.len) {
        jsonw_name(w, SLICE("ctx"));
        write_ctx(w, p);
    }
    jsonw_object_close(w);
}

void problems_write(const struct problems *list, struct buf *out)
{
    struct jsonw w = jsonw_on(out);
    struct shown shown = {NULL, 0, 0};
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("detail"));
    jsonw_array_open(&w);
    for (const struct problem_node *n = list->first; n; n = n->next)
        write_problem(&w, &n->problem, &shown);
    jsonw_array_close(&w);
    jsonw_object_close(&w);
}
