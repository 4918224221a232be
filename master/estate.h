/* estate.h: what the master owns and all its workers inherit whatever the configuration: the tables
 * they share and the queue through which they hand connections over. Made once at the start, or
 * taken over from another program; what is wrong is said on the log. Only the driver calls this. */
#pragma once

#include "shared/entry.h"
#include "shared/scoreboard.h"
#include "shared/throttle.h"
#include "shared/tickets.h"
#include "shared/tls_keys.h"

struct state;

enum { ESTATE_FOREIGN_MAX = 8 };

/* A table whose layout is another program's: kept for the way back. Workers that write into it go on
 * doing so. */
struct estate_foreign {
    int kind; /* enum state_table_kind */
    uint64_t layout;
    int fd;
};

struct estate {
    struct scoreboard *scoreboard;
    struct tickets *tickets;
    struct throttle *throttle;
    struct tls_keys *tls_keys;
    int scoreboard_fd, tickets_fd, throttle_fd, tls_keys_fd; /* what they live behind */
    int handover[2];                                         /* as in struct entry; -1: not made */
    struct estate_foreign foreign[ESTATE_FOREIGN_MAX];
    size_t foreign_len;
};

/* Owns nothing; estate_close is harmless. */
void estate_init(struct estate *e);
/* EXIT_CODE_OK, or the code to leave with; estate_close then takes what was opened. */
enum exit_code estate_open(struct estate *e, size_t slots_len);
void estate_close(struct estate *e);
/* In a child that serves nobody: closes its copies. In one that does: only what it has no use for. */
void estate_disown(struct estate *e);
void estate_drop(struct estate *e);

/* For another program; and what it had saved: tables of our layout are shared on, others are made
 * anew, and counters do not go backwards. */
void estate_save(const struct estate *e, struct state *state);
enum exit_code estate_adopt(struct estate *e, size_t slots_len, const struct state *state);
/* A full stop is near: whoever is asked for its health says so, also workers of another program. */
void estate_say_stopping(struct estate *e);
/* There is no way back any more. */
void estate_forget_foreign(struct estate *e);
