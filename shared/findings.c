/* findings.c: see findings.h. */
#include "shared/findings.h"

#include "shared/jsonw.h"

#include <stdlib.h>
#include <string.h>

static const char *const level_words[] = {
#define X(name, text) [FINDING_##name] = text,
    FINDING_LEVELS(X)
#undef X
};
static const char *const json_words[] = {"ok", "warn", "fail"};

static struct finding *append(struct findings *f)
{
    if (f->len == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 32;
        struct finding *items = realloc(f->items, cap * sizeof *items);
        if (!items) {
            f->failed = true;
            return NULL;
        }
        f->items = items;
        f->cap = cap;
    }
    return &f->items[f->len++];
}

void findings_add(struct findings *f, enum finding_level level, const char *about,
                  const char *format, ...)
{
    struct finding *it = append(f);
    if (!it)
        return;
    *it = (struct finding){.level = level, .about = about};
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&it->what, format, ap);
    va_end(ap);
    f->failed |= it->what.failed;
}

void findings_remedy(struct findings *f, const char *format, ...)
{
    if (f->len == 0)
        return; /* without memory the finding itself is missing */
    struct finding *it = &f->items[f->len - 1];
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&it->remedy, format, ap);
    va_end(ap);
    f->failed |= it->remedy.failed;
}

void findings_add_lines(struct findings *f, enum finding_level level, const char *about,
                        const struct buf *lines)
{
    struct slice rest = buf_slice(lines);
    while (rest.ptr) {
        struct slice line = slice_split(&rest, '\n');
        if (line.len > 0)
            findings_add(f, level, about, "%.*s", SLICE_ARGS(line));
    }
    f->failed |= lines->failed;
}

size_t findings_count(const struct findings *f, enum finding_level level)
{
    size_t n = 0;
    for (size_t i = 0; i < f->len; i++)
        n += f->items[i].level == level;
    return n;
}

void findings_text(struct findings *f, struct buf *out)
{
    for (; f->printed < f->len; f->printed++) {
        const struct finding *it = &f->items[f->printed];
        buf_printf(out, "%-4s  %s: %.*s", level_words[it->level], it->about,
                   SLICE_ARGS(buf_slice(&it->what)));
        if (it->remedy.len > 0)
            buf_printf(out, " — %.*s", SLICE_ARGS(buf_slice(&it->remedy)));
        buf_append_char(out, '\n');
    }
}

static void json_finding(struct jsonw *w, const struct finding *it)
{
    jsonw_object_open(w);
    jsonw_name(w, SLICE("level"));
    jsonw_string(w, slice_of(json_words[it->level]));
    jsonw_name(w, SLICE("about"));
    jsonw_string(w, slice_of(it->about));
    jsonw_name(w, SLICE("what"));
    jsonw_string(w, buf_slice(&it->what));
    jsonw_name(w, SLICE("remedy"));
    if (it->remedy.len > 0)
        jsonw_string(w, buf_slice(&it->remedy));
    else
        jsonw_null(w);
    jsonw_object_close(w);
}

void findings_json(const struct findings *f, struct buf *out)
{
    struct jsonw w = jsonw_on(out);
    jsonw_object_open(&w);
    for (int level = 0; level < FINDING_LEVELS_LEN; level++) {
        jsonw_name(&w, slice_of(json_words[level]));
        jsonw_u64(&w, findings_count(f, (enum finding_level)level));
    }
    jsonw_name(&w, SLICE("findings"));
    jsonw_array_open(&w);
    for (size_t i = 0; i < f->len; i++)
        json_finding(&w, &f->items[i]);
    jsonw_array_close(&w);
    jsonw_object_close(&w);
    buf_append_char(out, '\n');
}

void findings_free(struct findings *f)
{
    for (size_t i = 0; i < f->len; i++) {
        buf_free(&f->items[i].what);
        buf_free(&f->items[i].remedy);
    }
    free(f->items);
    *f = (struct findings){.items = NULL};
}
