/* config_tester.c: see config_tester.h. */
#include "tests/unit/config_tester.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct config_held config_held;
char config_sample_path[PATH_MAX];

int config_group_setup(void **state)
{
    static const char sample[] = "/etc/colmeia.ini";
    char *directory = strdup("/tmp/test_config.XXXXXX");
    if (!directory || !getcwd(config_sample_path, PATH_MAX - sizeof sample))
        return -1;
    strcat(config_sample_path, sample);
    *state = directory;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

int config_group_teardown(void **state)
{
    unlink("c.ini");
    unlink(".env");
    int failed = chdir("/") != 0 || rmdir(*state) != 0;
    free(*state);
    return failed ? -1 : 0;
}

int config_teardown(void **state)
{
    for (size_t i = 0; i < config_held.configs_len; i++)
        config_free(config_held.configs[i]);
    buf_free(&config_held.errors);
    buf_free(&config_held.warnings);
    buf_free(&config_held.text);
    config_held.configs_len = 0;
    return 0;
}

void config_write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

void config_write_or_remove(const char *path, const char *text)
{
    if (text)
        config_write_bytes(path, text, strlen(text));
    else
        assert_true(unlink(path) == 0 || errno == ENOENT);
}

char *config_text_of(struct buf *b)
{
    buf_append_char(b, 0);
    assert_false(b->failed);
    b->len--;
    return b->data;
}

bool config_has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return true;
    return false;
}

static int count(const char *const *words)
{
    int n = 0;
    while (words && n < CONFIG_WORDS_MAX && words[n])
        n++;
    return n;
}

struct config *config_load_held(const char *ini, const char *const *environ,
                                const char *const *flags)
{
    struct config_flags f = {.config_path = ini,
                             .argc = count(flags),
                             .argv = (char **)(uintptr_t)flags,
                             .environ = (char **)(uintptr_t)environ};
    config_held.errors.len = 0;
    config_held.warnings.len = 0;
    struct config *c = config_load(&f, &config_held.errors, &config_held.warnings);
    if (c) {
        assert_true(config_held.configs_len < sizeof config_held.configs / sizeof(struct config *));
        config_held.configs[config_held.configs_len++] = c;
    }
    return c;
}

static void check_lines(const struct config_case *c, const struct config *config)
{
    config_held.text.len = 0;
    config_print(config, true, &config_held.text);
    for (int i = 0; i < count(c->lines); i++)
        if (!config_has_line(config_text_of(&config_held.text), c->lines[i]))
            fail_msg("%s: no line \"%s\" in:\n%s", c->name, c->lines[i], config_held.text.data);
}

static void run_case(const struct config_case *c)
{
    config_write_or_remove("c.ini", c->ini);
    config_write_or_remove(".env", c->env);
    struct config *config = config_load_held(c->ini ? "c.ini" : NULL, c->environ, c->flags);
    const char *expected = c->errors ? c->errors : "";
    if (strcmp(config_text_of(&config_held.errors), expected) != 0)
        fail_msg("%s: errors are:\n%snot:\n%s", c->name, config_held.errors.data, expected);
    expected = c->warnings ? c->warnings : "";
    if (strcmp(config_text_of(&config_held.warnings), expected) != 0)
        fail_msg("%s: warnings are:\n%snot:\n%s", c->name, config_held.warnings.data, expected);
    if ((config == NULL) != (c->errors != NULL))
        fail_msg("%s: loaded: %d", c->name, config != NULL);
    if (config)
        check_lines(c, config);
    config_teardown(NULL);
}

void config_run(const struct config_case *cases, size_t len)
{
    for (size_t i = 0; i < len; i++)
        run_case(&cases[i]);
}

void config_assert_equal(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        struct buf x = {0}, y = {0};
        struct option_value va = option_load(a, o), vb = option_load(b, o);
        option_format(o, &va, &x);
        option_format(o, &vb, &y);
        bool same = (va.string == NULL) == (vb.string == NULL) &&
                    slice_equals(buf_slice(&x), buf_slice(&y));
        if (!same)
            print_error("%s: \"%.*s\" and \"%.*s\"\n", o->key, SLICE_ARGS(buf_slice(&x)),
                        SLICE_ARGS(buf_slice(&y)));
        buf_free(&x);
        buf_free(&y);
        assert_true(same);
    }
}
