/* fault.h: fault points: where a test lets go wrong what hardly ever does, strikes a process at one
 * exact place, or holds it still there. Only in builds with COLMEIA_FAULTS (CMake; the presets that
 * tests use); in all others the macros are the bare call, or nothing. Any thread, any process.
 *
 * $COLMEIA_FAULTS names a directory. Whoever comes to the point NAME (fault.def) looks for the file
 * NAME there, which says what happens:
 *
 *     [skip N] [once] errno EMFILE | signal TERM | signal-parent TERM | exit 3
 *
 * errno: the call is not made and fails so. signal: this process gets it before it goes on; STOP
 * holds it here until it gets CONT. skip N: not the first N times that a process comes here while
 * the file is there. once: the file is removed first, and of several processes only the one that
 * removed it is struck, so that a test can await its disappearance. */
#pragma once

#include "fault_build.h"

#ifdef COLMEIA_FAULTS_OFF /* in this program there are none, whatever the preset says */
#undef COLMEIA_FAULTS
#endif

#ifdef COLMEIA_FAULTS

enum fault {
#define POINT(name, where) FAULT_##name,
#define CALL(name, what) FAULT_##name,
#include "shared/fault.def"
#undef POINT
#undef CALL
    FAULTS
};

/* Lets happen what the point's file says. True: the call shall fail, with this errno; else errno is
 * as it was. */
_Bool fault_strikes(enum fault point);

/* A place. */
#define FAULT_POINT(name) ((void)fault_strikes(FAULT_##name))
/* call, or *failure* with errno: pid = FAULT_CALL(fork, -1, fork()). */
#define FAULT_CALL(name, failure, call) (fault_strikes(FAULT_##name) ? (failure) : (call))

#else

#define FAULT_POINT(name) ((void)0)
#define FAULT_CALL(name, failure, call) (call)

#endif
