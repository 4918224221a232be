/* takeover.c: see takeover.h. */
#include "master/takeover.h"

#include "master/master.h"
#include "master/secret.h"
#include "master/state.h"
#include "master/upgrade.h"
#include "shared/audit.h"
#include "shared/dynamic.h"
#include "shared/entry.h"
#include "shared/identity.h"
#include "shared/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct takeover {
    struct buf bytes; /* what the other one left: */
    struct state state;
    int argc; /* its command line, */
    char **argv;
    struct cli cli; /* understood */
};

static void close_all(struct takeover *t)
{
    cli_free(&t->cli);
    for (int i = 0; i < t->argc; i++)
        free(t->argv[i]);
    free(t->argv);
    state_free(&t->state);
    buf_free(&t->bytes);
}

static void say(const struct buf *lines)
{
    fwrite(buf_slice(lines).ptr, 1, lines->len, stderr);
}

static bool read_command_line(struct takeover *t, const struct verb *verbs, size_t verbs_len,
                              struct buf *error)
{
    t->argv = calloc(t->state.argument_len + 1, sizeof t->argv[0]);
    for (size_t i = 0; t->argv && i < t->state.argument_len; i++)
        if ((t->argv[i] = slice_strdup(t->state.argument[i].text)))
            t->argc++;
    if (!t->argv || (size_t)t->argc != t->state.argument_len)
        buf_printf(error, "out of memory");
    return error->len == 0 &&
           cli_parse(verbs, verbs_len, t->argc, t->argv, environ, &t->cli, error);
}

/* False with lines in *error*; close it either way. */
static bool open_all(const struct cli *cli, const struct verb *verbs, size_t verbs_len,
                     struct takeover *t, struct buf *error)
{
    uint64_t fd = 0;
    *t = (struct takeover){0};
    if (cli->argc < 1 || !slice_to_u64(slice_of(cli->argv[0]), INT32_MAX, &fd))
        buf_printf(error, "this verb is not for people");
    return error->len == 0 && upgrade_read_state((int)fd, &t->bytes, error) &&
           state_decode(buf_slice(&t->bytes), &t->state, error) &&
           state_is_sound(&t->state, error) && read_command_line(t, verbs, verbs_len, error);
}

static struct config *parse_text(const struct takeover *t, bool next, struct config_text *text_r,
                                 struct buf *errors)
{
    const struct state_master *m = &t->state.master[0];
    struct buf warnings = {0};
    struct config *config = NULL;
    if (config_text_make(&t->cli.flags, next ? m->next_ini : m->ini, next ? m->next_env : m->env,
                         text_r))
        config = config_parse(&t->cli.flags, text_r, errors, &warnings);
    buf_free(&warnings); /* who read them first has said them */
    return config;
}

static struct config *parse_present(const struct takeover *t, struct config_text *text_r,
                                    struct buf *errors)
{
    struct config_text text;
    struct config *config = parse_text(t, false, text_r, errors);
    if (config)
        return config;
    config = parse_text(t, true, &text, errors);
    config_text_free(&text);
    return config;
}

/* What the running workers live by, which the files need not say any more; where this program does
 * not understand those, the next ones stand in for them. Values that mean nothing here are told in
 * *notes*. */
static struct config *present_config(const struct takeover *t, struct config_text *text_r,
                                     struct buf *notes, struct buf *errors)
{
    struct config *config = parse_present(t, text_r, errors);
    for (size_t i = 0; config && i < t->state.kept_len; i++) {
        const struct state_kept *from = &t->state.kept[i];
        struct config_kept kept = {from->section, from->key, from->value};
        if (config_keep(config, &kept, notes, errors))
            continue;
        config_free(config);
        config = NULL;
    }
    return config;
}

/* As a start: whom children become is known, and the next audit file (the present one is not needed
 * any more) can be written by those. An audit file is made if there is none. */
static void can_go_on(const struct takeover *t, const struct config *present,
                      const struct config *next, struct buf *errors)
{
    struct identity asked, identity;
    if (!identity_find(present, &asked, errors))
        return;
    if (!state_identity(&t->state, &identity))
        identity = asked;
    audit_can_start(next->log_audit, identity.uid, identity.gid, errors);
}

