/* identity.h: the user and group that [server] user and group name, and becoming that user: for the
 * children of a master that was started as root, and for root's own verbs. One thread. */
#pragma once

#include "shared/config.h"
#include "shared/str.h"

#include <sys/types.h>

struct identity {
    bool wanted;      /* children change into it; else all stays as it is, uid and gid are -1 */
    uid_t uid;
    gid_t gid;
    const char *user; /* borrowed from the configuration */
};

/* What the configuration asks for, looked up by name (or taken as a number). Already being that user,
 * with that group, is nothing to do. False with a line in *error*: there is no such user or group; or
 * it is another one than ours, and only root can become somebody else. errno says whether that may
 * pass (config_errno_may_pass). */
bool identity_find(const struct config *config, struct identity *identity_r, struct buf *error);

/* Becomes it for good, with the groups that the user is in (of these its own first, or [server] group).
 * Before threads, and before prctl(PR_SET_PDEATHSIG), which it clears. False with errno: then nothing
 * may go on. */
bool identity_assume(const struct identity *identity);
