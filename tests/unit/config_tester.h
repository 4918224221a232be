/* config_tester.h: what test_config.c and test_config_value.c share: a directory of its own for
 * each program, with a c.ini and a .env in it, and what a load brings, freed whether a test passed
 * or not. */
#pragma once

#include "shared/config_internal.h"

enum { CONFIG_WORDS_MAX = 12 };

/* What is loaded, and what comes of it: *errors* and *warnings* whole, *lines* of config --origin.
 */
struct config_case {
    const char *name;
    const char *ini; /* NULL: no --config */
    const char *env; /* NULL: no .env */
    const char *environ[CONFIG_WORDS_MAX];
    const char *flags[CONFIG_WORDS_MAX];
    const char *errors; /* NULL: it loads */
    const char *warnings;
    const char *lines[CONFIG_WORDS_MAX];
};

/* What the running test holds; freed after it. */
struct config_held {
    struct buf errors, warnings, text;
    struct config *configs[4];
    size_t configs_len;
};
extern struct config_held config_held;

/* etc/colmeia.ini, as a path that chdir(2) does not change. */
extern char config_sample_path[];

/* For the group: makes the directory and goes there; leaves and removes it. */
int config_group_setup(void **state);
int config_group_teardown(void **state);
/* For each test: frees what is held. */
int config_teardown(void **state);
#define CONFIG_TEST(name) cmocka_unit_test_teardown(name, config_teardown)

void config_write_bytes(const char *path, const char *bytes, size_t len);
/* NULL: the file is removed. */
void config_write_or_remove(const char *path, const char *text);
/* The bytes of a buffer, with a NUL behind them. */
char *config_text_of(struct buf *b);
/* Whether one of the lines of *text* is *line*. */
bool config_has_line(const char *text, const char *line);

/* config_load() into what is held: NULL-terminated words (NULL: none), errors and warnings emptied
 * before. */
struct config *config_load_held(const char *ini, const char *const *environ,
                                const char *const *flags);
/* Loads each case and compares. */
void config_run(const struct config_case *cases, size_t len);
#define CONFIG_RUN(cases) config_run((cases), sizeof(cases) / sizeof *(cases))

/* Every option is the same in both. */
void config_assert_equal(const struct config *a, const struct config *b);
