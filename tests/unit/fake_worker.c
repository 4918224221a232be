/* fake_worker.c: see fake_worker.h. */
#include "fake_worker.h"

#include "shared/entry.h"
#include "shared/log.h"
#include "shared/message.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct fake_plan *fake_plan;

static volatile sig_atomic_t terminated;

static void on_term(int number)
{
    (void)number;
    terminated = 1;
}

static void fault(enum fake_fault f)
{
    atomic_fetch_or(&fake_plan->faults, (unsigned)f);
}

/* ---- the world as it should be --------------------------------------------------------------- */

static int count_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2; /* "." and ".." */
}

int fake_open_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* the directory's own */
}

int fake_open_descriptors_of(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    return count_entries(path);
}

static void check_signals(void)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGTTOU, SIGPIPE};
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < 32; number++)
        if (sigismember(&mask, number) == 1)
            fault(FAKE_FAULT_SIGNALS);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        struct sigaction action;
        sigaction(ignored[i], NULL, &action);
        if (action.sa_handler != SIG_IGN)
            fault(FAKE_FAULT_SIGNALS);
    }
}

static void check_world(const struct entry *entry, int its_own)
{
    int descriptors = fake_plan->descriptors + its_own;
    int signal_of_death = 0;
    prctl(PR_GET_PDEATHSIG, &signal_of_death);
    if (signal_of_death != SIGTERM)
        fault(FAKE_FAULT_DEATH);
    if (getpgrp() != getpid())
        fault(FAKE_FAULT_GROUP);
    if (fake_open_descriptors() != descriptors) {
        log_error("%d descriptors are open, not %d", fake_open_descriptors(), descriptors);
        fault(FAKE_FAULT_DESCRIPTORS);
    }
    if (!entry->config || entry->generation == 0)
        fault(FAKE_FAULT_ENTRY);
    check_signals();
}

/* ---- workers --------------------------------------------------------------------------------- */

static void be_deaf(void)
{
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

static void die_of_a_signal(void)
{
    signal(SIGALRM, SIG_DFL);
    raise(SIGALRM); /* nothing that a sanitizer would comment on */
}

/* Until a message comes or the channel ends; MESSAGE_TYPE_END: it ended, or TERM came. */
static enum message_type await_message(const struct entry *entry)
{
    struct message message;
    for (;;) {
        if (terminated)
            return MESSAGE_TYPE_END;
        enum message_result result = message_receive(entry->channel_fd, &message);
        if (result == MESSAGE_OK && message.type == MESSAGE_ACCEPT) {
            log_info("fake: was let in");
            continue;
        }
        if (result == MESSAGE_OK)
            return (enum message_type)message.type;
        if (result == MESSAGE_CLOSED)
            return MESSAGE_TYPE_END;
        struct pollfd p = {.fd = entry->channel_fd, .events = POLLIN};
        poll(&p, 1, -1);
    }
}

static int leave(const struct entry *entry, enum fake_life life)
{
    enum message_type told = await_message(entry);
    while (life == FAKE_ONLY_QUIT && (told == MESSAGE_DRAIN || told == MESSAGE_MOVE)) {
        log_info("fake: does not drain");
        told = await_message(entry);
    }
    if (life != FAKE_CUT && life != FAKE_ONLY_QUIT)
        return EXIT_CODE_OK;
    message_send(entry->channel_fd, MESSAGE_CUT, entry->generation, 2);
    return EXIT_CODE_CUT;
}

static int close_channel(const struct entry *entry)
{
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    close(entry->channel_fd);
    log_info("fake: closed its channel");
    while (!terminated)
        sigsuspend(&before);
    return EXIT_CODE_OK;
}

static int serve(const struct entry *entry)
{
    unsigned n = atomic_fetch_add(&fake_plan->workers, 1);
    unsigned last = fake_plan->lives_len - 1;
    enum fake_life life = fake_plan->lives[n < last ? n : last];
    if (n < FAKE_LIVES_MAX)
        atomic_store(&fake_plan->pids[n], getpid());
    atomic_store(&fake_plan->generation, entry->generation);
    atomic_store(&fake_plan->listeners, (unsigned)entry->listeners_len);
    check_world(entry, 1 + (int)entry->listeners_len + (entry->handover[0] >= 0 ? 2 : 0));
    if (entry->slot < 0 || !entry->scoreboard || !entry->tickets || entry->secret_key.len < 32)
        fault(FAKE_FAULT_ENTRY);
    signal(SIGTERM, on_term);
    if (life == FAKE_FAIL)
        return EXIT_CODE_INTERNAL;
    if (life == FAKE_REFUSE)
        return EXIT_CODE_CONFIG;
    if (life == FAKE_HANG)
        be_deaf();
    message_send(entry->channel_fd, MESSAGE_READY, entry->generation, 0);
    log_info("fake: serves as number %u", n);
    if (life == FAKE_CRASH)
        die_of_a_signal();
    if (life == FAKE_DEAF)
        be_deaf();
    return life == FAKE_CLOSE_CHANNEL ? close_channel(entry) : leave(entry, life);
}

/* ---- one-shot children ----------------------------------------------------------------------- */

static int migrate(const struct entry *entry)
{
    atomic_fetch_add(&fake_plan->migrations, 1);
    check_world(entry, 0);
    if (entry->slot != -1 || entry->argc != 1 || strcmp(entry->argv[0], "upgrade") != 0)
        fault(FAKE_FAULT_ENTRY);
    if (fake_plan->migrate_code >= 0)
        return fake_plan->migrate_code;
    if (fake_plan->migrate_code == -2)
        signal(SIGTERM, SIG_IGN);
    log_info("fake: migrates");
    for (;;)
        pause();
}

int worker_main(const struct entry *entry)
{
    switch (entry->role) {
    case ROLE_SERVE:
        return serve(entry);
    case ROLE_MIGRATE:
        return migrate(entry);
    case ROLE_ADMIN:
    case ROLE_USER:
    case ROLE_BACKUP:
    case ROLE_CALIBRATE:
    case ROLE_DOCTOR:
    case ROLE_OPENAPI:
    case ROLE_CHECK: /* runs in the master's own code */
        fault(FAKE_FAULT_ENTRY);
        return EXIT_CODE_INTERNAL;
    case ROLE_CHECKPOINT:
        atomic_fetch_add(&fake_plan->checkpoints, 1);
        check_world(entry, 0);
        return fake_plan->checkpoint_code;
    }
    return EXIT_CODE_INTERNAL;
}
