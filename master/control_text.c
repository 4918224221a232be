/* control_text.c: see control_text.h. */
#include "master/control_text.h"

#include "shared/jsonw.h"
#include "shared/utf8.h"

#include <stdlib.h>

/* ---- lines ----------------------------------------------------------------------------------- */

void control_text_clean(struct buf *out, struct slice json)
{
    for (size_t at = 0; at < json.len;) {
        uint32_t c = utf8_next(json, &at);
        if (c == '\n' || c == '\r')
            c = ' ';
        utf8_append(out, c == UTF8_INVALID ? '?' : c);
    }
}

void control_text_error(struct buf *out, struct slice text)
{
    struct jsonw w = jsonw_on(out);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, false);
    jsonw_name(&w, SLICE("error"));
    jsonw_string(&w, text);
    jsonw_object_close(&w);
}

/* ---- the ring -------------------------------------------------------------------------------- */

static void forget_oldest(struct control_ring *r)
{
    struct control_ring_event *e = &r->events[r->first];
    r->bytes -= e->len;
    free(e->json);
    *e = (struct control_ring_event){0};
    r->first = (r->first + 1) % CONTROL_RING_MAX;
    r->len--;
}

void control_ring_add(struct control_ring *r, struct slice json)
{
    struct buf clean = {0};
    control_text_clean(&clean, json);
    if (clean.failed || clean.len == 0 || clean.len > CONTROL_RING_BYTES_MAX) {
        buf_free(&clean);
        return;
    }
    while (r->len == CONTROL_RING_MAX ||
           (r->len > 0 && r->bytes + clean.len > CONTROL_RING_BYTES_MAX))
        forget_oldest(r);
    r->events[(r->first + r->len) % CONTROL_RING_MAX] =
        (struct control_ring_event){clean.data, clean.len};
    r->len++;
    r->bytes += clean.len;
}

void control_ring_write(const struct control_ring *r, struct buf *out)
{
    struct jsonw w = jsonw_on(out);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("ok"));
    jsonw_bool(&w, true);
    jsonw_name(&w, SLICE("events"));
    jsonw_array_open(&w);
    for (size_t i = 0; i < r->len; i++) {
        const struct control_ring_event *e = &r->events[(r->first + i) % CONTROL_RING_MAX];
        jsonw_raw(&w, (struct slice){e->json, e->len});
    }
    jsonw_array_close(&w);
    jsonw_object_close(&w);
}

void control_ring_free(struct control_ring *r)
{
    while (r->len > 0)
        forget_oldest(r);
}
