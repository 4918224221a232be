/* estate.c: see estate.h. */
#include "master/estate.h"

#include "shared/log.h"
#include "shared/title.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static void log_lines(const struct buf *lines, enum log_level level)
{
    struct slice rest = buf_slice(lines);
    while (rest.ptr && rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        log_write(level, "%.*s", SLICE_ARGS(line));
    }
}

static enum exit_code open_secret(struct estate *e, const struct config *config)
{
    struct buf error = {0}, warnings = {0}, notes = {0};
    enum exit_code code = secret_load(config, true, &e->secret, &error, &warnings, &notes);
    log_lines(&notes, LOG_LEVEL_INFO);
    log_lines(&warnings, LOG_LEVEL_WARNING);
    log_lines(&error, LOG_LEVEL_ERROR);
    buf_free(&error);
    buf_free(&warnings);
    buf_free(&notes);
    return code;
}

/* As many password hashes at a time as there are cores we may use. */
static unsigned usable_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static enum exit_code open_tables(struct estate *e, size_t slots_len)
{
    e->scoreboard = scoreboard_new(slots_len);
    e->tickets = tickets_new(usable_cores());
    if (!e->scoreboard || !e->tickets) {
        log_error("cannot start: no shared memory: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    atomic_store(&e->scoreboard->master_pid, getpid());
    return EXIT_CODE_OK;
}

static enum exit_code open_listeners(struct estate *e, const struct config *config)
{
    struct buf error = {0};
    int result = listeners_open(&e->listeners, config, &error);
    log_lines(&error, LOG_LEVEL_ERROR);
    buf_free(&error);
    if (result < 0)
        return EXIT_CODE_BIND;
    listeners_warn_capped(&e->listeners);
    return EXIT_CODE_OK;
}

static void set_title(const struct estate *e)
{
    struct buf where = {0};
    listeners_describe(&e->listeners, &where);
    title_set("master %.*s", SLICE_ARGS(buf_slice(&where)));
    buf_free(&where);
}

enum exit_code estate_open(struct estate *e, const struct config *config, size_t slots_len)
{
    /* listeners first: a second server on a taken port leaves no key file behind */
    enum exit_code code = open_tables(e, slots_len);
    if (code == EXIT_CODE_OK)
        code = open_listeners(e, config);
    if (code == EXIT_CODE_OK)
        code = open_secret(e, config);
    if (code == EXIT_CODE_OK)
        set_title(e);
    return code;
}

void estate_close(struct estate *e)
{
    listeners_shut(&e->listeners);
    tickets_free(e->tickets);
    scoreboard_free(e->scoreboard);
    secret_free(e->secret);
    *e = (struct estate){0};
}

void estate_disown(struct estate *e)
{
    for (size_t i = 0; i < e->listeners.len; i++)
        listener_close(&e->listeners.items[i], false);
    secret_free(e->secret);
    e->secret = NULL;
}
