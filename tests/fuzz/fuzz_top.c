/* fuzz_top.c: master/top_facts.c, top_screen.c and top_terminal.c: whatever a server answers, and however
 * large the terminal, the screen fits it and does not steer it; whatever is typed is taken or waits. The
 * first two bytes are the size, the rest is two answers with an empty line between them. */
#include "master/top_facts.h"
#include "master/top_screen.h"
#include "master/top_terminal.h"

#include "shared/check.h"

#include <stdint.h>

static struct top_screen screen;

static void check_screen(const struct top_view *view)
{
    struct slice rest = buf_slice(&screen.text);
    ASSERT(!screen.text.failed);
    ASSERT(view->rows == 0 || screen.len <= view->rows);
    for (size_t i = 0; i < screen.len; i++) {
        struct slice line = slice_split(&rest, '\n');
        size_t columns = 0;
        ASSERT(line.ptr);
        for (size_t j = 0; j < line.len; j++) {
            unsigned char c = (unsigned char)line.ptr[j];
            ASSERT(c >= ' ' && c != 0x7f);
            columns += (c & 0xc0) != 0x80;
        }
        ASSERT(columns <= view->columns);
    }
    ASSERT(rest.len == 0);
}

static void draw(struct top_facts *f, unsigned columns, unsigned rows)
{
    struct top_view view = {columns ? columns : 1, rows, rows};
    struct buf out = {0};
    top_screen_draw(f, &view, &screen);
    check_screen(&view);
    ASSERT(view.first <= f->rows_len);
    top_screen_paint(&screen, true, &out);
    buf_free(&out);
}

static void type(struct slice typed)
{
    size_t before;
    do {
        before = typed.len;
        terminal_key(&typed);
        ASSERT(typed.len <= before);
    } while (typed.len > 0 && typed.len < before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct top_facts facts = {0};
    struct top_past past = {0};
    if (size < 2)
        return 0;
    struct slice rest = {(const char *)data + 2, size - 2};
    type(rest);
    for (int64_t at = 1000; rest.ptr; at += 1000) {
        struct buf error = {0};
        struct slice answer = slice_split(&rest, '\n');
        if (top_facts_take(&facts, &past, answer, (mono_ms){at}, &error))
            ASSERT(error.len == 0);
        buf_free(&error);
        draw(&facts, data[0], data[1]);
    }
    draw(&facts, TOP_COLUMNS_ALL, 0);
    top_facts_free(&facts);
    top_past_free(&past);
    return 0;
}
