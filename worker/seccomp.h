/* seccomp.h: takes from a process the system calls that it never needs and an intruder would
 * (seccomp.def): they fail with EPERM, as do new namespaces and all calls of another architecture's
 * numbering; clone3(2) fails with ENOSYS. Workers and the admin child only: a filter outlives execve(2), and the master must be able to become the next
 * program. seccomp(2), prctl(2). */
#pragma once

/* For good, for this thread and those that it starts: call it before there are others. Sets
 * PR_SET_NO_NEW_PRIVS as well. 0, or -1 with errno: ENOSYS when this build knows no filter for this
 * machine, EINVAL when the kernel has none. */
int seccomp_start(void);
