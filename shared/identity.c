/* identity.c: see identity.h. credentials(7), initgroups(3), prctl(2). */
#include "shared/identity.h"

#include "shared/fault.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool refuse(struct buf *error, const char *key, const char *name, const char *why)
{
    buf_printf(error, "[server] %s: %s: %s", key, name, why);
    errno = EINVAL;
    return false;
}

/* errno's, of getpwnam(3): nobody is called so, or nobody could be asked. */
static bool not_found(struct buf *error, const char *key, const char *name, const char *nobody)
{
    int saved = errno;
    if (saved == 0 || saved == ENOENT || saved == ESRCH)
        return refuse(error, key, name, nobody);
    refuse(error, key, name, strerror(saved));
    errno = saved;
    return false;
}

/* A user without a name has no groups but the one that is given. */
static bool find_user(const char *name, struct identity *i, struct buf *error)
{
    uint64_t number;
    errno = 0;
    const struct passwd *user = FAULT_CALL(user_lookup, NULL, getpwnam(name));
    if (!user && slice_to_u64(slice_of(name), INT32_MAX, &number))
        user = getpwuid((uid_t)number);
    if (!user)
        return not_found(error, "user", name, "there is no such user; adduser --system makes one");
    i->uid = user->pw_uid;
    i->gid = user->pw_gid;
    return true;
}

static bool find_group(const char *name, struct identity *i, struct buf *error)
{
    uint64_t number;
    errno = 0;
    const struct group *group = getgrnam(name);
    if (group)
        i->gid = group->gr_gid;
    else if (slice_to_u64(slice_of(name), INT32_MAX, &number))
        i->gid = (gid_t)number;
    else
        return not_found(error, "group", name, "there is no such group");
    return true;
}

bool identity_find(const struct config *config, struct identity *identity_r, struct buf *error)
{
    const char *user = config->server_user, *group = config->server_group;
    struct identity i = {.uid = (uid_t)-1, .gid = (gid_t)-1, .user = user};
    *identity_r = i;
    if (!user)
        return !group || refuse(error, "group", group, "it needs a user beside it: [server] user");
    if (!find_user(user, &i, error) || (group && !find_group(group, &i, error)))
        return false;
    if (i.uid == geteuid() && i.gid == getegid())
        return true;
    if (geteuid() != 0)
        return refuse(error, "user", user,
                      "only root can become another user; start as root, as that user, or leave it out");
    i.wanted = true;
    *identity_r = i;
    return true;
}

static bool set_groups(const struct identity *identity)
{
    const struct passwd *user = getpwuid(identity->uid);
    return (user ? initgroups(user->pw_name, identity->gid) : setgroups(1, &identity->gid)) == 0 &&
           setresgid(identity->gid, identity->gid, identity->gid) == 0;
}

bool identity_assume(const struct identity *identity)
{
    if (!identity->wanted)
        return true;
    if (!set_groups(identity) || setresuid(identity->uid, identity->uid, identity->uid) != 0)
        return false;
    if (identity->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        errno = EPERM; /* a capability is left that leads back: that is not what was asked for */
        return false;
    }
    /* the change has made us undumpable, and with it /proc/self unreadable for ourselves */
    return prctl(PR_SET_DUMPABLE, 1) == 0;
}
