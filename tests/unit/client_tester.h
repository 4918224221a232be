/* client_tester.h: a client of an upstream (worker/upstream/client.h) on a loop, and sockets that the test
 * itself serves by hand. */
#pragma once

#include "worker/upstream/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MANY = 40 }; /* calls at once: more than one lane's */

struct world {
    struct loop *loop;
    struct client *client;
    int listener;
    int peer; /* the upstream's side of a connection; -1: none */
    char base[64];
    char heard[4096];
};

struct one {
    struct call call; /* first */
    unsigned done;
};

/* For cmocka: *state is a struct world. */
int client_setup(void **state);
int client_teardown(void **state);

/* *rest_ms* 0: as the client has it. */
void open_client(struct world *w, const char *base, int64_t rest_ms);
void begin(struct world *w, struct one *o, const char *path);
void await_done(struct world *w, struct one *o);
void on_done(struct task *t);
/* Turns the loop until the client has connected and its whole head has come. */
void hear(struct world *w);
void say(struct world *w, const char *text);
/* True when the client closes its side; turns the loop until something comes. */
bool await_close(struct world *w);
