/* regular.h: opens files that others may have put there: without waiting, as a FIFO's open(2) would,
 * and looked at once they are open, so that the file that is read is the one that was judged. Any
 * thread. */
#pragma once

#include <sys/types.h>

/* With O_CLOEXEC, O_NOCTTY, O_NONBLOCK and *flags*. The caller's descriptor of a regular file, or -1
 * with errno (EINVAL: it is none). Links are followed. */
int regular_open(const char *path, int flags);
/* Only what nobody can have put in place of another's file: no link (ELOOP), with no second name
 * (EMLINK), and root's, this process's or *also*'s ((uid_t)-1: nobody else's; EPERM). */
int regular_open_own(const char *path, int flags, uid_t also);
/* What such an errno means, as the rest of a sentence. */
const char *regular_why_not(int error);
