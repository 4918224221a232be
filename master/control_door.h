/* control_door.h: the control socket's door: made, guarded, removed. Only control.c calls it. */
#pragma once

#include "master/command.h"
#include "shared/sock.h"
#include "shared/str.h"

/* Listens at the path, mode 0600 from the start, non-blocking and close-on-exec. Close it with
 * listener_close. 0, or -1 with one line in *error*. */
int control_door_open(const char *path, struct listener *door_r, struct buf *error);

/* Whether the process at the other end may order: it is root's, or ours. */
bool control_door_admits(struct control_caller caller);
/* Who that is; {-1, 0} when the kernel does not say. */
struct control_caller control_door_caller(int fd);
