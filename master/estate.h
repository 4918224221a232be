/* estate.h: what the master owns and all its workers inherit whatever the configuration: the tables
 * they share and the queue through which they hand connections over. Made once at the start; what
 * is wrong is said on the log. Only master.c makes it. */
#pragma once

#include "shared/entry.h"
#include "shared/scoreboard.h"
#include "shared/tickets.h"

struct estate {
    struct scoreboard *scoreboard;
    struct tickets *tickets;
    int handover[2]; /* as in struct entry; -1: not made */
};

/* EXIT_CODE_OK, or the code to leave with; estate_close then takes what was opened. */
enum exit_code estate_open(struct estate *e, size_t slots_len);
void estate_close(struct estate *e);
/* In a child that serves nobody: closes its copies. */
void estate_disown(struct estate *e);
