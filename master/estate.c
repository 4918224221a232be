/* estate.c: see estate.h. */
#include "master/estate.h"

#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum exit_code estate_open(struct estate *e, size_t slots_len)
{
    *e = (struct estate){.handover = {-1, -1}};
    e->scoreboard = scoreboard_new(slots_len);
    e->tickets = tickets_new(tickets_wanted());
    if (!e->scoreboard || !e->tickets) {
        log_error("cannot start: no shared memory: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    atomic_store(&e->scoreboard->master_pid, getpid());
    /* without it, workers that leave say goodbye to their clients instead */
    if (FAULT_CALL(queue_socketpair, -1,
                   socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                              e->handover)) < 0)
        log_warning("connections cannot be handed over: %s", strerror(errno));
    return EXIT_CODE_OK;
}

void estate_disown(struct estate *e)
{
    for (int i = 0; i < 2; i++) {
        if (e->handover[i] >= 0)
            close(e->handover[i]);
        e->handover[i] = -1;
    }
}

void estate_close(struct estate *e)
{
    estate_disown(e);
    tickets_free(e->tickets);
    scoreboard_free(e->scoreboard);
    *e = (struct estate){.handover = {-1, -1}};
}