/* What cannot be known without doing it is left out: nothing is touched. */
static bool rehearse(const struct takeover *t, struct buf *errors)
{
    struct config_text text, next_text;
    struct buf warnings = {0}, notes = {0}, why = {0};
    struct secret *secret = NULL;
    struct config *next = parse_text(t, true, &next_text, errors);
    if (next)
        secret_load(next, false, &secret, errors, &warnings, &notes);
    if (next && errors->len == 0)
        dynamic_probe_for(next, errors);
    bool good = next && errors->len == 0;
    secret_free(secret);
    struct config *config = good ? present_config(t, &text, &notes, &why) : NULL;
    if (good && !config)
        buf_append_slice(errors, buf_slice(&why));
    if (config)
        can_go_on(t, config, next, errors);
    config_free(next);
    config_text_free(&next_text);
    struct sup_settings settings = config ? master_settings(config) : sup_settings_standard(1);
    struct supervisor *s = good ? supervisor_restore(&settings, &t->state) : NULL;
    if (good && (!config || !s) && errors->len == 0)
        buf_printf(errors, "out of memory");
    say(&warnings);
    if (good)
        config_text_free(&text);
    config_free(config);
    supervisor_free(s);
    buf_free(&warnings);
    buf_free(&notes);
    buf_free(&why);
    return errors->len == 0;
}

int takeover_rehearse(const struct cli *cli, const struct verb *verbs, size_t verbs_len)
{
    struct takeover t;
    struct buf errors = {0}, out = {0};
    char word[UPGRADE_WORD_MAX];
    bool good = open_all(cli, verbs, verbs_len, &t, &errors) && rehearse(&t, &errors);
    if (good) {
        upgrade_word(buf_slice(&t.bytes), word);
        buf_printf(&out, "%s\n", word);
    } else if (errors.len > 0 && errors.data[errors.len - 1] != '\n') {
        buf_append_char(&errors, '\n');
    }
    say(&errors);
    close_all(&t);
    buf_free(&errors);
    bool said = fwrite(buf_slice(&out).ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_free(&out);
    return good && said ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

static int take_over(const struct cli *cli, const struct takeover *t, struct config *config,
                     const struct config_text *text, const struct buf *notes)
{
    struct slice reason = t->state.master[0].reason;
    static const char *const no_words = "out of memory";
    if (cli->argc > 2 && cli->argv[2][0])
        reason = slice_of(cli->argv[2]);
    bool back = reason.ptr;
    char *words = back ? slice_strdup(reason) : NULL;
    log_init((enum log_level)config->log_level, (enum log_format)config->log_format);
    log_lines(LOG_LEVEL_WARNING, buf_slice(notes));
    struct master_options options = {.flags = &t->cli.flags,
                                     .config = config,
                                     .text = *text,
                                     .settings = master_settings(config),
                                     .settings_of = master_settings,
                                     .watch_files = t->cli.reload,
                                     .argc = t->argc,
                                     .argv = t->argv,
                                     .state = &t->state,
                                     .way_back = back && !words ? no_words : words};
    int code = master_run(&options);
    free(words);
    return code;
}

int takeover_adopt(const struct cli *cli, const struct verb *verbs, size_t verbs_len)
{
    struct takeover t;
    struct config_text text = {0};
    struct buf notes = {0}, errors = {0};
    struct config *config = NULL;
    int code = EXIT_CODE_INTERNAL;
    if (open_all(cli, verbs, verbs_len, &t, &errors))
        config = present_config(&t, &text, &notes, &errors);
    if (config) {
        code = take_over(cli, &t, config, &text, &notes);
    } else {
        say(&errors);
        config_text_free(&text);
        buf_append_char(&errors, '\0');
        upgrade_fall_back(errors.failed ? "out of memory" : errors.data);
    }
    config_free(config);
    close_all(&t);
    buf_free(&notes);
    buf_free(&errors);
    return code;
}
