/* config_file.c: reads a file of the configuration whole, and wipes it again. */
#include "shared/config_internal.h"
#include "shared/private.h"
#include "shared/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads to the end; -1 with errno (EFBIG: more than CONFIG_FILE_MAX). */
static ssize_t read_all(int fd, char *data)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, data + len, CONFIG_FILE_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            return (ssize_t)len;
        len += (size_t)n;
        if (len > CONFIG_FILE_MAX) {
            errno = EFBIG;
            return -1;
        }
    }
}

bool config_errno_may_pass(int error)
{
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EIO:
    case ENOSPC:
    case EDQUOT:
    case EAGAIN:
    case ETIMEDOUT:
    case ECONNREFUSED:
        return true;
    default:
        return false;
    }
}

static enum file_result bad(struct loader *l, const char *path, char *data, int fd)
{
    l->no_memory |= config_errno_may_pass(errno);
    loader_error(l, path, "cannot read it: %s",
                 errno == EINVAL ? "it is not a regular file" : strerror(errno));
    if (data)
        file_free((struct slice){data, CONFIG_FILE_MAX});
    if (fd >= 0)
        close(fd);
    return FILE_BAD;
}

enum file_result file_read(struct loader *l, const char *path, bool must_exist, bool regular,
                           struct slice *text_r)
{
    int fd = regular ? regular_open(path, O_RDONLY)
                     : TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0 && !must_exist && (errno == ENOENT || errno == ENOTDIR))
        return FILE_ABSENT;
    if (fd < 0)
        return bad(l, path, NULL, -1);
    char *data = private_new(CONFIG_FILE_MAX + 1); /* never moved, so that it can be wiped */
    if (!data)
        return bad(l, path, NULL, fd);
    ssize_t len = read_all(fd, data);
    if (len < 0)
        return bad(l, path, data, fd);
    close(fd);
    private_trim(data, CONFIG_FILE_MAX + 1, (size_t)len + 1);
    *text_r = (struct slice){data, (size_t)len};
    return FILE_OK;
}

void file_free(struct slice text)
{
    char *data = (char *)(uintptr_t)text.ptr;
    private_free(data, text.len + 1);
}
