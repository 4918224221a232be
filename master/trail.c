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

/* A start needs the file; who takes over goes on without it. */
static bool start_audit(const struct master *m, struct buf *error)
{
    const char *where = m->options->config->log_audit;
    uid_t uid = m->identity.uid;
    gid_t gid = m->identity.gid;
    if (!m->options->state)
        return audit_start(where, uid, gid, error);
    if (!audit_start_or_wait(where, uid, gid, error))
        buf_printf(error,
                   "; what the master does is not recorded until a reload or SIGUSR1 opens it");
    return true;
}

enum exit_code trail_open(struct master *m)
{
    struct buf error = {0};
    bool good = find_identity(m, &error) && start_audit(m, &error);
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
    bool opened = audit_reopen();
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        if (m->channels[i].fd >= 0)
            message_send(m->channels[i].fd, MESSAGE_REOPEN, m->supervisor->slots[i].generation, 0);
    if (opened)
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
