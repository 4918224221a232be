/* config.h: the configuration: one table of options (options.def), read from built-in defaults,
 * ini,
 * .env, environment and command line, later ones winning. All errors of all sources are collected
 * before anything is started. Read-only once loaded; any thread.
 *
 * ini: [section] and key = value lines. # and ; begin a comment, at the start of a line or after a
 * space. A value may stand in "double quotes", with \\ \" \n \r \t in them. Lists: a, b, c. A text
 * option that has no default, left empty (secret_key =), is unset. A key twice in one file is an
 * error.
 * .env: NAME=value, optionally after "export"; 'single quotes' (\\ and \' in them), "double
 * quotes" (those
 * and \" \a \b \f \n \r \t \v), which may span lines; # comments. The last of two equal names
 * wins. Names
 * of other programs are ignored.
 * Environment (and .env): COLMEIA_<SECTION>_<KEY>, or the option's further name (SECRET_KEY), which
 * gives way to the former within one source. Letter case does not matter. An empty variable leaves
 * a
 * number, word or truth value unset (as compose files make them); a text or list it sets to empty.
 * Command line: --name value or --name=value; --bind may be repeated; --host, --port and --uds are
 * accepted as uvicorn's users type them, and add an address. The last of equal flags wins. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a value is written, and which C type holds it. */
enum option_type {
    OPTION_INT,      /* int64_t */
    OPTION_DURATION, /* int64_t, milliseconds: 500ms 30s 5m 1h 30d; a bare number is seconds */
    OPTION_SIZE,     /* int64_t, bytes: 64k 1m 2g; a bare number is bytes */
    OPTION_BOOL,     /* bool: yes no true false on off 1 0 */
    OPTION_STRING,   /* const char *, NUL-terminated; NULL when unset */
    OPTION_LIST,     /* struct config_list of strings */
    OPTION_ENUM,     /* int: index into the words of the row's check column, "text|json" */
    OPTION_WORKERS   /* int64_t: 1 to 256, or auto = 0 */
};

