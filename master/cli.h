/* cli.h: the command line taken apart: [VERB] [WORDS] [OPTIONS]. Only main.c calls it; the meaning
 * of most options is config.h's affair. */
#pragma once

#include "shared/config.h"
#include "shared/str.h"

#include <stdbool.h>

struct cli;

/* struct verb's words_max. RAW: the verb takes all that stands behind it apart by itself. OWN: it
 * has options of its own: whatever is no option of the configuration is handed to it among its
 * words, in order, wherever it stands ("--" and all behind it as well). */
enum { CLI_WORDS_RAW = -1, CLI_WORDS_OWN = -2 };

struct verb {
    const char *name;     /* "run" is what happens without a verb */
    const char *synopsis; /* what stands behind the name, "" for options only */
    const char *summary;  /* one line; "": not for people, --help is silent about it */
    const char *help;     /* more, or "" */
    int words_max;        /* or CLI_WORDS_RAW, CLI_WORDS_OWN */
    bool options;                      /* takes the options of the configuration */
    int (*run)(const struct cli *cli); /* returns an enum exit_code */
};

struct cli {
    const struct verb *verb;
    bool help;   /* --help, -h */
    bool reload; /* run --reload */
    bool origin; /* --origin */
    bool no_memory; /* why cli_parse() failed: it was not the usage */
    int argc;    /* the verb's words */
    char **argv;               /* borrowed, or owned_words */
    char **owned_words;        /* CLI_WORDS_OWN: NULL-terminated; cli_free */
    struct config_flags flags; /* argv is owned: cli_free */
};

/* Takes argv apart by *verbs* (the first is the default). False with one line in *error*: usage. */
bool cli_parse(const struct verb *verbs, size_t verbs_len, int argc, char **argv, char **environ,
               struct cli *cli_r, struct buf *error);
void cli_free(struct cli *cli);

/* The verb of that name; NULL, with one line in *error* that suggests the nearest, if there is
 * none. */
const struct verb *cli_find(const struct verb *verbs, size_t verbs_len, const char *name,
                            struct buf *error);

/* --help of the program and of one verb. */
void cli_help(const struct verb *verbs, size_t verbs_len, struct buf *out);
void cli_verb_help(const struct verb *verb, struct buf *out);
