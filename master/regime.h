/* regime.h: one configuration in force: its values, the key of tokens, the doors. At a reload the
 * next one is opened beside the present one; workers belong to the one they were forked under,
 * which stays until the last of them is gone. Called by reload.c and master.c. */
#pragma once

#include "master/listeners.h"
#include "master/secret.h"
#include "master/supervisor.h"
#include "master/tls_pair.h"
#include "shared/config.h"
#include "shared/entry.h"

struct regime {
    struct regime *next; /* the owner's list */
    unsigned generation;
    struct config *config;
    bool owns_config;
    struct secret *secret;
    struct tls_pair *tls; /* NULL: no listener needs it */
    struct listeners listeners;
    struct listeners admin; /* [admin] bind: for the admin child only */
    unsigned users; /* slots whose process was forked under it */
    bool over;      /* neither current nor on trial: goes with its last user */
};

/* Reads the files of [tls], opens doors (those of *current* and *admin*, which may be NULL, are
 * shared), then the key: a second server on
 * a taken port leaves no key file behind. The configuration is borrowed until owns_config is set.
 * EXIT_CODE_OK, or the code to leave with and one or more lines in *errors*; what is worth saying
 * else is logged. NULL in *regime_r* then. */
enum exit_code regime_open(struct config *config, unsigned generation,
                           const struct listeners *current, const struct listeners *admin,
                           struct regime **regime_r, struct buf *errors);
/* Shuts and closes what is not shared with another, wipes, frees. Accepts NULL. */
void regime_free(struct regime *r);
/* In a child of another regime, or of none: closes and wipes its copies. */
void regime_disown(struct regime *r);
/* *next*, opened beside *r*, takes over; or will not be. See listeners.h. */
void regime_hand_on(struct regime *r, struct regime *next);
void regime_take_back(struct regime *next);
