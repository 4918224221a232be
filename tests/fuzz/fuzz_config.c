/* fuzz_config.c: shared/config*.c by way of config_load(). The input is an ini, a .env, and words
 * of the environment and of the command line one per line, with byte 0x1c between the four. What
 * comes out must be lines for an operator; what loads must load again as config_print() wrote it.
 */
#include "shared/config_internal.h"

#include "shared/check.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 16, PATH_LEN = 32 };

/* A file in memory that config_load() can open by a path. */
struct file {
    int fd;
    char path[PATH_LEN];
};

static struct file open_file(const char *name)
{
    struct file f = {.fd = memfd_create(name, MFD_CLOEXEC)};
    ASSERT(f.fd >= 0);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static void fill(const struct file *f, struct slice text)
{
    ASSERT(ftruncate(f->fd, 0) == 0);
    ASSERT(pwrite(f->fd, text.ptr, text.len, 0) == (ssize_t)text.len);
}

/* Lines of text as NULL-terminated words; the caller frees each. */
static int split_words(struct slice text, char *words_r[WORDS_MAX + 1])
{
    int n = 0;
    while (text.ptr && n < WORDS_MAX) {
        struct slice word = slice_split(&text, '\n');
        if (word.len == 0)
            continue;
        words_r[n] = slice_strdup(word);
        ASSERT(words_r[n]);
        n++;
    }
    words_r[n] = NULL;
    return n;
}

static void free_words(char **words)
{
    for (; *words; words++)
        free(*words);
}

/* Whole lines, no control byte in them. */
static void check_lines(const struct buf *lines)
{
    ASSERT(!lines->failed);
    ASSERT(lines->len == 0 || lines->data[lines->len - 1] == '\n');
    for (size_t i = 0; i < lines->len; i++) {
        unsigned char c = (unsigned char)lines->data[i];
        ASSERT((c >= 0x20 && c != 0x7f) || (c == '\n' && i > 0 && lines->data[i - 1] != '\n'));
    }
}

static void check_equal(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        struct buf x = {0}, y = {0};
        struct option_value va = option_load(a, o), vb = option_load(b, o);
        option_format(o, &va, &x);
        option_format(o, &vb, &y);
        ASSERT((o->flags & SECRET) || slice_equals(buf_slice(&x), buf_slice(&y)));
        buf_free(&x);
        buf_free(&y);
    }
}

/* Printed with and without origins, it loads again, to the same but for the secrets. */
static void check_round_trip(const struct config *c, const struct file *ini, const struct file *env)
{
    static char *nothing[] = {NULL};
    struct config_flags flags = {
        .config_path = ini->path, .env_path = env->path, .environ = nothing};
    for (int origin = 0; origin < 2; origin++) {
        struct buf printed = {0}, messages = {0};
        config_print(c, origin, &printed);
        fill(ini, buf_slice(&printed));
        fill(env, SLICE(""));
        struct config *again = config_load(&flags, &messages, &messages);
        ASSERT(again && messages.len == 0);
        check_equal(c, again);
        config_free(again);
        buf_free(&printed);
        buf_free(&messages);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct file ini, env;
    char *environ_words[WORDS_MAX + 1], *argv[WORDS_MAX + 1];
    struct buf errors = {0}, warnings = {0};
    if (!ini.path[0]) {
        ini = open_file("ini");
        env = open_file("env");
    }
    struct slice rest = {(const char *)data, size};
    fill(&ini, slice_split(&rest, 0x1c));
    fill(&env, slice_split(&rest, 0x1c));
    split_words(slice_split(&rest, 0x1c), environ_words);
    struct config_flags flags = {.config_path = ini.path,
                                 .env_path = env.path,
                                 .argc = split_words(rest, argv),
                                 .argv = argv,
                                 .environ = environ_words};
    struct config *c = config_load(&flags, &errors, &warnings);
    ASSERT((c != NULL) == (errors.len == 0));
    check_lines(&errors);
    check_lines(&warnings);
    if (c)
        check_round_trip(c, &ini, &env);
    config_free(c);
    free_words(environ_words);
    free_words(argv);
    buf_free(&errors);
    buf_free(&warnings);
    return 0;
}
