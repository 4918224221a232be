/* sqlite_nowait.c: see sqlite.h. The library calls the system through a table that programs may
 * change (sqlite3_vfs.xSetSystemCall, https://sqlite.org/c3ref/vfs.html). Ours are the same calls,
 * but that on a thread which said sqlite_nowait_begin() they fail rather than wait, and nobody sleeps.
 * Thread: any; each has its own say. */
#include "worker/store/sqlite.h"

#include "shared/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local bool nowait;
static _Thread_local bool not_known; /* by the file system, since it began */

/* preadv2(2): what is not in the page cache is EAGAIN; a file system that cannot tell, EOPNOTSUPP. */
static ssize_t read_at(int fd, void *to, size_t len, off_t offset)
{
    if (!nowait)
        return pread(fd, to, len, offset);
    struct iovec page = {to, len};
    ssize_t n = FAULT_CALL(read_nowait, -1, preadv2(fd, &page, 1, offset, RWF_NOWAIT));
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        not_known = true;
    return n;
}

/* A reader that opens something finds a log for the first time, or one that was moved. */
static int open_file(const char *path, int flags, int mode)
{
    if (nowait) {
        errno = EWOULDBLOCK;
        return -1;
    }
    return open(path, flags, mode);
}

/* Locks are never waited for (F_SETLK), but who gets one of these goes on to write or to rebuild the
 * index of the log: WAL_WRITE_LOCK, WAL_CKPT_LOCK, WAL_RECOVER_LOCK (https://sqlite.org/walformat.html,
 * section 2.3). Readers of a log in good order ask for none of them. */
enum { FIRST_LONG_LOCK = 120, LAST_LONG_LOCK = 122 };

static bool is_long_lock(const struct flock *lock)
{
    return lock->l_type == F_WRLCK && lock->l_start <= LAST_LONG_LOCK &&
           lock->l_start + lock->l_len > FIRST_LONG_LOCK;
}

/* SQLite's only other argument than a lock is a flag or nothing. */
static int control_file(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (nowait && command == F_SETLK && is_long_lock(argument)) {
        errno = EAGAIN;
        return -1;
    }
    return fcntl(fd, command, argument);
}

static int (*sleep_really)(sqlite3_vfs *vfs, int us); /* NULL: nothing is replaced yet */

/* Its way of waiting for others: at a lock, or when the log changes under its eyes. */
static int sleep_for(sqlite3_vfs *vfs, int us)
{
    return nowait ? us : sleep_really(vfs, us);
}

static bool replace(sqlite3_vfs *vfs, const char *name, sqlite3_syscall_ptr call)
{
    return vfs->xGetSystemCall(vfs, name) &&
           vfs->xSetSystemCall(vfs, name, call) == SQLITE_OK;
}

bool sqlite_nowait_prepare(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
    if (sleep_really)
        return true;
    if (!vfs || vfs->iVersion < 3)
        return false;
    /* which of the two it calls was decided when it was built */
    bool reads = replace(vfs, "pread64", (sqlite3_syscall_ptr)read_at);
    reads = replace(vfs, "pread", (sqlite3_syscall_ptr)read_at) || reads;
    if (!reads || !replace(vfs, "open", (sqlite3_syscall_ptr)open_file) ||
        !replace(vfs, "fcntl", (sqlite3_syscall_ptr)control_file))
        return false;
    sleep_really = vfs->xSleep;
    vfs->xSleep = sleep_for;
    return true;
}

void sqlite_nowait_begin(void)
{
    nowait = true;
    not_known = false;
}

bool sqlite_nowait_end(void)
{
    nowait = false;
    return !not_known;
}

bool sqlite_nowait(void)
{
    return nowait;
}
