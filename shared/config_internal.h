/* config_internal.h: what the files of the configuration share among themselves (config*.c and
 * their tests): the table of options, typed values, and the loader that every source feeds. */
#pragma once

#include "shared/arena.h"
#include "shared/config.h"

#define CONFIG_DEFAULT_INI "/etc/colmeia/colmeia.ini"
#define CONFIG_DEFAULT_ENV ".env"

/* The flags column of options.def. */
enum { RELOAD = 1, RESTART = 2, SECRET = 4 };

enum option_id {
#define OPTION(section, key, type, fallback, check, flags, flag, environment, help)                \
    OPTION_ID_##section##_##key,
#include "shared/options.def"
#undef OPTION
    OPTIONS_LEN
};

/* A row of options.def. */
struct option {
    const char *section;
    const char *key;
    enum option_type type;
    const char *fallback; /* NULL: unset */
    const char *check;
    unsigned flags;
    const char *flag;        /* "" for none */
    const char *environment; /* the further name, "" for none */
    const char *help;
    size_t offset; /* of its field in struct config */
};
extern const struct option config_options[OPTIONS_LEN];

static inline enum option_id option_id(const struct option *o)
{
    return (enum option_id)(o - config_options);
}

/* ---- typed values (config_value.c) ---------------------------------------------------------- */

/* One value of any type; which member counts is the option's type's affair. */
struct option_value {
    int64_t number; /* INT, DURATION, SIZE, BOOL, ENUM, WORKERS */
    const char *string;
    struct config_list list;
};

/* Parses text as the option's type and checks it. Strings are copied into *arena*. False with the
 * reason (no line end) appended to *why*, which never quotes a secret; errno ENOMEM if it is that. */
bool option_parse(const struct option *o, struct slice text, struct arena *arena,
                  struct option_value *value_r, struct buf *why);
/* The option's field in a configuration. */
void option_store(struct config *c, const struct option *o, const struct option_value *value);
struct option_value option_load(const struct config *c, const struct option *o);
/* Appends the value as an ini spells it; nothing when it is unset. */
void option_format(const struct option *o, const struct option_value *value, struct buf *out);

/* ---- texts (config_text.c) ------------------------------------------------------------------- */

/* What a database URL means. False with the reason, which never quotes the URL: it may hold a
 * password. *path_r is the end of *url*. */
bool database_parse(const char *url, enum config_database *kind_r, const char **path_r,
                    struct buf *why);

/* Appends "text" for a message: control bytes escaped, long ones cut. */
void text_quote(struct buf *out, struct slice text);
/* Appends "text" and what is wrong with it; false. */
bool text_refuse(struct buf *why, struct slice text, const char *what);
bool text_no_memory(struct buf *why);
/* The option's rule (check column) for a string, or for one item of a list. */
bool text_obeys(const struct option *o, const char *string, struct buf *why);
/* "a, b" as a list in *arena*. */
bool text_list(const struct option *o, struct slice text, struct arena *arena,
               struct config_list *list_r, struct buf *why);

/* ---- did you mean … (config_suggest.c) ------------------------------------------------------- */

/* Start with {.word = …}, offer every candidate, take best (NULL: none is near enough). */
struct suggestion {
    struct slice word;
    const char *best;
    size_t distance; /* of best */
};
void suggestion_offer(struct suggestion *s, const char *candidate);

/* ---- the loader (config.c) ------------------------------------------------------------------- */

struct secret_ref;

struct config_private {
    struct arena arena;
    struct secret_ref *secrets; /* what config_free() wipes, in the arena */
    const char *origins[OPTIONS_LEN];
    enum config_source sources[OPTIONS_LEN];
    const char *texts[OPTIONS_LEN];    /* as written, secrets excepted; NULL: a default */
    const char *shadowed[OPTIONS_LEN]; /* "3 (c.ini:3)": what a later source has hidden; NULL: nothing */
};

struct loader {
    struct config *config;
    struct config_private *priv; /* config->private_data */
    struct buf *errors;
    struct buf *warnings;
    bool no_memory;
};

/* Where a value was found. */
struct place {
    enum config_source source;
    const char *origin;  /* ".env:3"; lives as long as the configuration */
    const char *subject; /* what of it an error is about, "SECRET_KEY"; NULL when origin says it */
};

/* A formatted string of the configuration's; "" and no_memory without memory. */
const char *loader_format(struct loader *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A copy of the configuration's that config_free() wipes. */
struct slice loader_keep_secret(struct loader *l, struct slice s);
/* One error or warning line: "origin: message". */
void loader_error(struct loader *l, const char *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void loader_warning(struct loader *l, const char *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Parses and sets a value, or records the error. */
void loader_assign(struct loader *l, const struct option *o, struct slice text,
                   const struct place *place);
/* Back to unset, for options without a default. */
void loader_unset(struct loader *l, const struct option *o, const struct place *place);

/* ---- sources --------------------------------------------------------------------------------- */

enum { CONFIG_FILE_MAX = 1024 * 1024 };

enum file_result { FILE_OK, FILE_ABSENT, FILE_BAD };
/* Reads a whole file; *text_r is the caller's, to be wiped and freed with file_free(). FILE_BAD:
 * the error is recorded; FILE_ABSENT is recorded only when *must_exist*. *regular*: anything but a
 * regular file is bad, so that nothing waits. (config_file.c) */
enum file_result file_read(struct loader *l, const char *path, bool must_exist, bool regular,
                           struct slice *text_r);
void file_free(struct slice text);

/* Each reads one source into the loader. */
void ini_apply(struct loader *l, const char *path, struct slice text);    /* config_ini.c */
void dotenv_apply(struct loader *l, const char *path, struct slice text); /* config_env.c */
void environment_apply(struct loader *l, char *const *environ);           /* config_env.c */
void flags_apply(struct loader *l, int argc, char *const *argv);          /* config_flags.c */

/* CPUs that the cgroups of a process grant, in thousandths, -1 without a limit: the least
 * cpu.max or cfs quota from its cgroup up to the root. *cgroup_file* is /proc/self/cgroup,
 * *mount* /sys/fs/cgroup, but for tests. (config_auto.c) */
int64_t cgroup_millicpus(const char *cgroup_file, const char *mount);
/* min(cores, ceil(millicpus / 1000)), 1 to 256; the computation in words goes to *why*. */
int auto_workers(int cores, int64_t millicpus, struct buf *why);
