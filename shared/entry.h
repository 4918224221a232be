/* entry.h: all that crosses the fork from master to child, and the child's entry point. The master
 * fills in one struct entry, forks, and calls worker_main() in the child; neither side knows more
 * of the other. Pointers are valid in the child by copy-on-write. */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "shared/sock.h"
#include "shared/throttle.h"
#include "shared/tickets.h"

#include <stdbool.h>
#include <stddef.h>

/* What a child is for. Roles other than SERVE and ADMIN are one-shot: they do their work and return. */
#define ROLES(X)                                                                                   \
    X(SERVE, "worker")                                                                             \
    X(ADMIN, "admin")           /* serves [admin] bind; lives as long as the master */              \
    X(CHECK, "check")           /* judges a configuration before a reload: in master/, and what    \
                                   certificates say, in worker/ */                                 \
    X(MIGRATE, "migrate")       /* `colmeia migrate …`, and before the first worker */             \
    X(CHECKPOINT, "checkpoint") /* truncates the WAL at a clean stop */                            \
    X(USER, "user")             /* `colmeia user …` */                                             \
    X(BACKUP, "backup")         /* `colmeia backup FILE` */                                        \
    X(CALIBRATE, "calibrate")   /* `colmeia calibrate` */                                          \
    X(DOCTOR, "doctor")         /* the part of `colmeia doctor` that looks at the database, and at \
                                   what certificates say */                                        \
    X(OPENAPI, "openapi")       /* `colmeia openapi` */

enum role {
#define X(name, text) ROLE_##name,
    ROLES(X)
#undef X
};

/* Exit codes of the program and of its children. */
enum exit_code {
#define EXIT_CODE(name, number, word, meaning) EXIT_CODE_##name = (number),
#include "shared/exit_codes.def"
#undef EXIT_CODE
};

struct bulletin;
struct findings;
struct tls_keys;

struct entry {
    enum role role;
    int slot;                          /* scoreboard slot of SERVE; -1 for all others */
    unsigned generation;
    bool held;                         /* SERVE: it is ready, but takes nobody before MESSAGE_ACCEPT */
    pid_t master_pid;                  /* as it was at the fork: no upgrade changes it */
    int channel_fd;                    /* message.h; end-of-file: leave, perhaps the master is gone. -1: none */
    const struct listener *listeners;  /* open, non-blocking, shared with the other workers */
    size_t listeners_len;
    int handover[2];                   /* SOCK_SEQPACKET, non-blocking, shared by all workers of all
                                          generations: [0] connections are taken from it, [1] given into
                                          it (worker/net/handover.h). -1: none */
    const struct config *config;
    bool as_configured;                /* log level and debug mode are those of *config*; else those
                                          the master has now, and hands down by the fork */
    struct slice secret_key;           /* signs tokens; at least 1 byte for SERVE. Never logged */
    struct slice previous_keys;        /* shared/keyring.h: what they signed is honoured; may be empty */
    struct slice tls_certificate;      /* the files of [tls], for SERVE, CHECK and DOCTOR; */
    struct slice tls_key;              /* {NULL, 0}: no listener needs them */
    struct tls_keys *tls_keys;   /* of session tickets; NULL for one-shot children */
    struct scoreboard *scoreboard;     /* NULL for one-shot children */
    struct bulletin *bulletin;         /* ADMIN; else NULL */
    struct tickets *tickets;           /* NULL for one-shot children */
    struct throttle *throttle;         /* the same */
    struct findings *findings;         /* DOCTOR: what the master has found; else NULL */
    uid_t caller;                      /* USER: who asks, whoever this process has become */
    int argc;                          /* one-shot verbs: the words after the verb */
    char **argv;
};

/* Runs the child's role to its end. Signals arrive unblocked, with default handlers or ignored;
 * SIGTERM (which also comes when the master dies, prctl(2) PR_SET_PDEATHSIG) is to be obeyed like
 * MESSAGE_DRAIN. Returns an enum exit_code; the caller then calls exit(3). */
int worker_main(const struct entry *entry);
