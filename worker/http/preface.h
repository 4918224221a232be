/* preface.h: what a session's connection begins with before HTTP, as the words of its listener say
 * (shared/door.h). SESSION_PREFACE lasts until all of it is over, and no longer than header_timeout
 * from the accept. Inner header of worker/http. Loop thread. */
#pragma once

#include "worker/http/session_internal.h"

/* Of a session that was just opened: its connection came through a listener with these words. False:
 * it is gone. */
bool preface_begin(struct session *s, unsigned words);
/* conn's secured(): the TLS handshake is over. */
void preface_secured(struct session *s);
/* In SESSION_PREFACE: how many of the bytes were used (then the state may be another), or -1: the
 * session is gone. */
ssize_t preface_take(struct session *s, const char *bytes, size_t len);
