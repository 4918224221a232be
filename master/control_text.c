/* control_text.c: see control_text.h. */
#include "master/control_text.h"

#include "shared/jsonw.h"

#include <stdlib.h>

/* ---- lines ----------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char first, last, low, high; /* of the first byte; of the second */
        unsigned char len;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    size_t i = 0, n = 1;
    while (i < sizeof rows / sizeof rows[0] && (p[0] < rows[i].first || p[0] > rows[i].last))
        i++;
    if (i == sizeof rows / sizeof rows[0] || rows[i].len > left)
        return 0;
    if (rows[i].len > 1 && (p[1] < rows[i].low || p[1] > rows[i].high))
        return 0;
    for (n = 2; n < rows[i].len; n++)
        if ((p[n] & 0xc0) != 0x80)
            return 0;
    return rows[i].len;
}

void control_text_clean(struct buf *out, struct slice json)
{
    for (size_t i = 0; i < json.len;) {
        size_t n = utf8_len((const unsigned char *)json.ptr + i, json.len - i);
        if (n == 0)
            buf_append_char(out, '?');
        else if (json.ptr[i] == '\n' || json.ptr[i] == '\r')
            buf_append_char(out, ' ');
        else
            buf_append(out, json.ptr + i, n);
        i += n ? n : 1;
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
