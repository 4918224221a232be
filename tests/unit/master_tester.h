/* master_tester.h: the real master in a process of its own, with real forks and signals, and
 * scripted workers (fake_worker.h). What happens is awaited on its log, which ends when the last
 * process is gone. */
#pragma once

#include "fake_worker.h"

#include "master/master.h"

#include <stddef.h>

/* Where the programs run and what they read; each its own. */
extern char master_directory[];

struct master_run {
    pid_t pid;
    int log_fd;
    char log[262144];
    size_t len;
    size_t seen; /* await goes on from here */
};
extern struct master_run run;

/* For the group. */
int master_set_up(void **state);
int master_tear_down(void **state);

/* Long where the test waits for something better, so that nothing ends by its deadline unasked. */
struct sup_settings patient(unsigned workers);
/* With --bind and --database-url; the former to a port of the kernel's choice, the latter to a
 * file. */
void start_at(const struct sup_settings *settings, const char *bind, const char *url);
void start(const struct sup_settings *settings);
/* With c.ini, which a reload reads again; the settings follow its [server] workers. */
void write_ini(const char *format, ...) __attribute__((format(printf, 1, 2)));
void start_with_ini(const struct sup_settings *settings);

void plan(unsigned len, const enum fake_life *lives);
#define PLAN(...)                                                                                  \
    plan(sizeof((enum fake_life[]){__VA_ARGS__}) / sizeof(enum fake_life),                         \
         (enum fake_life[]){__VA_ARGS__})

/* Reads until the text comes, after what was awaited before; returns where it stands. */
const char *await(const char *text);
void assert_said(const char *text);
void assert_not_said(const char *text);
/* The end of the log is the end of every process that could write to it. */
void read_to_the_end(void);
void assert_ends(int code);
void tell(int number);
/* 0, or -1 with errno. */
int connect_to(const char *name);
