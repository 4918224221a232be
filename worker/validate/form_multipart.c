/* form_multipart.c: multipart/form-data (RFC 7578, RFC 2046 section 5.1), with python-multipart's
 * limits and leniency: what stands after the last boundary is ignored, a part that the body's end
 * cuts off is dropped. */
#include "worker/validate/form_internal.h"

enum { HEADERS_MAX = 8, HEADER_BYTES_MAX = 4096 + 128, BOUNDARY_MAX = 256 };

static const char garbage[] = "Invalid multipart data.";

struct parser {
    struct arena *arena;
    struct form *form;
    struct slice delimiter; /* CR LF "--" boundary */
    struct slice rest;      /* what is not read yet */
    size_t fields, files;
    bool latin1;       /* the form says that it is not UTF-8 */
    const char *error; /* with FORM_INVALID */
};

/* The headers of a part came, or the body ended before they were complete. */
enum step { STEP_DONE, STEP_END_OF_BODY, STEP_INVALID };

static enum form_result invalid(struct parser *p, const char *error)
{
    p->error = error;
    return FORM_INVALID;
}

static void skip(struct parser *p, size_t n)
{
    p->rest = (struct slice){p->rest.ptr + n, p->rest.len - n};
}

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(struct slice s)
{
    size_t n = 0;
    while (n < s.len && is_token_char(s.ptr[n]))
        n++;
    return n;
}

/* One header line at p->rest. */
static enum step read_header(struct parser *p, struct slice *name_r, struct slice *value_r)
{
    size_t name_len = token_len(p->rest);
    if (name_len == p->rest.len)
        return STEP_END_OF_BODY;
    if (name_len == 0 || p->rest.ptr[name_len] != ':')
        return STEP_INVALID;
    *name_r = (struct slice){p->rest.ptr, name_len};
    skip(p, name_len + 1);
    size_t blanks = 0;
    while (blanks < p->rest.len && p->rest.ptr[blanks] == ' ')
        blanks++;
    skip(p, blanks);
    const char *cr = p->rest.len ? memchr(p->rest.ptr, '\r', p->rest.len) : NULL;
    size_t value_len = cr ? (size_t)(cr - p->rest.ptr) : p->rest.len;
    if (name_len + 1 + blanks + value_len > HEADER_BYTES_MAX)
        return STEP_INVALID;
    *value_r = (struct slice){p->rest.ptr, value_len};
    skip(p, value_len);
    if (p->rest.len < 2)
        return STEP_END_OF_BODY;
    if (p->rest.ptr[1] != '\n')
        return STEP_INVALID;
    skip(p, 2);
    return STEP_DONE;
}

/* The headers of a part, up to and with the empty line. */
static enum step read_headers(struct parser *p, struct slice *disposition_r)
{
    *disposition_r = (struct slice){NULL, 0};
    for (size_t count = 0; p->rest.len && p->rest.ptr[0] != '\r'; count++) {
        struct slice name, value;
        if (count == HEADERS_MAX)
            return STEP_INVALID;
        enum step step = read_header(p, &name, &value);
        if (step != STEP_DONE)
            return step;
        if (slice_equals_nocase(name, SLICE("content-disposition")))
            *disposition_r = value;
    }
    if (p->rest.len < 2)
        return STEP_END_OF_BODY;
    if (p->rest.ptr[1] != '\n')
        return STEP_INVALID;
    skip(p, 2);
    return STEP_DONE;
}

/* Cuts the data of a part and the delimiter behind it. False when no delimiter follows; *last_r
 * says that it was the closing one. */
static bool read_data(struct parser *p, struct slice *data_r, bool *last_r)
{
    const char *start = p->rest.ptr;
    for (;;) {
        const char *at = p->rest.len
                             ? memmem(p->rest.ptr, p->rest.len, p->delimiter.ptr, p->delimiter.len)
                             : NULL;
        if (!at)
            return false;
        skip(p, (size_t)(at - p->rest.ptr) + p->delimiter.len);
        *last_r = slice_starts_with(p->rest, SLICE("--"));
        if (*last_r || slice_starts_with(p->rest, SLICE("\r\n"))) {
            skip(p, 2);
            *data_r = (struct slice){start, (size_t)(at - start)};
            return true;
        }
    }
}

/* A part begins: counted before its data is known. */
static enum form_result begin_part(struct parser *p, struct slice disposition, struct slice *name_r,
                                   struct slice *filename_r)
{
    bool failed = false;
    *name_r = form_option(p->arena, disposition, SLICE("name"), &failed);
    *filename_r = form_option(p->arena, disposition, SLICE("filename"), &failed);
    if (failed)
        return FORM_NO_MEMORY;
    if (!name_r->ptr)
        return invalid(p, "The Content-Disposition header field \"name\" must be provided.");
    if (filename_r->ptr && ++p->files > FORM_FIELDS_MAX)
        return invalid(p, "Too many files. Maximum number of files is 1000.");
    if (!filename_r->ptr && ++p->fields > FORM_FIELDS_MAX)
        return invalid(p, "Too many fields. Maximum number of fields is 1000.");
    return FORM_OK;
}

