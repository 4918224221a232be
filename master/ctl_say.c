/* ctl_say.c: see ctl_say.h. */
#include "master/ctl_say.h"

#include <stdio.h>

/* Whole minutes and more. */
static void say_long(long long s, char out[static SAY_MAX])
{
    long long min = s / 60, h = min / 60, d = h / 24;
    if (min < 60)
        snprintf(out, SAY_MAX, "%lldm%02llds", min, s % 60);
    else if (h < 24)
        snprintf(out, SAY_MAX, "%lldh%02lldm", h, min % 60);
    else
        snprintf(out, SAY_MAX, "%lldd%02lldh", d, h % 24);
}

void say_ms(long long ms, char out[static SAY_MAX])
{
    long long s = ms / 1000;
    if (ms < 0)
        snprintf(out, SAY_MAX, "-");
    else if (ms < 1000)
        snprintf(out, SAY_MAX, "%lld ms", ms);
    else if (s < 60)
        snprintf(out, SAY_MAX, "%lld.%lld s", s, ms % 1000 / 100);
    else
        say_long(s, out);
}

void say_us(long long us, char out[static SAY_MAX])
{
    if (us < 0)
        snprintf(out, SAY_MAX, "-");
    else if (us < 1000)
        snprintf(out, SAY_MAX, "%lld us", us);
    else
        snprintf(out, SAY_MAX, "%lld.%lld ms", us / 1000, us % 1000 / 100);
}

void say_number(long long n, char out[static SAY_MAX])
{
    snprintf(out, SAY_MAX, n < 0 ? "-" : "%lld", n);
}

/* "1.2ms", "123ms": three digits are enough. */
static void say_tenths(long long tenths, const char *unit, char out[static SAY_MAX])
{
    if (tenths < 1000)
        snprintf(out, SAY_MAX, "%lld.%lld%s", tenths / 10, tenths % 10, unit);
    else
        snprintf(out, SAY_MAX, "%lld%s", tenths / 10, unit);
}

void say_short_us(long long us, char out[static SAY_MAX])
{
    if (us < 0)
        snprintf(out, SAY_MAX, "-");
    else if (us < 1000)
        snprintf(out, SAY_MAX, "%lldus", us);
    else if (us < 1000000)
        say_tenths(us / 100, "ms", out);
    else if (us < 60 * 1000000LL)
        say_tenths(us / 100000, "s", out);
    else if (us < 100 * 86400 * 1000000LL)
        say_long(us / 1000000, out);
    else
        snprintf(out, SAY_MAX, "%lldd", us / (86400 * 1000000LL));
}

void say_short_kib(long long kib, char out[static SAY_MAX])
{
    if (kib < 0)
        snprintf(out, SAY_MAX, "-");
    else if (kib < 1000)
        snprintf(out, SAY_MAX, "%lldK", kib);
    else if (kib < 1000 * 1024)
        say_tenths(kib * 10 / 1024, "M", out);
    else
        say_tenths(kib / 1024 * 10 / 1024, "G", out);
}

void say_short_rate(long long tenths, char out[static SAY_MAX])
{
    if (tenths < 0)
        snprintf(out, SAY_MAX, "-");
    else if (tenths < 100000)
        snprintf(out, SAY_MAX, "%lld.%lld", tenths / 10, tenths % 10);
    else if (tenths < 100000000)
        snprintf(out, SAY_MAX, "%lld", tenths / 10);
    else
        snprintf(out, SAY_MAX, "%lldM", tenths / 10000000);
}

void say_disarmed(struct buf *b, size_t from)
{
    for (size_t i = from; i < b->len; i++) {
        unsigned char c = (unsigned char)b->data[i];
        bool c1 = c == 0xc2 && i + 1 < b->len && (unsigned char)b->data[i + 1] < 0xa0;
        if (c1)
            b->data[i] = b->data[i + 1] = '?';
        else if ((c < ' ' && c != '\n') || c == 0x7f)
            b->data[i] = '?';
    }
}
