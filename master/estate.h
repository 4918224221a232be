/* estate.h: what the master owns and all its workers inherit: the key of tokens, the shared tables,
 * the listening sockets. Opened once at the start, in the order that harms least when one fails;
 * what is wrong is said on the log. Only master.c calls it. */
#pragma once

#include "master/listeners.h"
#include "master/secret.h"
#include "shared/config.h"
#include "shared/entry.h"
#include "shared/scoreboard.h"
#include "shared/tickets.h"

struct estate {
    struct secret *secret;
    struct scoreboard *scoreboard;
    struct tickets *tickets;
    struct listeners listeners;
};

/* EXIT_CODE_OK, or the code to leave with; estate_close then takes what was opened. The ports come
 * before anyone touches the database: a second server on a busy port leaves that alone. */
enum exit_code estate_open(struct estate *e, const struct config *config, size_t slots_len);
/* Shuts the listeners for all processes, too, if that was not done. */
void estate_close(struct estate *e);
/* In a child that serves nobody and signs nothing: closes and wipes its copies. */
void estate_disown(struct estate *e);