enum config_source { CONFIG_DEFAULT, CONFIG_INI, CONFIG_ENV_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config_list {
    const char *const *items; /* owned by the configuration */
    size_t len;
};

/* One field per row of options.def, named <section>_<key>: config->server_workers,
 * config->limits_max_body. */
struct config {
#define CONFIG_FIELD_INT      int64_t
#define CONFIG_FIELD_DURATION int64_t
#define CONFIG_FIELD_SIZE     int64_t
#define CONFIG_FIELD_BOOL     bool
#define CONFIG_FIELD_STRING   const char *
#define CONFIG_FIELD_LIST     struct config_list
#define CONFIG_FIELD_ENUM     int
#define CONFIG_FIELD_WORKERS  int64_t
#define OPTION(section, key, type, fallback, check, flags, flag, environment, help)                \
    CONFIG_FIELD_##type section##_##key;
#include "shared/options.def"
#undef OPTION
#undef CONFIG_FIELD_INT
#undef CONFIG_FIELD_DURATION
#undef CONFIG_FIELD_SIZE
#undef CONFIG_FIELD_BOOL
#undef CONFIG_FIELD_STRING
#undef CONFIG_FIELD_LIST
#undef CONFIG_FIELD_ENUM
#undef CONFIG_FIELD_WORKERS
    struct config_private *private_data; /* arena, origins */
};

/* Words of OPTION_ENUM rows, in the order of their check column. */
enum { CONFIG_DURABILITY_FULL, CONFIG_DURABILITY_NORMAL };
enum { CONFIG_LOG_DEBUG, CONFIG_LOG_INFO, CONFIG_LOG_WARNING, CONFIG_LOG_ERROR };
enum { CONFIG_FORMAT_TEXT, CONFIG_FORMAT_JSON };
enum { CONFIG_PROFILE_CONTRACT, CONFIG_PROFILE_HARDENED };
enum { CONFIG_ACCESS_AUTO, CONFIG_ACCESS_ON, CONFIG_ACCESS_OFF };

/* Where [database] url points. */
enum config_database { CONFIG_DATABASE_FILE, CONFIG_DATABASE_MEMORY, CONFIG_DATABASE_POSTGRESQL };
/* Kind of the configured database; for a file its path (as given: relative to the working
 * directory) in *path_r, borrowed from the configuration. */
enum config_database config_database(const struct config *c, const char **path_r);

/* Some address of server_bind has the word tls: certificate and key are set then. */
bool config_has_tls(const struct config *c);

/* Nobody has said where to listen: server_bind is the built-in default. */
bool config_bind_is_default(const struct config *c);

/* What the command line brought before the verb's own words. */
struct config_flags {
    const char *config_path;   /* --config, or NULL */
    const char *env_path;      /* --env-file, or NULL */
    int argc;                  /* option words only: --workers 3 --bind … (no verb, no --config) */
    char **argv;               /* borrowed */
    char **environ;            /* NULL-terminated; borrowed */
};

/* Whether what fails for this reason (a file, a user's name) may succeed in a moment: nothing is
 * wrong with the configuration. */
bool config_errno_may_pass(int error);
/* Reads everything. NULL when anything was wrong (errno: ENOMEM if it was for want of memory,
 * descriptors or a disk that can be read, else EINVAL): every error, one per line as
 * "file:line: message; did you mean …", is in *errors*; warnings (unknown COLMEIA_* names) are in
 * *warnings*, one per line, either way. No line holds a secret. Free with config_free().
 * Of auth_secret_key and auth_secret_key_file at most one is set: the later source wins. */
struct config *config_load(const struct config_flags *flags, struct buf *errors, struct buf *warnings);
/* The same in two steps, so that what one process read another can judge: the bytes of both files.
 * config_read: *regular* refuses what could make open(2) or read(2) wait. False: *errors* says why;
 * what could be read is there all the same. config_parse borrows the text. config_text_free wipes
 * and frees; harmless twice. */
struct config_text {
    struct slice ini;     /* ptr NULL: there is none */
    struct slice env;
    const char *ini_path; /* borrowed from the flags, or static */
    const char *env_path;
};
bool config_read(const struct config_flags *flags, bool regular, struct config_text *text_r,
                 struct buf *errors);
struct config *config_parse(const struct config_flags *flags, const struct config_text *text,
                            struct buf *errors, struct buf *warnings);
/* config_load(), and the bytes besides; *text_r is the caller's to free either way. */
struct config *config_load_text(const struct config_flags *flags, struct config_text *text_r,
                                struct buf *errors, struct buf *warnings);
void config_text_free(struct config_text *text);
/* A text of these bytes, which are copied ({NULL, 0}: no such file), as config_read would have made
 * it. False without memory. */
bool config_text_make(const struct config_flags *flags, struct slice ini, struct slice env,
                      struct config_text *text_r);
bool config_text_equals(const struct config_text *a, const struct config_text *b);

/* What differs, a line for each option: "server.workers: 2 -> 4 (colmeia.ini:3)", secrets masked.
 * For options that need a restart the line says so; with *keep* such options of *next* get the
 * values of *current* (which must then live as long). Returns how many lines. */
size_t config_compare(const struct config *current, struct config *next, bool keep, struct buf *lines);

/* The value of an option that needs a restart, to go along to a program that takes the place of this
 * one: files that were read since may say otherwise. Texts are borrowed. */
struct config_kept {
    struct slice section;
    struct slice key;
    struct slice value; /* ptr NULL: unset */
};
/* One after the other, *at* being 0 at first; false: that was the last one. The texts live as long
 * as the configuration. */
bool config_kept_next(const struct config *c, size_t *at, struct config_kept *kept_r);
/* Gives the option that value, whatever the files say; the texts are copied. One that no option here
 * is, or none that needs a restart, is left out, with a line in *notes*. False: this program does not
 * take the value, or has no memory for it; a line in *errors* says so. */
bool config_keep(struct config *c, const struct config_kept *kept, struct buf *notes,
                 struct buf *errors);
/* Whether the option words are known and have their values; what is wrong goes to *errors* (as
 * config_load would say it). For callers that tell wrong usage from a wrong configuration. */
bool config_flags_known(const struct config_flags *flags, struct buf *errors);
/* Whether the word, "--name" or "--name=value", is an option of the configuration. All of them take
 * a value: behind "=", or the next word. */
bool config_is_flag(const char *word);
/* Where they are not needed: secrets become empty texts. */
void config_forget_secrets(struct config *c);
/* Wipes secrets and frees. Accepts NULL. */
void config_free(struct config *c);

/* Variables of an environment that hold secrets: their texts move for good to memory that core dumps do
 * not have, and what held them before is wiped (true: it was one); or they are wiped, where they are not
 * needed. */
bool config_hide_variable(char **variable);
void config_hide_environment(char **environment);
void config_forget_environment(char **environment);

/* "key = value" for every option, as an ini that loads again; with *origin* a trailing comment says
 * where each comes from: "default", "/path/file.ini:12", ".env:3", "environment SECRET_KEY",
 * "command line --workers". Secrets are masked, and commented so that the mask is never taken for a
 * value. */
void config_print(const struct config *c, bool origin, struct buf *out);
/* The option part of --help: what config_load takes on the command line, in 80 columns. */
void config_help(struct buf *out);
/* The number of workers that "auto" means here: min(CPU affinity, ceil(cgroup quota)), 1 to 256.
 * The computation in words is appended to *why* (may be NULL). */
int config_auto_workers(struct buf *why);
/* Resolved worker count: server_workers, or what auto means (1 with a database in memory). */
int config_workers(const struct config *c);
