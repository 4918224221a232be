/* upgrade.h: how one program takes the place of another in the same process (execve(2)): what goes
 * along and how it is called, who is asked beforehand, and the net for the moment in which neither
 * is quite there. The driver (adopt.c) knows what is to be said; main.c calls the verbs:
 *
 *   colmeia rehearse FD           a child: reads the state behind FD, judges what it will have to live
 *                                 with, and says upgrade_word() if it would take over
 *   colmeia adopt FD PREVIOUS [WHY]
 *                                 the master itself. PREVIOUS: the program before, 0: none. WHY: that
 *                                 one is back, and this became of the other
 *
 * Both verbs are for programs, not for people, and never change. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

struct state;

enum { UPGRADE_WORD_MAX = 48 };

/* The state as a file that nobody can change (memfd_create(2), F_SEAL_WRITE), close-on-exec. -1 with
 * errno. */
int upgrade_write_state(const struct state *s);
/* The bytes behind *fd*, if it is such a file. Appends to *bytes_r*. False with a line in *error*. */
bool upgrade_read_state(int fd, struct buf *bytes_r, struct buf *error);
/* What a program says in the end that has understood these bytes; no other program does by accident.
 */
void upgrade_word(struct slice state, char word_r[static UPGRADE_WORD_MAX]);

/* Executes the program behind exe_fd as "argv0 adopt …", with all descriptors of the state and the
 * state's own left open. Returns only if that fails: errno, and everything is as before. */
int upgrade_exec(const char *argv0, int exe_fd, const struct state *s);

/* In a child: lets the program behind exe_fd rehearse and waits. True: it would take over. Else lines
 * in *said*: its own, if it said anything. */
bool upgrade_rehearse(const char *argv0, const char *path, int exe_fd, int state_fd,
                      struct buf *said);

/* In main(), before anyone changes it: the environment that every other program gets. What services
 * take out of ours (sockets, the manager's address) the next program needs as well. */
void upgrade_keep_environment(char **environment);

/* In a child, which does not go on to another program: the secrets in it. */
void upgrade_forget_environment(void);

/* First thing in main(): if this is "adopt", signals are as the master needs them (what comes waits),
 * and from now to upgrade_net_down() the previous program comes back if this one crashes or takes
 * longer than ten seconds. */
void upgrade_net_up(int argc, char **argv);
/* All is taken over: closes the state. */
void upgrade_net_down(void);
/* This program cannot take over: the previous one comes back, and tells why; if this is that one, it
 * begins anew after a moment, whatever it lacked. Returns if there is none, or for the last time. */
void upgrade_fall_back(const char *why);
