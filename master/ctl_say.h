/* ctl_say.h: quantities as "colmeia ctl" writes them for people. Pure. What is below 0 is unknown:
 * "-". */
#pragma once

#include "shared/str.h"

enum { SAY_MAX = 32 };

/* "12 ms", "1.2 s", "1m05s", "3h04m", "2d03h". */
void say_ms(long long ms, char out[static SAY_MAX]);
/* "412 us", "1.2 ms". */
void say_us(long long us, char out[static SAY_MAX]);
void say_number(long long n, char out[static SAY_MAX]);

/* The same for narrow columns, 6 characters at most: "412us", "1.2ms", "12.3s", "1m05s", "345d". */
void say_short_us(long long us, char out[static SAY_MAX]);
/* 5 at most: "812K", "8.1M", "12.3G". */
void say_short_kib(long long kib, char out[static SAY_MAX]);
/* 7 at most: "0.0", "9812.3", "1234567", "12M". */
void say_short_rate(long long tenths, char out[static SAY_MAX]);

/* Texts come from log lines and from clients of the server: what could steer a terminal (C0, DEL,
 * C1) becomes '?', from *from* on; newlines stay. */
void say_disarmed(struct buf *b, size_t from);
