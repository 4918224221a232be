/* doctor_judge.c: see doctor_judge.h. */
#include "worker/tools/doctor_judge.h"

#include <linux/magic.h>

/* Not in linux/magic.h, or not in an old one: statfs(2). */
#define MAGIC_9P    0x01021997
#define MAGIC_CEPH  0x00c36400
#define MAGIC_CIFS  0xff534d42
#define MAGIC_SMB2  0xfe534d42
#define MAGIC_SMB   0x517b
#define MAGIC_FUSE  0x65735546
#define MAGIC_GFS2  0x01161970
#define MAGIC_OCFS2 0x7461636f
#define MAGIC_NTFS3 0x7366746e
#define MAGIC_VFAT  0x4d44
#define MAGIC_EXFAT 0x2011bab0
#define MAGIC_ZFS   0x2fc12fc1

enum { SPACE_FAIL_MIB = 16, SPACE_WARN_MIB = 256, CLOCK_SLACK_S = 60, SYNC_SLOW_US = 30000 };

/* What to say of a kind of file system; NULL: nothing is wrong with it. */
static const char network[] =
    "SQLite's locks do not work between machines there, and its shared memory not at all";
static const char depends[] = "whether SQLite's locks work there depends on who provides it";
static const char passing[] = "what it holds is gone when the machine (or container) is";

static const struct kind {
    uint64_t type;
    const char *name;
    enum finding_level level;
    const char *problem;
} kinds[] = {
    {NFS_SUPER_MAGIC, "NFS", FINDING_FAIL, network},
    {MAGIC_SMB, "SMB", FINDING_FAIL, network},
    {MAGIC_CIFS, "SMB (CIFS)", FINDING_FAIL, network},
    {MAGIC_SMB2, "SMB", FINDING_FAIL, network},
    {AFS_SUPER_MAGIC, "AFS", FINDING_FAIL, network},
    {CODA_SUPER_MAGIC, "Coda", FINDING_FAIL, network},
    {MAGIC_CEPH, "CephFS", FINDING_FAIL, network},
    {MAGIC_9P, "9p", FINDING_FAIL, network},
    {MAGIC_GFS2, "GFS2", FINDING_WARN, depends},
    {MAGIC_OCFS2, "OCFS2", FINDING_WARN, depends},
    {MAGIC_FUSE, "FUSE", FINDING_WARN, depends},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs", FINDING_WARN, passing},
    {TMPFS_MAGIC, "tmpfs", FINDING_WARN, passing},
    {MAGIC_VFAT, "FAT", FINDING_WARN,
     "it knows no owners and modes, so nothing is kept from others"},
    {MAGIC_EXFAT, "exFAT", FINDING_WARN,
     "it knows no owners and modes, so nothing is kept from others"},
    {EXT4_SUPER_MAGIC, "ext4", FINDING_OK, NULL},
    {XFS_SUPER_MAGIC, "XFS", FINDING_OK, NULL},
    {BTRFS_SUPER_MAGIC, "Btrfs", FINDING_OK, NULL},
    {MAGIC_ZFS, "ZFS", FINDING_OK, NULL},
    {F2FS_SUPER_MAGIC, "F2FS", FINDING_OK, NULL},
    {MAGIC_NTFS3, "NTFS", FINDING_OK, NULL},
};

void doctor_judge_filesystem(struct findings *f, uint64_t type, const char *directory)
{
    static const char about[] = "file system";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        if (k->type != (type & 0xffffffff))
            continue;
        findings_add(f, k->level, about, "%s is on %s%s%s", directory, k->name,
                     k->problem ? ": " : "", k->problem ? k->problem : "");
        if (k->problem)
            findings_remedy(f, "put the database on a local disk ([database] url)");
        return;
    }
    findings_add(f, FINDING_OK, about, "%s is on one of kind 0x%llx, of which nothing bad is known",
                 directory, (unsigned long long)type);
}

void doctor_judge_space(struct findings *f, int64_t free_bytes, int64_t database_bytes,
                        uint64_t inodes_free, uint64_t inodes)
{
    static const char about[] = "disk space";
    long long free_mib = (long long)(free_bytes >> 20);
    bool no_inodes = inodes > 0 && inodes_free == 0;
    if (no_inodes || free_mib < SPACE_FAIL_MIB) {
        findings_add(f, FINDING_FAIL, about,
                     no_inodes ? "no file can be made any more (%lld MiB free)"
                               : "%lld MiB free: writes are about to fail",
                     free_mib);
        findings_remedy(f, "make room");
    } else if (free_mib < SPACE_WARN_MIB || free_bytes < database_bytes) {
        findings_add(f, FINDING_WARN, about, "%lld MiB free; the database takes %lld MiB", free_mib,
                     (long long)(database_bytes >> 20));
        findings_remedy(f, "make room, at least for another copy of it");
    } else {
        findings_add(f, FINDING_OK, about, "%lld MiB free; the database takes %lld MiB", free_mib,
                     (long long)(database_bytes >> 20));
    }
}

void doctor_judge_file(struct findings *f, const struct doctor_file *file, int64_t now_s)
{
    static const char about[] = "files";
    unsigned mode = (unsigned)file->mode & 07777;
    if (file->owner != file->database_owner) {
        findings_add(f, FINDING_FAIL, about, "%s belongs to user %u, the database to user %u",
                     file->path, (unsigned)file->owner, (unsigned)file->database_owner);
        findings_remedy(f, "chown %u %s", (unsigned)file->database_owner, file->path);
    } else if (!file->accessible) {
        findings_add(f, FINDING_FAIL, about,
                     "%s (user %u, mode %04o) cannot be read and written by this user", file->path,
                     (unsigned)file->owner, mode);
        findings_remedy(f, "chown or chmod it, or run doctor as the server's user");
    } else if (mode & 07) {
        findings_add(f, FINDING_WARN, about, "%s has mode %04o: everybody gets at password hashes",
                     file->path, mode);
        findings_remedy(f, "chmod o= %s", file->path);
    } else if (file->changed_s > now_s + CLOCK_SLACK_S) {
        findings_add(f, FINDING_WARN, about,
                     "%s was changed %lld seconds in the future: the clock was set back",
                     file->path, (long long)(file->changed_s - now_s));
        findings_remedy(f, "see whether the clock is right now");
    } else {
        findings_add(f, FINDING_OK, about, "%s (user %u, mode %04o)", file->path,
                     (unsigned)file->owner, mode);
    }
}

void doctor_judge_sync(struct findings *f, int64_t sync_us)
{
    static const char about[] = "disk";
    findings_add(f, sync_us > SYNC_SLOW_US ? FINDING_WARN : FINDING_OK, about,
                 "a write is on disk after %.1f ms", (double)sync_us / 1e3);
    if (sync_us > SYNC_SLOW_US)
        findings_remedy(
            f, "each sign-up waits for it; a faster disk, or [database] durability = normal");
}
