/* regime.c: see regime.h. */
#include "master/regime.h"

#include "shared/log.h"

#include <stdlib.h>

static enum exit_code open_secret(struct regime *r, struct buf *errors)
{
    struct buf warnings = {0}, notes = {0};
    enum exit_code code = secret_load(r->config, true, &r->secret, errors, &warnings, &notes);
    log_lines(LOG_LEVEL_INFO, buf_slice(&notes));
    log_lines(LOG_LEVEL_WARNING, buf_slice(&warnings));
    buf_free(&warnings);
    buf_free(&notes);
    return code;
}

enum exit_code regime_open(struct config *config, unsigned generation,
                           const struct listeners *current, struct regime **regime_r,
                           struct buf *errors)
{
    struct regime *r = calloc(1, sizeof *r);
    *regime_r = NULL;
    if (!r) {
        buf_printf(errors, "out of memory");
        return EXIT_CODE_INTERNAL;
    }
    r->config = config;
    r->generation = generation;
    enum exit_code code = EXIT_CODE_BIND;
    if (listeners_open(&r->listeners, config, current, errors) == 0) {
        listeners_warn_capped(&r->listeners);
        code = open_secret(r, errors);
    }
    if (code == EXIT_CODE_OK) {
        *regime_r = r;
        return code;
    }
    if (current)
        listeners_take_back(&r->listeners);
    regime_free(r);
    return code;
}

void regime_free(struct regime *r)
{
    if (!r)
        return;
    listeners_shut(&r->listeners);
    secret_free(r->secret);
    if (r->owns_config)
        config_free(r->config);
    free(r);
}

void regime_disown(struct regime *r)
{
    listeners_drop(&r->listeners);
    secret_free(r->secret);
    r->secret = NULL;
}
