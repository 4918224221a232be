/* sqlite_lock.c: see sqlite_lock.h.
 *
 * flock(2) has no deadline and no order: a writer with a full queue that lets go and asks again at
 * once would always win against one that waits. So there is a turnstile before it, an OFD lock
 * (fcntl(2)) on the same descriptor, which does not meddle with flock: whoever waits for the lock
 * holds the turnstile, and everybody else queues before that. Both are asked for without blocking,
 * in short sleeps; who lets go wakes who waits for the lock, if both have the same scoreboard. A
 * program that knows only the flock (flock(1), a test) still excludes everybody. */
#include "worker/store/sqlite_lock.h"

#include "shared/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A sleep is a quarter of the time waited so far, within these bounds: a commit that takes a
 * millisecond is followed closely, a holder that takes seconds costs next to nothing. */
enum { SLEEP_MIN_US = 50, SLEEP_MAX_US = 2000 };

/* Makes the file with the database's mode and, where we may, its owner. A descriptor or -1. */
static int create(const struct sqlite_lock *l)
{
    struct stat database;
    if (stat(l->database_path, &database))
        return -1;
    int fd = TEMP_FAILURE_RETRY(
        open(l->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd < 0)
        return -1;
    bool theirs = database.st_uid != geteuid() || database.st_gid != getegid();
    if ((theirs && geteuid() == 0 && fchown(fd, database.st_uid, database.st_gid)) ||
        fchmod(fd, database.st_mode & 0666)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int open_file(struct sqlite_lock *l)
{
    int fd = TEMP_FAILURE_RETRY(open(l->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0 && errno == ENOENT) {
        fd = create(l);
        if (fd < 0 && errno == EEXIST) /* another process was faster */
            fd = TEMP_FAILURE_RETRY(open(l->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    }
    if (fd < 0)
        return -1;
    struct stat st;
    if (fstat(fd, &st)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = fd;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return 0;
}

int sqlite_lock_open(struct sqlite_lock *l, const char *database_path,
                     struct scoreboard *scoreboard, struct scoreboard_slot *slot)
{
    *l = (struct sqlite_lock){.fd = -1, .scoreboard = scoreboard, .slot = slot};
    l->database_path = strdup(database_path);
    if (!l->database_path || asprintf(&l->path, "%s.lock", database_path) < 0) {
        l->path = NULL;
        sqlite_lock_close(l);
        errno = ENOMEM;
        return -1;
    }
    if (open_file(l) == 0)
        return 0;
    int saved = errno;
    sqlite_lock_close(l);
    errno = saved;
    return -1;
}

void sqlite_lock_close(struct sqlite_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l->database_path);
    *l = (struct sqlite_lock){.fd = -1};
}

/* The turnstile: 0, or -1 with errno EAGAIN while another process waits there. */
static int turnstile(const struct sqlite_lock *l, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(l->fd, F_OFD_SETLK, &range);
}

static void nap(int64_t waited_us)
{
    int64_t us = waited_us / 4;
    us = us < SLEEP_MIN_US ? SLEEP_MIN_US : us > SLEEP_MAX_US ? SLEEP_MAX_US : us;
    struct timespec t = {.tv_nsec = (long)us * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* waking early does no harm */
}

/* Sleeps until the holder lets go, if it is one of ours: the holder's pid is the futex, futex(2).
 * Never longer than a nap: one that was killed wakes nobody. */
static void await_release(const struct sqlite_lock *l, int64_t waited_us)
{
    int holder = l->scoreboard ? atomic_load(&l->scoreboard->db_lock_pid) : 0;
    if (!holder) {
        nap(waited_us);
        return;
    }
    struct timespec t = {.tv_nsec = (long)SLEEP_MAX_US * 1000};
    syscall(SYS_futex, &l->scoreboard->db_lock_pid, FUTEX_WAIT, holder, &t, NULL, 0);
}

static void wake_waiter(const struct sqlite_lock *l)
{
    if (l->scoreboard)
        syscall(SYS_futex, &l->scoreboard->db_lock_pid, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The master looks at it when a worker is stopped: one that seems to hold the lock a moment too long
 * does no harm, one that holds it unseen would never be killed. */
static void note_held(const struct sqlite_lock *l, unsigned held)
{
    if (l->slot)
        atomic_store(&l->slot->holds_db_lock, held);
}

static void unlock(const struct sqlite_lock *l)
{
    flock(l->fd, LOCK_UN);
    note_held(l, 0);
}

/* First the turnstile, then the lock. 0, or -1 with errno; the turnstile is free again either way.
 */
static int wait_in_turn(const struct sqlite_lock *l, int64_t until_us)
{
    int64_t began_us = clock_now_us();
    bool our_turn = false;
    for (;;) {
        if (!our_turn)
            our_turn = turnstile(l, F_WRLCK) == 0;
        if (our_turn && flock(l->fd, LOCK_EX | LOCK_NB) == 0) {
            note_held(l, 1);
            turnstile(l, F_UNLCK);
            return 0;
        }
        int64_t now_us = clock_now_us();
        bool waits = errno == EWOULDBLOCK || errno == EACCES || errno == EINTR;
        if (!waits || now_us >= until_us) {
            int saved = waits ? ETIMEDOUT : errno;
            if (our_turn)
                turnstile(l, F_UNLCK);
            errno = saved;
            return -1;
        }
        if (our_turn)
            await_release(l, now_us - began_us);
        else
            nap(now_us - began_us);
    }
}

/* Somebody removed or replaced the lock file: what we hold excludes nobody any more. */
static bool replaced(const struct sqlite_lock *l)
{
    struct stat st;
    return stat(l->path, &st) || st.st_dev != l->dev || st.st_ino != l->ino;
}

int sqlite_lock_take(struct sqlite_lock *l, int64_t timeout_ms)
{
    ASSERT(l->fd >= 0);
    int64_t until_us = clock_now_us() + timeout_ms * 1000;
    for (;;) {
        if (wait_in_turn(l, until_us))
            return -1;
        if (!replaced(l))
            break;
        unlock(l);
        if (open_file(l))
            return -1;
    }
    uint64_t changes = 0;
    l->changes = pread(l->fd, &changes, sizeof changes, 0) == (ssize_t)sizeof changes ? changes : 0;
    if (l->scoreboard)
        atomic_store(&l->scoreboard->db_lock_pid, getpid());
    return 0;
}

void sqlite_lock_release(struct sqlite_lock *l, bool changed)
{
    uint64_t changes = l->changes + 1;
    /* on a full disk it cannot be counted; then the next look may warn without need */
    if (changed && pwrite(l->fd, &changes, sizeof changes, 0) == (ssize_t)sizeof changes)
        l->changes = changes;
    if (l->scoreboard)
        atomic_store(&l->scoreboard->db_lock_pid, 0);
    unlock(l);
    wake_waiter(l);
}

pid_t sqlite_lock_holder(const struct sqlite_lock *l)
{
    return l->scoreboard ? atomic_load_explicit(&l->scoreboard->db_lock_pid, memory_order_relaxed)
                         : 0;
}
