/* fuzz_query.c: worker/validate/percent.c beside the slowest reading of the same: pairs, and in
 * each the text that Python's unquote_plus() would give. */
#include "worker/validate/percent.h"

#include "shared/check.h"
#include "shared/utf8.h"

#include <stdint.h>

static int hex(char c)
{
    static const char digits[] = "00112233445566778899AaBbCcDdEeFf";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) / 2 : -1;
}

/* What stands between bytes above ASCII is text by itself. */
static void flush(struct arena *a, struct buf *run, struct buf *out)
{
    buf_append_slice(out, utf8_replace(a, buf_slice(run)));
    run->len = 0;
}

static struct slice slow_decode(struct arena *a, struct slice s)
{
    struct buf run = buf_in_arena(a), out = buf_in_arena(a);
    while (s.len > 0) {
        size_t used = 1;
        unsigned char c = (unsigned char)s.ptr[0];
        if (c >= 0x80) {
            flush(a, &run, &out);
            buf_append_char(&out, (char)(0xc0 | c >> 6));
            buf_append_char(&out, (char)(0x80 | (c & 0x3f)));
        } else if (c == '%' && s.len > 2 && hex(s.ptr[1]) >= 0 && hex(s.ptr[2]) >= 0) {
            buf_append_char(&run, (char)(16 * hex(s.ptr[1]) + hex(s.ptr[2])));
            used = 3;
        } else {
            buf_append_char(&run, c == '+' ? ' ' : (char)c);
        }
        s = (struct slice){s.ptr + used, s.len - used};
    }
    flush(a, &run, &out);
    return buf_slice(&out);
}

static void check_text(struct arena *a, struct slice encoded)
{
    struct slice text = percent_decode(a, encoded);
    ASSERT(text.ptr && utf8_is_valid(text));
    ASSERT(slice_equals(text, slow_decode(a, encoded)));
}

/* The pairs in order, and nothing between them but '&'. */
static void check_pairs(struct arena *a, struct slice query)
{
    struct slice rest = query, name, value;
    const char *at = query.ptr;
    while (percent_next_pair(&rest, &name, &value)) {
        for (; at < name.ptr; at++)
            ASSERT(*at == '&');
        ASSERT(name.ptr == at && !memchr(name.ptr, '&', name.len) &&
               !memchr(name.ptr, '=', name.len));
        at += name.len;
        if (at < query.ptr + query.len && *at == '=') {
            ASSERT(value.ptr == ++at && !memchr(value.ptr, '&', value.len));
            at += value.len;
        }
        ASSERT(at == query.ptr + query.len || *at == '&');
        check_text(a, name);
        check_text(a, value);
    }
    for (; at < query.ptr + query.len; at++)
        ASSERT(*at == '&');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, NULL, 0, 64 << 20);
    check_pairs(&a, (struct slice){(const char *)data, size});
    arena_fini(&a);
    return 0;
}
