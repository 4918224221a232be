/* doctor_judge.c: what doctor's numbers mean. See doctor.h. */
#include "master/doctor.h"

/* This program was written later than that. */
#define CLOCK_LEAST_S INT64_C(1767225600) /* 2026-01-01 */
/* More is less a wrong clock than one that counts something else. */
#define CLOCK_MOST_S INT64_C(7258118400) /* 2200-01-01 */

void doctor_judge_backlog(struct findings *f, int64_t wanted, int64_t somaxconn)
{
    static const char about[] = "backlog";
    if (somaxconn < 0) {
        findings_add(f, FINDING_WARN, about, "net.core.somaxconn cannot be read");
        findings_remedy(f, "is /proc mounted?");
    } else if (somaxconn < wanted) {
        findings_add(f, FINDING_WARN, about,
                     "[server] backlog is %lld, but the kernel cuts it to %lld", (long long)wanted,
                     (long long)somaxconn);
        findings_remedy(f,
                        "sysctl -w net.core.somaxconn=%lld, and in /etc/sysctl.d for the next boot",
                        (long long)wanted);
    } else {
        findings_add(f, FINDING_OK, about, "%lld connections may wait (somaxconn %lld)",
                     (long long)wanted, (long long)somaxconn);
    }
}

void doctor_judge_descriptors(struct findings *f, int64_t connections, int64_t limit,
                              const char *whose)
{
    static const char about[] = "descriptors";
    int64_t usable = limit / 10 * 9;
    if (usable >= connections) {
        findings_add(f, FINDING_OK, about, "%lld for each worker, enough for %lld connections",
                     (long long)limit, (long long)connections);
        return;
    }
    findings_add(
        f, FINDING_WARN, about,
        "max_connections is %lld, but with %s limit of %lld descriptors a worker takes %lld",
        (long long)connections, whose, (long long)limit, (long long)usable);
    findings_remedy(f, "LimitNOFILE=%lld in the unit, or ulimit -n %lld",
                    (long long)(connections / 9 * 10 + 10), (long long)(connections / 9 * 10 + 10));
}

void doctor_judge_memory(struct findings *f, int64_t hash_bytes, unsigned tickets,
                         int64_t machine_bytes)
{
    static const char about[] = "memory";
    long long all_mib = (long long)(hash_bytes * tickets >> 20),
              has_mib = (long long)(machine_bytes >> 20);
    if (machine_bytes < 0) {
        findings_add(f, FINDING_WARN, about, "how much memory there is cannot be read");
        findings_remedy(f, "is /proc mounted?");
        return;
    }
    enum finding_level level = hash_bytes * tickets > machine_bytes / 10 * 9 ? FINDING_FAIL
                               : hash_bytes * tickets > machine_bytes / 2    ? FINDING_WARN
                                                                             : FINDING_OK;
    findings_add(
        f, level, about,
        "%u password hashes at once take %lld MiB of the %lld MiB this machine (or cgroup) has",
        tickets, all_mib, has_mib);
    if (level != FINDING_OK)
        findings_remedy(f, "a smaller [auth] hash_memory; \"colmeia calibrate\" recommends one");
}

void doctor_judge_clock(struct findings *f, int64_t now_s, bool synchronised)
{
    static const char about[] = "clock";
    if (now_s < CLOCK_LEAST_S || now_s > CLOCK_MOST_S) {
        findings_add(
            f, FINDING_FAIL, about,
            "%lld seconds since 1970 cannot be the time; tokens would end at the wrong moment",
            (long long)now_s);
        findings_remedy(f, "set it (timedatectl set-time, or start a time service)");
    } else if (!synchronised) {
        findings_add(f, FINDING_WARN, about,
                     "the kernel does not know of a time service that keeps it");
        findings_remedy(f, "timedatectl set-ntp true (in a container: see to it on the host)");
    } else {
        findings_add(f, FINDING_OK, about, "synchronised");
    }
}

void doctor_judge_version(struct findings *f, pid_t pid, struct slice theirs, struct slice ours)
{
    static const char about[] = "server";
    if (slice_equals(theirs, ours)) {
        findings_add(f, FINDING_OK, about, "runs as process %d, version %.*s", (int)pid,
                     SLICE_ARGS(ours));
        return;
    }
    findings_add(f, FINDING_WARN, about, "process %d runs version %.*s, this program is %.*s",
                 (int)pid, theirs.ptr ? (int)theirs.len : 7, theirs.ptr ? theirs.ptr : "unknown",
                 SLICE_ARGS(ours));
    findings_remedy(f, "restart the server, if this is the version it should run");
}

void doctor_judge_key_file(struct findings *f, const char *path, mode_t mode, bool ours)
{
    static const char about[] = "key file";
    if (!ours) {
        findings_add(f, FINDING_FAIL, about, "%s belongs to another user", path);
        findings_remedy(f, "chown it to the user the server runs as");
    } else if (mode & 077) {
        findings_add(f, FINDING_FAIL, about, "%s has mode %04o: others can sign tokens with it",
                     path, (unsigned)mode & 07777);
        findings_remedy(
            f,
            "chmod 600 %s; if others may have read it, delete it: a new one is made at the "
            "next start, and everybody logs in again",
            path);
    } else {
        findings_add(f, FINDING_OK, about, "%s, mode %04o", path, (unsigned)mode & 07777);
    }
}
