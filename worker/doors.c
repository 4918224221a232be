/* doors.c: see doors.h. A certificate that has expired is worse than none for those who would be turned
 * away by their browsers, and better than a server that does not start for all the others: so it is wrong
 * in a check and in a reload, and only said at a start. */
#include "worker/doors.h"

#include "shared/clock.h"
#include "shared/findings.h"
#include "shared/log.h"
#include "worker/http/session.h"
#include "worker/net/tls.h"
#include "worker/net/tls_facts.h"

/* Of [tls] ticket_rotation: see tls_keys.h. */
enum { TICKET_ROTATIONS = 2 };

static struct tls_context *open_tls(const struct entry *entry, struct buf *errors)
{
    const struct config *c = entry->config;
    bool serves = entry->role == ROLE_SERVE;
    return tls_context_new(
        &(struct tls_options){
            .certificate = entry->tls_certificate,
            .key = entry->tls_key,
            .certificate_name = c->tls_certificate,
            .key_name = c->tls_key,
            .keys = entry->tls_keys,
            .ticket_life_s = TICKET_ROTATIONS * (c->tls_ticket_rotation / 1000),
            .slot = serves ? &entry->scoreboard->slots[entry->slot] : NULL,
            .not_tls = http_service_not_tls(),
        },
        errors);
}

bool doors_open_tls(const struct entry *entry, struct tls_context **context_r)
{
    struct buf lines = {0};
    *context_r = NULL;
    if (!entry->tls_certificate.ptr)
        return true;
    *context_r = open_tls(entry, &lines);
    if (*context_r)
        tls_context_is_valid(*context_r, &lines);
    log_lines(LOG_LEVEL_ERROR, buf_slice(&lines));
    buf_free(&lines);
    return *context_r;
}

int doors_check(const struct entry *entry)
{
    struct buf lines = {0};
    struct tls_context *context = open_tls(entry, &lines);
    bool good = context && tls_context_is_valid(context, &lines);
    log_lines(LOG_LEVEL_ERROR, buf_slice(&lines));
    buf_free(&lines);
    tls_context_free(context);
    return good ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

static void examine_pair(struct findings *found, const char *file, const struct tls_context *context)
{
    struct tls_facts facts;
    if (tls_facts_read(context, &facts)) {
        tls_judge_certificate(found, file, &facts, clock_wall_s());
        tls_judge_chain(found, file, &facts);
    } else {
        findings_add(found, FINDING_FAIL, "certificate", "it cannot be read: out of memory");
    }
    tls_facts_free(&facts);
}

void doors_examine(const struct entry *entry)
{
    struct buf lines = {0};
    if (!entry->tls_certificate.ptr)
        return;
    struct tls_context *context = open_tls(entry, &lines);
    if (context) {
        examine_pair(entry->findings, entry->config->tls_certificate, context);
    } else {
        findings_add_lines(entry->findings, FINDING_FAIL, "certificate", &lines);
        findings_remedy(entry->findings, "no start and no reload takes it so");
    }
    buf_free(&lines);
    tls_context_free(context);
}
