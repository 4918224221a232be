/* trail.c: the audit log's file in the master's life, and whose it is. */
#include "master/driver.h"

#include "master/state.h"
#include "shared/config.h"
#include "shared/log.h"
#include "shared/message.h"

#include <errno.h>

/* Who was looked up before stays who it is: a master with workers cannot wait for those who know
 * names. */
static bool find_identity(struct master *m, struct buf *error)
{
    const struct config *c = m->options->config;
    if (!m->options->state || !state_identity(m->options->state, &m->identity))
        return identity_find(c, &m->identity, error);
    m->identity.user = c->server_user;
    return true;
}

/* A server that runs already does not end for want of its audit file: where the log goes, it goes, until
 * a reload finds the file. */
static bool start_in_the_log(struct master *m, struct buf *error)
{
    if (!m->options->state)
        return false;
    buf_printf(error, "; until a reload finds it, audit lines go to the log");
    struct buf none = {0};
    bool good = audit_start("on", m->identity.uid, m->identity.gid, &none);
    buf_free(&none);
    return good;
}

enum exit_code trail_open(struct master *m)
{
    const struct config *c = m->options->config;
    struct buf error = {0};
    bool good = find_identity(m, &error) &&
                (audit_start(c->log_audit, m->identity.uid, m->identity.gid, &error) ||
                 start_in_the_log(m, &error));
    enum exit_code code = config_errno_may_pass(errno) ? EXIT_CODE_INTERNAL : EXIT_CODE_CONFIG;
    log_lines(LOG_LEVEL_ERROR, buf_slice(&error));
    buf_free(&error);
    return good ? EXIT_CODE_OK : code;
}

/* We first: we may make a file where a worker may not. */
void trail_reopen(struct master *m)
{
    if (!audit_has_file()) {
        log_info("SIGUSR1: nothing to reopen, logs are lines on standard error");
        return;
    }
    audit_reopen();
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        if (m->channels[i].fd >= 0)
            message_send(m->channels[i].fd, MESSAGE_REOPEN, m->supervisor->slots[i].generation, 0);
    log_info("SIGUSR1: the audit log's file was opened anew");
}

/* It was tried before; now what fails costs a line. */
void trail_follow(struct master *m)
{
    struct buf error = {0};
    if (!audit_start(m->current->config->log_audit, m->identity.uid, m->identity.gid, &error))
        log_error("%.*s; what the master does is written where it was before",
                  SLICE_ARGS(buf_slice(&error)));
    buf_free(&error);
}
