/* answers.c: what the control socket's callers hear: at once, or when what they wait for has
 * happened. */
#include "master/driver.h"

#include "shared/jsonw.h"

#include <stdlib.h>

/* ---- at once --------------------------------------------------------------------------------- */

static void note_outcome(struct master *m, unsigned id, bool ok)
{
    if (id && id == m->obeying)
        m->outcome = ok ? AUDIT_OK : AUDIT_FAILED;
}

static void send_answer(struct master *m, unsigned id, struct buf *json)
{
    control_answer(m->control, id,
                   json->failed ? SLICE("{\"ok\":false,\"error\":\"out of memory\"}")
                                : buf_slice(json));
    buf_free(json);
}

void answer(struct master *m, unsigned id, struct buf *json)
{
    note_outcome(m, id, !json->failed);
    send_answer(m, id, json);
}

void answer_text(struct master *m, unsigned id, bool ok, struct slice text)
{
    struct buf json = {0};
    struct jsonw w = jsonw_on(&json);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, ok);
    jsonw_name(&w, ok ? SLICE("text") : SLICE("error"));
    jsonw_string(&w, text);
    jsonw_object_close(&w);
    note_outcome(m, id, ok);
    send_answer(m, id, &json);
}

static void write_lines(struct jsonw *w, struct slice name, struct slice lines)
{
    jsonw_name(w, name);
    jsonw_array_open(w);
    while (lines.ptr && lines.len > 0) {
        struct slice line = slice_split(&lines, '\n');
        if (line.len > 0)
            jsonw_string(w, line);
    }
    jsonw_array_close(w);
}

void answer_lines(struct master *m, unsigned id, bool ok, struct slice text, struct slice name,
                  struct slice lines)
{
    struct buf json = {0};
    struct jsonw w = jsonw_on(&json);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, ok);
    if (text.len > 0) {
        jsonw_name(&w, ok ? SLICE("text") : SLICE("error"));
        jsonw_string(&w, text);
    }
    write_lines(&w, name, lines);
    jsonw_object_close(&w);
    note_outcome(m, id, ok);
    send_answer(m, id, &json);
}

/* ---- later ----------------------------------------------------------------------------------- */

void answer_later(struct master *m, unsigned id, bool reload, unsigned number)
{
    struct waiting *w = malloc(sizeof *w);
    if (!w) {
        answer_text(m, id, false, SLICE("out of memory to wait with; see ctl status and the log"));
        return;
    }
    *w = (struct waiting){m->waiting, id, reload, number};
    m->waiting = w;
}

void answers_gone(struct master *m, unsigned id)
{
    for (struct waiting **at = &m->waiting; *at; at = &(*at)->next) {
        if ((*at)->id != id)
            continue;
        struct waiting *gone = *at;
        *at = gone->next;
        free(gone);
        return;
    }
}

void answers_forget(struct master *m)
{
    while (m->waiting) {
        struct waiting *next = m->waiting->next;
        free(m->waiting);
        m->waiting = next;
    }
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* Takes the calls off the list that wait for that; the caller answers and frees each. */
static struct waiting *take_waiting(struct master *m, bool reload, unsigned number)
{
    for (struct waiting **at = &m->waiting; *at; at = &(*at)->next) {
        struct waiting *w = *at;
        if (w->reload != reload || w->number > number)
            continue;
        *at = w->next;
        return w;
    }
    return NULL;
}

void answers_look(struct master *m)
{
    struct waiting *w;
    while (m->waiting && tell_all_ready(m) && (w = take_waiting(m, false, 0))) {
        answer_text(m, w->id, true, SLICE("ready"));
        free(w);
    }
    while (commands_stopping(m) && (w = m->waiting)) {
        m->waiting = w->next;
        answer_text(m, w->id, false, SLICE("the server is stopping"));
        free(w);
    }
}

void answers_told(struct master *m, unsigned number, bool ok, struct slice line,
                  struct slice details)
{
    struct waiting *w;
    while (m->control && (w = take_waiting(m, true, number))) {
        answer_lines(m, w->id, ok, line, SLICE("log"), details);
        free(w);
    }
}
