/* fault_vfs.c: see fault_vfs.h. Every file is wrapped; all methods but write and sync pass through.
 */
#include "fault_vfs.h"

#include "shared/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct fault_vfs fault_vfs;
static sqlite3_vfs *real_vfs;

struct tapped {
    sqlite3_file base;
    int kind; /* SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, other */
    sqlite3_file *real;
};
#define REAL(f) (((struct tapped *)(f))->real)

/* Whether somebody holds the lock: a descriptor of our own cannot have it then. */
static int lock_is_held(void)
{
    int fd = open(fault_vfs.lock_path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static int tap_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
    int kind = ((struct tapped *)f)->kind;
    if (kind == SQLITE_OPEN_WAL || kind == SQLITE_OPEN_MAIN_DB) {
        atomic_fetch_add(kind == SQLITE_OPEN_WAL ? &fault_vfs.wal_writes : &fault_vfs.db_writes, 1);
        if (fault_vfs.lock_path && !lock_is_held())
            atomic_fetch_add(&fault_vfs.unlocked_writes, 1);
    }
    int failure = kind == SQLITE_OPEN_WAL ? atomic_load(&fault_vfs.fail_wal_write) : 0;
    return failure ? failure : REAL(f)->pMethods->xWrite(REAL(f), data, len, at);
}

static int tap_sync(sqlite3_file *f, int flags)
{
    int failure = 0;
    if (((struct tapped *)f)->kind == SQLITE_OPEN_WAL) {
        atomic_fetch_add(&fault_vfs.wal_syncs, 1);
        failure = atomic_load(&fault_vfs.fail_wal_sync);
    }
    return failure ? failure : REAL(f)->pMethods->xSync(REAL(f), flags);
}

static int tap_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}
static int tap_read(sqlite3_file *f, void *data, int len, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), data, len, at);
}
static int tap_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return REAL(f)->pMethods->xTruncate(REAL(f), size);
}
static int tap_size(sqlite3_file *f, sqlite3_int64 *size_r)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size_r);
}
static int tap_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int tap_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int tap_reserved(sqlite3_file *f, int *reserved_r)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), reserved_r);
}
static int tap_control(sqlite3_file *f, int operation, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), operation, arg);
}
static int tap_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int tap_characteristics(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}
static int tap_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **map_r)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, map_r);
}
static int tap_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    /* https://www.sqlite.org/walformat.html, 2.3.1: locks 3 to 7 are the read marks */
    if (offset >= 3 && flags == (SQLITE_SHM_LOCK | SQLITE_SHM_SHARED))
        atomic_fetch_add(&fault_vfs.read_marks, 1);
    return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}
static void tap_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}
static int tap_shm_unmap(sqlite3_file *f, int delete_flag)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), delete_flag);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = tap_close,
    .xRead = tap_read,
    .xWrite = tap_write,
    .xTruncate = tap_truncate,
    .xSync = tap_sync,
    .xFileSize = tap_size,
    .xLock = tap_lock,
    .xUnlock = tap_unlock,
    .xCheckReservedLock = tap_reserved,
    .xFileControl = tap_control,
    .xSectorSize = tap_sector,
    .xDeviceCharacteristics = tap_characteristics,
    .xShmMap = tap_shm_map,
    .xShmLock = tap_shm_lock,
    .xShmBarrier = tap_shm_barrier,
    .xShmUnmap = tap_shm_unmap,
};

static int tap_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *flags_r)
{
    struct tapped *t = (struct tapped *)f;
    t->real = (sqlite3_file *)(t + 1);
    t->kind = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL);
    int rc = real_vfs->xOpen(real_vfs, name, t->real, flags, flags_r);
    t->base.pMethods = t->real->pMethods ? &methods : NULL;
    return rc;
}

static int tap_sleep(sqlite3_vfs *vfs, int us)
{
    atomic_fetch_add(&fault_vfs.asleep_us, us);
    return real_vfs->xSleep(real_vfs, us);
}

void fault_vfs_install(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    ASSERT(real_vfs && real_vfs != &vfs);
    vfs = *real_vfs;
    vfs.zName = "fault";
    vfs.szOsFile += (int)sizeof(struct tapped);
    vfs.xOpen = tap_open;
    vfs.xSleep = tap_sleep;
    ASSERT(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

void fault_vfs_reset(void)
{
    atomic_store(&fault_vfs.wal_writes, 0);
    atomic_store(&fault_vfs.wal_syncs, 0);
    atomic_store(&fault_vfs.db_writes, 0);
    atomic_store(&fault_vfs.unlocked_writes, 0);
    atomic_store(&fault_vfs.read_marks, 0);
    atomic_store(&fault_vfs.asleep_us, 0);
    atomic_store(&fault_vfs.fail_wal_write, 0);
    atomic_store(&fault_vfs.fail_wal_sync, 0);
    fault_vfs.lock_path = NULL;
}
