/* door.c: see door.h. */
#include "shared/door.h"

static const struct slice names[DOOR_WORDS_LEN] = {
#define X(name, text) {text, sizeof(text) - 1},
    DOOR_WORDS(X)
#undef X
};

static struct slice next_word(struct slice *rest)
{
    struct slice word = {NULL, 0};
    while (rest->ptr && word.len == 0)
        word = slice_trim(slice_split(rest, ' '), "\t");
    return word;
}

struct slice door_address(struct slice text)
{
    return next_word(&text);
}

static bool refuse(struct slice text, struct slice word, const char *what, struct buf *error)
{
    buf_printf(error, "\"%.*s\": \"%.*s\" %s", SLICE_ARGS(text), SLICE_ARGS(word), what);
    return false;
}

static bool take_word(struct slice text, struct slice word, unsigned *words, struct buf *error)
{
    for (unsigned i = 0; i < DOOR_WORDS_LEN; i++) {
        if (!slice_equals(word, names[i]))
            continue;
        if (*words & 1u << i)
            return refuse(text, word, "is there twice", error);
        *words |= 1u << i;
        return true;
    }
    return refuse(text, word,
                  "is no word that can stand behind an address: these are tls and proxy (and a "
                  "socket's path has no blanks)",
                  error);
}

bool door_parse(struct slice text, struct sock_address *address_r, unsigned *words_r,
                struct buf *error)
{
    struct slice rest = text;
    struct slice address = next_word(&rest);
    *words_r = 0;
    if (!sock_parse(address.ptr ? address : SLICE(""), address_r, error))
        return false;
    for (struct slice word = next_word(&rest); word.len > 0; word = next_word(&rest))
        if (!take_word(text, word, words_r, error))
            return false;
    return true;
}

void door_say_words(unsigned words, struct buf *out)
{
    for (unsigned i = 0; i < DOOR_WORDS_LEN; i++)
        if (words & 1u << i)
            buf_printf(out, " %.*s", SLICE_ARGS(names[i]));
}
