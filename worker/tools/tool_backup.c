/* tool_backup.c: `colmeia backup FILE`. See tools.h; how it is done stands in
 * worker/store/backup.h. */
#include "shared/check.h"
#include "shared/clock.h"
#include "worker/store/backup.h"
#include "worker/tools/tool.h"
#include "worker/tools/tools.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char verb[] = "backup";

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

/* Whoever ends us finds nothing left behind. */
static void watch_signals(void)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        ASSERT(sigaction(signals[i], &action, NULL) == 0);
    ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR); /* a limit on file sizes is an error of write(2) */
}

/* ---- progress -------------------------------------------------------------------------------- */

struct display {
    const struct backup *b;
    bool terminal;
    int shown; /* the last percentage; -1: none in this line */
    enum backup_phase phase;
};

static const char *const phase_words[] = {
    [BACKUP_COPIES] = "copying", [BACKUP_CHECKS] = "checking"};

static bool on_progress(void *ctx, enum backup_phase phase, int percent)
{
    struct display *d = ctx;
    if (!d->terminal && d->shown < 0)
        fprintf(stderr, "copying database %s to %s\n", d->b->path, d->b->target);
    if (d->terminal && (percent != d->shown || phase != d->phase)) {
        if (phase == BACKUP_COPIES)
            fprintf(stderr, "\r%s %d %% ", phase_words[phase], percent);
        else
            fprintf(stderr, "\r%s the copy ", phase_words[phase]);
        fflush(stderr);
    }
    d->shown = percent;
    d->phase = phase;
    return stop_asked;
}

static void clear_line(const struct display *d)
{
    if (d->terminal && d->shown >= 0)
        fputs("\r\033[K", stderr);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static enum exit_code report(const struct backup *b, int64_t took_us, const struct config *config)
{
    struct buf out = {0};
    bool key_beside = !config->auth_secret_key && !config->auth_secret_key_file;
    buf_printf(&out, "%s: %lld users, %lld bytes, checked and on disk after %.1f s\n", b->target,
               (long long)b->users, (long long)b->bytes, (double)took_us / 1e6);
    if (key_beside)
        buf_printf(&out,
                   "It does not hold the key that signs tokens: keep a copy of secret.key, which "
                   "is beside the database, in another place.\n");
    else
        buf_printf(&out,
                   "It does not hold the key that signs tokens, which your configuration has.\n");
    bool printed = tool_print(verb, &out);
    buf_free(&out);
    return printed ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static enum exit_code make(struct backup *b, const struct config *config)
{
    struct display display = {.b = b, .terminal = isatty(STDERR_FILENO), .shown = -1};
    struct buf error = {0};
    int64_t began_us = clock_now_us();
    b->progress = on_progress;
    b->ctx = &display;
    watch_signals();
    enum backup_result result = backup_make(b, &error);
    clear_line(&display);
    enum exit_code code = EXIT_CODE_FAILED;
    switch (result) {
    case BACKUP_OK:
        code = report(b, clock_now_us() - began_us, config);
        break;
    case BACKUP_FAILED:
        tool_say(verb, "%.*s", SLICE_ARGS(buf_text(&error)));
        break;
    case BACKUP_STOPPED:
        tool_say(verb, "interrupted; nothing is left behind");
        break;
    }
    buf_free(&error);
    return code;
}

int tools_backup(const struct entry *entry)
{
    struct backup b = {.busy_timeout_ms = entry->config->database_timeout};
    const struct tool_option options[] = {{"--force", &b.overwrite, NULL}};
    struct tool_words words;
    if (!tool_words(verb, entry->argc, entry->argv, options, 1, &words))
        return EXIT_CODE_USAGE;
    if (words.len != 1) {
        tool_say(verb, "it takes one FILE; try \"colmeia backup --help\"");
        return EXIT_CODE_USAGE;
    }
    b.target = words.at[0];
    enum exit_code code = tool_database(verb, entry->config, &b.path);
    return code == EXIT_CODE_OK ? make(&b, entry->config) : code;
}
