/* title.h: what ps and top show for this process ("colmeia: worker 0 gen 1 [ready]"). One thread a
 * process sets it. */
#ifndef SHARED_TITLE_H
#define SHARED_TITLE_H

/* First thing in main(): keeps the place of the arguments for titles; moves argv's and environ's
 * texts elsewhere (setproctitle_init(3bsd)). */
void title_init(int argc, char **argv, char **environment);

/* Shows "colmeia: " and the formatted text; cut where the place ends. Nothing if title_init() had no
 * memory. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
