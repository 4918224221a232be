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

/* Few ask there, one after the other. */
enum { ADMIN_BACKLOG = 64 };

static int open_admin(struct regime *r, const struct listeners *admin, struct buf *errors)
{
    struct buf error = {0};
    int result =
        listeners_open_list(&r->admin, &r->config->admin_bind, ADMIN_BACKLOG, admin, &error);
    if (result != 0)
        buf_printf(errors, "[admin] bind: %.*s", SLICE_ARGS(buf_text(&error)));
    buf_free(&error);
    return result;
}

enum exit_code regime_open(struct config *config, unsigned generation,
                           const struct listeners *current, const struct listeners *admin,
                           struct regime **regime_r, struct buf *errors)
{
    struct regime *r = calloc(1, sizeof *r);
    *regime_r = NULL;
    if (!r) {
        buf_printf(errors, "out of memory");
        return EXIT_CODE_INTERNAL;
    }
    r->config = config;
    r->generation = generation;
    enum exit_code code = tls_pair_load(config, &r->tls, errors);
    if (code != EXIT_CODE_OK) {
        free(r);
        return code;
    }
    code = EXIT_CODE_BIND;
    if (listeners_open(&r->listeners, config, current, errors) == 0 &&
        open_admin(r, admin, errors) == 0) {
        listeners_warn_capped(&r->listeners);
        code = open_secret(r, errors);
    }
    if (code == EXIT_CODE_OK) {
        *regime_r = r;
        return code;
    }
    if (current)
        regime_take_back(r);
    regime_free(r);
    return code;
}

void regime_free(struct regime *r)
{
    if (!r)
        return;
    listeners_shut(&r->listeners);
    listeners_shut(&r->admin);
    secret_free(r->secret);
    tls_pair_free(r->tls);
    if (r->owns_config)
        config_free(r->config);
    free(r);
}

void regime_disown(struct regime *r)
{
    listeners_drop(&r->listeners);
    listeners_drop(&r->admin);
    secret_free(r->secret);
    r->secret = NULL;
    tls_pair_free(r->tls);
    r->tls = NULL;
}

void regime_hand_on(struct regime *r, struct regime *next)
{
    listeners_hand_on(&r->listeners, &next->listeners);
    listeners_hand_on(&r->admin, &next->admin);
}

void regime_take_back(struct regime *next)
{
    listeners_take_back(&next->listeners);
    listeners_take_back(&next->admin);
}
