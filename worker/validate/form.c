/* form.c: see form.h. The urlencoded kind, and what both kinds use. */
#include "worker/validate/form.h"

#include "shared/utf8.h"
#include "worker/validate/form_internal.h"
#include "worker/validate/percent.h"

static const char blanks[] = " \t\r\n\v\f";

bool form_add(struct arena *a, struct form *form, struct slice name, struct slice value, bool file)
{
    struct form_field *field = arena_alloc(a, sizeof *field);
    if (!field)
        return false;
    /* Newest first while it is read; form_read() turns the list round. */
    *field = (struct form_field){.name = name, .value = value, .file = file, .next = form->first};
    form->first = field;
    form->len++;
    return true;
}

struct slice form_text(struct arena *a, struct slice bytes, bool latin1)
{
    if (!latin1 && utf8_is_valid(bytes))
        return bytes;
    struct buf text = buf_in_arena(a);
    for (size_t i = 0; i < bytes.len; i++)
        utf8_append(&text, (unsigned char)bytes.ptr[i]);
    return text.failed ? (struct slice){NULL, 0} : buf_slice(&text);
}

/* Cuts the piece up to the next ';' that stands outside quotes off *rest. */
static struct slice next_piece(struct slice *rest)
{
    struct slice all = *rest;
    bool quoted = false;
    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i] == '"' && (i == 0 || all.ptr[i - 1] != '\\'))
            quoted = !quoted;
        if (all.ptr[i] == ';' && !quoted) {
            *rest = (struct slice){all.ptr + i + 1, all.len - i - 1};
            return (struct slice){all.ptr, i};
        }
    }
    *rest = (struct slice){NULL, 0};
    return all;
}

/* A quoted value without its quotes: \\ is one backslash, then \" a quote, as python-multipart
 * replaces them one after the other. */
static struct slice unquote(struct arena *a, struct slice s, bool *failed_r)
{
    if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
        return s;
    s = (struct slice){s.ptr + 1, s.len - 2};
    if (!s.len || !memchr(s.ptr, '\\', s.len))
        return s;
    char *out = arena_dup(a, s.ptr, s.len);
    if (!out) {
        *failed_r = true;
        return (struct slice){NULL, 0};
    }
    size_t len = s.len;
    for (int pass = 0; pass < 2; pass++) {
        char escaped = pass ? '"' : '\\';
        size_t to = 0;
        for (size_t from = 0; from < len; from++) {
            if (out[from] == '\\' && from + 1 < len && out[from + 1] == escaped)
                from++;
            out[to++] = out[from];
        }
        len = to;
    }
    return (struct slice){out, len};
}

struct slice form_option(struct arena *a, struct slice header, struct slice key, bool *failed_r)
{
    struct slice found = {NULL, 0};
    next_piece(&header); /* the main value */
    while (header.ptr) {
        struct slice value = next_piece(&header);
        struct slice name = slice_trim(slice_split(&value, '='), blanks);
        if (slice_equals_nocase(name, key))
            found = value.ptr ? slice_trim(value, blanks) : SLICE("");
    }
    return found.ptr ? unquote(a, found, failed_r) : found;
}

static enum form_result read_urlencoded(struct arena *a, struct slice body, struct form *form,
                                        const char **error_r)
{
    struct slice name, value;
    while (percent_next_pair(&body, &name, &value)) {
        if (name.len + value.len > FORM_FIELD_BYTES_MAX) {
            *error_r = "Field exceeded maximum size of 1024KB.";
            return FORM_INVALID;
        }
        if (form->len == FORM_FIELDS_MAX) {
            *error_r = "Too many fields. Maximum number of fields is 1000.";
            return FORM_INVALID;
        }
        name = percent_decode(a, name);
        value = percent_decode(a, value);
        if (!name.ptr || !value.ptr || !form_add(a, form, name, value, false))
            return FORM_NO_MEMORY;
    }
    return FORM_OK;
}

static void turn_round(struct form *form)
{
    struct form_field *done = NULL;
    while (form->first) {
        struct form_field *field = form->first;
        form->first = field->next;
        field->next = done;
        done = field;
    }
    form->first = done;
}

/* python-multipart sees to the case of a media type only where no parameter follows it. */
static bool is_type(struct slice type, struct slice wanted, bool has_parameters)
{
    return has_parameters ? slice_equals(type, wanted) : slice_equals_nocase(type, wanted);
}

enum form_result form_read(struct arena *a, struct slice content_type, struct slice body,
                           struct form *form_r, const char **error_r)
{
    enum form_result result = FORM_OK;
    struct slice rest = content_type;
    struct slice type = slice_trim(slice_split(&rest, ';'), blanks);
    *form_r = (struct form){NULL, 0};
    if (is_type(type, SLICE("application/x-www-form-urlencoded"), rest.ptr))
        result = read_urlencoded(a, body, form_r, error_r);
    else if (is_type(type, SLICE("multipart/form-data"), rest.ptr))
        result = form_read_multipart(a, content_type, body, form_r, error_r);
    turn_round(form_r);
    return result;
}

const struct form_field *form_field(const struct form *form, struct slice name)
{
    const struct form_field *found = NULL;
    for (const struct form_field *f = form->first; f; f = f->next)
        if (slice_equals(f->name, name))
            found = f;
    return found;
}
