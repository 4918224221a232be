/* regular.c: see regular.h. */
#include "shared/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -1, with this errno. */
static int refuse(int fd, int error)
{
    close(fd);
    errno = error;
    return -1;
}

static int open_and_look(const char *path, int flags, struct stat *st_r)
{
    int fd = TEMP_FAILURE_RETRY(open(path, O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags));
    if (fd < 0)
        return -1;
    if (fstat(fd, st_r) != 0)
        return refuse(fd, errno);
    return S_ISREG(st_r->st_mode) ? fd : refuse(fd, EINVAL);
}

int regular_open(const char *path, int flags)
{
    struct stat st;
    return open_and_look(path, flags, &st);
}

int regular_open_own(const char *path, int flags, uid_t also)
{
    struct stat st;
    int fd = open_and_look(path, O_NOFOLLOW | flags, &st);
    if (fd < 0)
        return -1;
    if (st.st_nlink > 1)
        return refuse(fd, EMLINK);
    if (st.st_uid != 0 && st.st_uid != geteuid() && (also == (uid_t)-1 || st.st_uid != also))
        return refuse(fd, EPERM);
    return fd;
}

const char *regular_why_not(int error)
{
    switch (error) {
    case EINVAL:
        return "it is no regular file";
    case ELOOP:
        return "it is a link";
    case EMLINK:
        return "it has another name elsewhere";
    case EPERM:
        return "it belongs to somebody else";
    default:
        return strerror(error);
    }
}
