/* activation.h: listening sockets that a service manager made and gave us: LISTEN_PID, LISTEN_FDS
 * and LISTEN_FDNAMES, as sd_listen_fds(3) describes them. They stay the manager's: see
 * listener.activated in shared/sock.h. Called once by master.c, at the start. */
#pragma once

#include "master/listeners.h"
#include "shared/entry.h"

/* Adopts them, each under the name it was given (FileDescriptorName=), and takes the variables out
 * of the environment, be they for us or not. What was meant for another process (LISTEN_PID) is no
 * affair of ours: *given* is empty then. The result serves listeners_open() as the present doors.
 * EXIT_CODE_OK, or EXIT_CODE_CONFIG with a line for each that is no listening stream socket (or one
 * for variables that make no sense), and *given* empty. */
enum exit_code activation_take(struct listeners *given, struct buf *errors);
/* Only takes the variables out: of a program that has its doors from the one before. */
void activation_forget(void);
