/* store_tester.h: what the store's tests share: a directory of their own, a loop, a store, and
 * calls that are started one by one or in one turn and awaited. */
#pragma once

#include "shared/scoreboard.h"
#include "worker/store/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tester {
    char dir[64];
    char path[96]; /* dir/test.db */
    struct loop *loop;
    struct scoreboard *board;
    struct scoreboard_slot *slot;
    struct store *store;
    struct store_options options; /* for tester_open(); set by tester_new(), to be changed freely */
    const struct store_driver *driver;
};

/* Answers stay until the tester that asked is over; rows are copies. */
struct answer {
    bool done;
    unsigned calls; /* of done() */
    enum store_result result;
    struct store_user *users;
    size_t users_len;
    struct slice text; /* of a list; else {NULL, 0} */
    struct arena arena;
};

/* A new temporary directory, a loop and a scoreboard of one slot; no store yet. */
struct tester *tester_new(const struct store_driver *driver);
/* Opens (after migrate_upgrade(), for a SQLite file that is not there) or fails the test. */
void tester_open(struct tester *t);
void tester_close(struct tester *t);
/* Closes all and removes the directory. */
void tester_free(struct tester *t);

void answer_on_done(void *ctx, const struct store_reply *reply);
void answer_fini(struct answer *a);
/* Turns the loop until it is there; the result. */
enum store_result tester_await(struct tester *t, struct answer *a);

/* One call, awaited. */
enum store_result tester_create(struct tester *t, const char *username, const char *email,
                                const char *password);
enum store_result tester_by_id(struct tester *t, int64_t id, struct answer *a);
/* Lists as "1 alice a@x; 2 bob b@x; ". A row that showed a password would fail the test. */
extern const struct store_list_form tester_form;
/* How many rows such a list has. */
size_t answer_rows(const struct answer *a);
/* All of them in *text*. */
const char *tester_list(struct tester *t, char *text, size_t text_max);

/* Runs SQL on the tester's file through a connection of its own; fails the test on an error. The
 * first column of the first row, or -1. */
int64_t tester_sql(struct tester *t, const char *sql);

/* Everything written to standard error between the two calls; the text is the caller's to free. */
void stderr_capture_start(void);
char *stderr_capture_end(void);
unsigned count_of(const char *text, const char *what);
