/* ceil.h: the parts of the C bound for the items with a database. It is something to measure against,
 * nothing to deploy: it believes what it reads.
 *
 * The loop reads (prepared statements, one read transaction a wake). A sign-up or login is a job: a
 * hashing thread of lowest priority, then for a sign-up the writing thread, then the loop answers.
 * Environment: BENCH_HASH_KIB and BENCH_HASH_PASSES, the cost of a hash; CEIL_EACH=1: a commit for
 * each sign-up in place of one for all that wait. */
#pragma once

#include "loop.h"

#include <sodium.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

enum { TEXT_MAX = 128 };

struct job {
    struct job *next;
    struct client *client;
    bool signs_up;                       /* else logs in */
    bool good;                           /* hashed or verified; then, for a sign-up: committed */
    long long id;                        /* of the new user */
    char name[TEXT_MAX], email[TEXT_MAX], password[TEXT_MAX];
    char hash[crypto_pwhash_STRBYTES];   /* made for a sign-up, to be verified for a login */
};

/* ---- ceil_store.c: SQLite. Reads belong to the loop's thread, writes to the writing thread. ---- */

/* Before the fork: what the workers take turns with. */
void store_prepare(const char *path);
/* In a worker: opens its connections; exits on failure. */
void store_open(void);
/* {"id":…} of one user into text_r; the length, 0 when there is none. hash_r may be NULL. */
size_t store_user(long long id, char *text_r);
size_t store_user_by_email(const char *email, char *text_r, char *hash_r);
/* {"users":[…]}; the length. */
size_t store_page(int limit, int offset, char *text_r, size_t size);
/* Ends the read transaction that the first read began. */
void store_end_reads(void);
/* Commits the sign-ups of the list, all at once or each by itself. */
void store_sign_up(struct job *jobs);

/* ---- ceil_jobs.c: the threads ---- */

void jobs_start(void);
void jobs_add(struct job *job);
/* Those that are done: the caller's. After loop_wake(). */
struct job *jobs_done(void);
