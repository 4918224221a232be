/* fault_vfs.h: SQLite's file layer with a tap: counts what reaches the database file and its log,
 * and fails it on demand. For this process only; forked children inherit it. */
#pragma once

#include <stdatomic.h>

struct fault_vfs {
    /* counted */
    atomic_int wal_writes;
    atomic_int wal_syncs;
    atomic_int db_writes;
    atomic_int read_marks;      /* taken: one per read transaction */
    atomic_int unlocked_writes; /* to either, while nobody held *lock_path* */
    atomic_int asleep_us;       /* waits for other connections */
    /* set by the test: an SQLite error code, or 0 */
    atomic_int fail_wal_write;
    atomic_int fail_wal_sync;
    const char *lock_path; /* borrowed; NULL: do not look. Set while no store is open */
};
extern struct fault_vfs fault_vfs;

/* Puts itself before the default VFS; call before the first database is opened. */
void fault_vfs_install(void);
/* Everything back to zero. */
void fault_vfs_reset(void);
