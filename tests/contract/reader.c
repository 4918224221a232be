/* reader.c: the readers of foreign bytes behind a pipe, so that a test can compare them with
 * Python's by the hundred thousand (readers.py speaks to it). Each record on standard input is
 *
 *   kind (1 byte), length of a, length of b (4 bytes each, little-endian), a, b
 *
 * and each answer on standard output a length (4 bytes) and so many bytes: a letter, the verdict,
 * and what belongs to it. Ends with its input.
 */
#include "shared/arena.h"
#include "shared/check.h"
#include "shared/jsonw.h"
#include "worker/auth/token.h"
#include "worker/validate/email.h"
#include "worker/validate/form.h"
#include "worker/validate/json.h"
#include "worker/validate/percent.h"
#include "worker/validate/pyint.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Agreed with readers.py. */
static const char token_key[] = "0123456789abcdef0123456789abcdef";
enum { NOW_S = 1800000000, ARENA_MAX = 256 << 20 };

/* ---- one kind each: a and b in, the answer appended to out ---------------------------------- */

/* 'o' and the value as it is printed; 's', position, blank, message; 'u': undecodable. */
static void answer_json(struct arena *a, struct slice text, struct buf *out)
{
    struct json_value *value;
    struct json_error error;
    switch (json_read(a, text, &value, &error)) {
    case JSON_OK: {
        buf_append_char(out, 'o');
        struct jsonw w = jsonw_on(out);
        json_write(&w, value);
        return;
    }
    case JSON_SYNTAX:
        buf_printf(out, "s%zu %s", error.position, error.message);
        return;
    case JSON_UNDECODABLE:
        buf_append_char(out, 'u');
        return;
    case JSON_NO_MEMORY:
        UNREACHABLE();
    }
}

/* 'o' and the address as it is stored; 'e' and the reason. */
static void answer_email(struct arena *a, struct slice text, struct buf *out)
{
    struct slice normalised, reason;
    enum email_result result = email_normalize(a, text, &normalised, &reason);
    ASSERT(result != EMAIL_NO_MEMORY);
    buf_append_char(out, result == EMAIL_OK ? 'o' : 'e');
    buf_append_slice(out, result == EMAIL_OK ? normalised : reason);
}

static void write_pair(struct jsonw *w, struct slice name, struct slice value)
{
    jsonw_array_open(w);
    jsonw_string(w, name);
    jsonw_string(w, value);
}

/* 'o' and [[name, value, is a file], …]; 'e' and the error. An empty content type is none. */
static void answer_form(struct arena *a, struct slice content_type, struct slice body,
                        struct buf *out)
{
    struct form form;
    const char *error = NULL;
    enum form_result result = form_read(
        a, content_type.len ? content_type : (struct slice){NULL, 0}, body, &form, &error);
    ASSERT(result != FORM_NO_MEMORY);
    if (result == FORM_INVALID) {
        buf_printf(out, "e%s", error);
        return;
    }
    buf_append_char(out, 'o');
    struct jsonw w = jsonw_on(out);
    jsonw_array_open(&w);
    for (const struct form_field *f = form.first; f; f = f->next) {
        write_pair(&w, f->name, f->value);
        jsonw_bool(&w, f->file);
        jsonw_array_close(&w);
    }
    jsonw_array_close(&w);
}

/* 'o' and [[name, value], …] of a query string. */
static void answer_query(struct arena *a, struct slice query, struct buf *out)
{
    struct slice name, value;
    buf_append_char(out, 'o');
    struct jsonw w = jsonw_on(out);
    jsonw_array_open(&w);
    while (percent_next_pair(&query, &name, &value)) {
        write_pair(&w, percent_decode(a, name), percent_decode(a, value));
        jsonw_array_close(&w);
    }
    jsonw_array_close(&w);
}

/* 'o' and the number, 'O' when it was clamped; 'm': malformed; 'l': too long. */
static void answer_int(struct slice text, struct buf *out)
{
    struct pyint n;
    switch (pyint_parse(text, &n)) {
    case PYINT_OK:
        buf_printf(out, "%c%lld", n.overflow ? 'O' : 'o', (long long)n.value);
        return;
    case PYINT_MALFORMED:
        buf_append_char(out, 'm');
        return;
    case PYINT_TOO_LONG:
        buf_append_char(out, 'l');
        return;
    }
}

/* 'o' and sub; 'e': refused, whatever for. */
static void answer_token(struct arena *a, struct slice token, struct buf *out)
{
    static struct tokens *tokens;
    struct token_claims claims;
    if (!tokens)
        tokens = tokens_new(slice_of(token_key), 30, 86400);
    ASSERT(tokens);
    enum token_result result = token_verify(tokens, a, token, NOW_S, &claims);
    ASSERT(result != TOKEN_NO_MEMORY);
    buf_append_char(out, result == TOKEN_VALID ? 'o' : 'e');
    if (result == TOKEN_VALID)
        buf_append_slice(out, claims.sub);
}

static void answer(char kind, struct arena *a, struct slice first, struct slice second,
                   struct buf *out)
{
    switch (kind) {
    case 'j':
        answer_json(a, first, out);
        return;
    case 'm':
        answer_email(a, first, out);
        return;
    case 'f':
        answer_form(a, first, second, out);
        return;
    case 'q':
        answer_query(a, first, out);
        return;
    case 'i':
        answer_int(first, out);
        return;
    case 't':
        answer_token(a, first, out);
        return;
    default:
        UNREACHABLE();
    }
}

/* ---- the pipe ------------------------------------------------------------------------------- */

static uint32_t length_at(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* In memory of its own and no byte more, so that a reader that goes beyond the end is seen. */
static char *read_bytes(size_t len)
{
    char *bytes = malloc(len ? len : 1);
    ASSERT(bytes && fread(bytes, 1, len, stdin) == len);
    return bytes;
}

static void put_answer(struct slice text)
{
    uint32_t n = (uint32_t)text.len;
    char len[4] = {(char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
    ASSERT(fwrite(len, 1, sizeof len, stdout) == sizeof len);
    ASSERT(fwrite(text.ptr, 1, text.len, stdout) == text.len);
}

int main(void)
{
    unsigned char head[9];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t first_len = length_at(head + 1), second_len = length_at(head + 5);
        char *first = read_bytes(first_len), *second = read_bytes(second_len);
        struct arena a;
        struct buf out = {0};
        arena_init(&a, NULL, 0, ARENA_MAX);
        answer((char)head[0], &a, (struct slice){first, first_len},
               (struct slice){second, second_len}, &out);
        ASSERT(!out.failed);
        put_answer(buf_slice(&out));
        buf_free(&out);
        arena_fini(&a);
        free(first);
        free(second);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