/* The part at p->rest, whose delimiter line has been read. *last_r: none comes after it. */
static enum form_result read_part(struct parser *p, bool *last_r)
{
    struct slice disposition, name, filename, data;
    *last_r = true;
    switch (read_headers(p, &disposition)) {
    case STEP_DONE:
        break;
    case STEP_END_OF_BODY:
        return FORM_OK;
    case STEP_INVALID:
        return invalid(p, garbage);
    }
    enum form_result result = begin_part(p, disposition, &name, &filename);
    if (result != FORM_OK)
        return result;
    struct slice before = p->rest;
    bool complete = read_data(p, &data, last_r);
    if (!filename.ptr && (complete ? data.len : before.len) > FORM_FIELD_BYTES_MAX)
        return invalid(p, "Part exceeded maximum size of 1024KB.");
    if (!complete) {
        *last_r = true;
        return FORM_OK;
    }
    name = form_text(p->arena, name, p->latin1);
    data = form_text(p->arena, filename.ptr ? filename : data, p->latin1);
    if (!name.ptr || !data.ptr || !form_add(p->arena, p->form, name, data, filename.ptr != NULL))
        return FORM_NO_MEMORY;
    return FORM_OK;
}

/* The first delimiter, which has no CR LF before it. *none_r: the form is empty. */
static enum form_result read_opening(struct parser *p, bool *none_r)
{
    struct slice dash_boundary = {p->delimiter.ptr + 2, p->delimiter.len - 2};
    *none_r = true;
    if (p->rest.len && (p->rest.ptr[0] == '\r' || p->rest.ptr[0] == '\n')) {
        const char *dash = memchr(p->rest.ptr, '-', p->rest.len);
        skip(p, dash ? (size_t)(dash - p->rest.ptr) : p->rest.len);
    }
    if (p->rest.len <= dash_boundary.len)
        return slice_starts_with(dash_boundary, p->rest) ? FORM_OK : invalid(p, garbage);
    if (!slice_starts_with(p->rest, dash_boundary))
        return invalid(p, garbage);
    skip(p, dash_boundary.len);
    struct slice two = {p->rest.ptr, p->rest.len < 2 ? p->rest.len : 2};
    if (slice_starts_with(SLICE("--"), two))
        return FORM_OK;
    if (!slice_starts_with(SLICE("\r\n"), two))
        return invalid(p, garbage);
    skip(p, two.len);
    *none_r = two.len < 2;
    return FORM_OK;
}

static enum form_result read_parts(struct parser *p)
{
    bool last;
    enum form_result result = read_opening(p, &last);
    while (result == FORM_OK && !last)
        result = read_part(p, &last);
    return result;
}

/* The charset that a form declares (RFC 7578, 4.6 has it elsewhere; Starlette looks here). What is
 * not UTF-8 is taken for Latin-1, as Starlette takes a name that Python does not know. */
static bool is_latin1(struct slice charset)
{
    static const char *const utf8_names[] = {"utf-8", "utf_8", "utf8", "u8", "utf"};
    for (size_t i = 0; i < sizeof utf8_names / sizeof *utf8_names; i++)
        if (slice_equals_nocase(charset, slice_of(utf8_names[i])))
            return false;
    return charset.ptr != NULL;
}

enum form_result form_read_multipart(struct arena *a, struct slice content_type, struct slice body,
                                     struct form *form, const char **error_r)
{
    bool failed = false;
    struct slice boundary = form_option(a, content_type, SLICE("boundary"), &failed);
    struct slice charset = form_option(a, content_type, SLICE("charset"), &failed);
    if (failed)
        return FORM_NO_MEMORY;
    if (!boundary.ptr) {
        *error_r = "Missing boundary in multipart.";
        return FORM_INVALID;
    }
    if (boundary.len > BOUNDARY_MAX) {
        *error_r = garbage;
        return FORM_INVALID;
    }
    struct buf delimiter = buf_in_arena(a);
    buf_append_slice(&delimiter, SLICE("\r\n--"));
    buf_append_slice(&delimiter, boundary);
    if (delimiter.failed)
        return FORM_NO_MEMORY;
    struct parser p = {.arena = a,
                       .form = form,
                       .delimiter = buf_slice(&delimiter),
                       .rest = body.ptr ? body : SLICE(""),
                       .latin1 = is_latin1(charset)};
    enum form_result result = read_parts(&p);
    if (result == FORM_INVALID)
        *error_r = p.error;
    return result;
}
