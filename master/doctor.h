/* doctor.h: `colmeia doctor`: looks before anybody leaps. Here: the configuration, the key, the
 * machine and the running server; the database is looked at by a one-shot child
 * (worker/tools/tool_doctor.c). Each check is a row of a table; what it saw is judged by a pure
 * function. */
#pragma once

#include "shared/config.h"
#include "shared/findings.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The verb; the words behind it are [--json]. Returns an enum exit_code: OK, FAILED with at least
 * one FAIL, USAGE. */
int doctor_main(const struct config_flags *flags, int argc, char **argv);

/* ---- the judges; each adds one finding ---- */

/* The kernel cuts a queue to somaxconn. -1: not known. */
void doctor_judge_backlog(struct findings *f, int64_t wanted, int64_t somaxconn);
/* A worker holds at most nine tenths of its descriptors' number. *whose*: "the server's", … */
void doctor_judge_descriptors(struct findings *f, int64_t connections, int64_t limit,
                              const char *whose);
/* All tickets in use at once; -1: the machine's memory is not known. */
void doctor_judge_memory(struct findings *f, int64_t hash_bytes, unsigned tickets,
                         int64_t machine_bytes);
/* Wall time in seconds since the epoch, and whether the kernel calls it synchronised. */
void doctor_judge_clock(struct findings *f, int64_t now_s, bool synchronised);
/* *theirs*: the version in the server's answer, absent if it says none. */
void doctor_judge_version(struct findings *f, pid_t pid, struct slice theirs, struct slice ours);
/* The mode of the file that keeps the key, and whether it is ours (or we are root). */
void doctor_judge_key_file(struct findings *f, const char *path, mode_t mode, bool ours);
