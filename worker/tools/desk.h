/* desk.h: the store and the hasher for a program that does one thing after the other: each call
 * here runs the loop until its answer has come. The same store as the server's workers use, so
 * writes wait for their turn beside a running server. One-shot children. */
#pragma once

#include "worker/store/store.h"

#include <stdbool.h>

struct desk;

/* Opens the database that the configuration names, which must be there (tool_database). NULL with a
 * line on standard error. */
struct desk *desk_open(const char *verb, const struct config *config, const char *path);
/* Accepts NULL. */
void desk_close(struct desk *d);

/* The answers; rows are copies, valid until the next call of the same kind. */
enum store_result desk_by_id(struct desk *d, int64_t id, struct store_user *user_r);
enum store_result desk_by_email(struct desk *d, struct slice email, struct store_user *user_r);
enum store_result desk_conflict(struct desk *d, struct slice username, struct slice email);
enum store_result desk_create(struct desk *d, struct slice username, struct slice email,
                              struct slice password, struct store_user *user_r);
/* A new stored password for the user as last read. CHANGED: it is not as it was read any more. */
enum store_result desk_set_password(struct desk *d, const struct store_user *seen,
                                    struct slice password);
enum store_result desk_delete(struct desk *d, const struct store_user *seen);
/* Rows with an id above *after*, in order, at most limit. */
enum store_result desk_list(struct desk *d, int64_t after, int64_t limit,
                            const struct store_user **users_r, size_t *users_len_r);

/* Hashes at the configured cost. The text is valid until desk_close(); {NULL, 0} with a line on
 * standard error. */
struct slice desk_hash(struct desk *d, struct slice password);

/* Says on standard error why a call did not work: busy (and who is in the way), unavailable. */
void desk_complain(const struct desk *d, enum store_result result);
