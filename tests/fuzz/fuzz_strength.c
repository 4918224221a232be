/* fuzz_strength.c: worker/validate/strength.c and common.c: any password, name and address, three lines. What is
 * found out does not depend on case, a good password is none of the bad ones, and common ones stay so. */
#include "worker/validate/strength.h"

#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/common.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_CHARS = 8, WORDS_MAX = 100 };

static bool is_line(const struct common_list *list, struct slice s)
{
    struct slice rest = {list->begin, (size_t)(list->end - list->begin)};
    while (rest.ptr)
        if (slice_equals(slice_split(&rest, '\n'), s))
            return true;
    return false;
}

/* The same in capitals, where there are any in ASCII. */
static struct slice upper(struct arena *a, struct slice s)
{
    struct slice copy = slice_dup(a, s);
    for (size_t i = 0; i < copy.len; i++)
        if (copy.ptr[i] >= 'a' && copy.ptr[i] <= 'z')
            ((char *)(uintptr_t)copy.ptr)[i] = (char)(copy.ptr[i] - 'a' + 'A');
    return copy;
}

static int by_bytes(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* A list of the input's words: each is found, and nothing else. */
static void check_search(struct arena *a, struct slice words, struct slice wanted)
{
    struct slice sorted[WORDS_MAX];
    size_t len = 0;
    for (struct slice rest = words; rest.ptr && len < WORDS_MAX;) {
        struct slice word = slice_split(&rest, ' ');
        if (word.len > 0 && !memchr(word.ptr, '\n', word.len))
            sorted[len++] = word;
    }
    qsort(sorted, len, sizeof *sorted, by_bytes);
    struct buf text = buf_in_arena(a);
    for (size_t i = 0; i < len; i++) {
        buf_append_slice(&text, sorted[i]);
        buf_append_char(&text, '\n');
    }
    ASSERT(!text.failed);
    struct common_list list = {text.data, text.len ? text.data + text.len : text.data};
    for (size_t i = 0; i < len; i++)
        ASSERT(common_has(&list, sorted[i]));
    ASSERT(common_has(&list, wanted) == (len > 0 && wanted.len > 0 && is_line(&list, wanted)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, NULL, 0, 64 << 20);
    struct slice rest = utf8_replace(&a, (struct slice){(const char *)data, size});
    ASSERT(size == 0 || rest.ptr);
    struct slice password = slice_split(&rest, '\n'), name = slice_split(&rest, '\n'), email = rest;
    enum strength strength = strength_of(password, MIN_CHARS, name, email);
    size_t chars = utf8_count(password);
    ASSERT((strength == STRENGTH_TOO_SHORT) == (chars < MIN_CHARS));
    ASSERT((strength == STRENGTH_TOO_LONG) == (chars > STRENGTH_MAX_CHARS));
    ASSERT(strength <= STRENGTH_TOO_LONG || strlen(strength_words(strength)) > 0);
    ASSERT(strength_of(upper(&a, password), MIN_CHARS, name, email) == strength);
    if (strength == STRENGTH_GOOD)
        ASSERT(!slice_equals_nocase(password, name) && !slice_equals_nocase(password, email));
    check_search(&a, email, name);
    arena_fini(&a);
    return 0;
}
