/* fuzz_strength.c: worker/validate/strength.c and common.c: any password, name and address, three lines. What is
 * found out does not depend on case, a good password is none of the bad ones, and common ones stay so. */
#include "worker/validate/strength.h"

#include "shared/check.h"
#include "worker/validate/common.h"
#include "worker/validate/utf8.h"

#include <stdint.h>
#include <string.h>

enum { MIN_CHARS = 8 };

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

/* The search against a plain walk, over a list of our own and one that the input makes. */
static void check_search(struct arena *a, struct slice list_text, struct slice wanted)
{
    static const char lines[] = "12345678\niloveyou\npassword\npassword1\nqwertyui\n";
    struct common_list list = {lines, lines + sizeof lines - 1};
    ASSERT(common_has(&list, wanted) == (wanted.len > 0 && is_line(&list, wanted)));
    /* not sorted: whatever is found is there, and nothing else is read */
    struct buf text = buf_in_arena(a);
    buf_append_slice(&text, list_text);
    buf_append_char(&text, '\n');
    ASSERT(!text.failed);
    list = (struct common_list){text.data, text.data + text.len};
    ASSERT(!common_has(&list, wanted) || is_line(&list, wanted));
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
    check_search(&a, name, password);
    arena_fini(&a);
    return 0;
}
