/* findings_tester.c: see findings_tester.h. */
#include "findings_tester.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void assert_said(struct findings *f, enum finding_level level, const char *word)
{
    struct buf out = {0};
    assert_int_equal(f->len, 1);
    assert_int_equal(f->items[0].level, level);
    assert_int_equal(f->items[0].remedy.len > 0, level != FINDING_OK);
    findings_text(f, &out);
    buf_append_char(&out, '\0');
    if (!strstr(out.data, word))
        fail_msg("no \"%s\" in: %s", word, out.data);
    buf_free(&out);
    findings_free(f);
}
