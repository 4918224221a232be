/* state.h: what a master knows, as bytes: for the program that takes its place by execve(2), be it
 * newer or, on the way back, older. Facts one by one from the table in state.def, no memory images:
 * a reader takes what it knows, misses nothing that it must have, and trusts no length. Pure; the
 * driver fills it in and reads it (adopt.c), upgrade.c carries it. */
#pragma once

#include "shared/identity.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATE_VERSION = 1 };

enum state_table_kind {
    STATE_TABLE_SCOREBOARD = 1,
    STATE_TABLE_TICKETS,
    STATE_TABLE_THROTTLE,
    STATE_TABLE_TLS_KEYS
};
/* The user that children become was looked up once: names may mean nothing for a while. */
enum state_children { STATE_CHILDREN_NOT_SAID, STATE_CHILDREN_STAY, STATE_CHILDREN_BECOME };
enum state_waits { STATE_WAITS_NOT, STATE_WAITS_RELOAD, STATE_WAITS_READY };

/* struct state_master { int64_t pid; struct slice version; …; int exe; … } and so on. */
#define BEGIN(number, record)        struct state_##record {
#define NUMBER(record, number, name) int64_t name;
#define TEXT(record, number, name)   struct slice name;
#define FD(record, number, name)     int name;
#define END(number, record)                                                                        \
    }                                                                                              \
    ;
#include "master/state.def"

/* Lists of records: state->slot[0 … slot_len - 1]. Texts are borrowed: from the bytes that were
 * decoded, or from whoever filled them in. */
struct state {
#define BEGIN(number, record)                                                                      \
    struct state_##record *record; /* owned */                                                     \
    size_t record##_len;
#define NUMBER(record, number, name)
#define TEXT(record, number, name)
#define FD(record, number, name)
#define END(number, record)
#include "master/state.def"
    int *strangers; /* descriptors that came along and mean nothing to us; owned */
    size_t strangers_len;
    bool failed; /* no memory for what was added */
};

/* A further record, with nothing in it: state_add_slot(&state)->pid = …. Never NULL: without memory
 * *failed* is set and the record is lost. Valid until the next of its kind is added. */
#define BEGIN(number, record) struct state_##record *state_add_##record(struct state *s);
#define NUMBER(record, number, name)
#define TEXT(record, number, name)
#define FD(record, number, name)
#define END(number, record)
#include "master/state.def"

void state_free(struct state *s);

/* Appends the bytes, no more than so many. */
size_t state_room(const struct state *s);
void state_encode(const struct state *s, struct buf *out);
/* Takes bytes apart, whatever they are; they must outlive the state. False with one line in *error*;
 * state_free either way. */
bool state_decode(struct slice bytes, struct state *s_r, struct buf *error);
/* Whether the facts fit together: one master, pids and slots that occur once, states that exist, a
 * regime for each who names one. False with one line in *error*. */
bool state_is_sound(const struct state *s, struct buf *error);

/* Whom children become, but for the name. False: it does not say; an older program has written it. */
bool state_identity(const struct state *s, struct identity *identity_r);
void state_set_identity(struct state_master *m, const struct identity *identity);

/* Each descriptor that is there (none is -1). Those that are strangers' too. */
void state_each_fd(const struct state *s, void (*call)(void *ctx, int fd), void *ctx);
