/* test_password.c: worker/auth/password.c: hashing, verifying texts of argon2-cffi, re-hashing, the
 * queue, the tickets. Cheap hashes (64 KiB, one pass) except where the cost is the point. */
#include "worker/auth/password.h"

#include "tests/unit/asleep.h"
#include "worker/auth/phc.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define SALT "MDEyMzQ1Njc4OWFiY2RlZg"
/* made with argon2-cffi, of "testtest" where nothing else is said */
#define OF_SECRET                                                                                  \
    "$argon2id$v=19$m=65536,t=3,p=4$ijak69/9oBhzO+QB6Ylr/"                                         \
    "w$lYHBQZQPITGrCT00ICT57KTecr3lpCMIjagOVBmW/wc"
#define P4       "$argon2id$v=19$m=64,t=1,p=4$" SALT "$+0dERUsHTAm5uEfhQCXNY0N2sZPcbF2FTJidefuFgpQ"
#define OF_EMPTY "$argon2id$v=19$m=64,t=1,p=1$" SALT "$YdvKnHDNdnx3UXOE4OXsgVckBvuq3gpvrMbEV3UYnbY"
#define OF_A_NUL_B                                                                                 \
    "$argon2id$v=19$m=64,t=1,p=1$" SALT "$ttRlE976sjBxCQwjFXARyk1cyNHvNDneaGoDa3dyRrI"
#define TAG16  "$argon2id$v=19$m=64,t=1,p=1$" SALT "$VlUCO1E8eLPhEZUpZj3BgA"
#define M8192  "$argon2id$v=19$m=8192,t=1,p=1$" SALT "$2VJe3gcGRnyXJihhCaD+rD9HlQYcK7CrNtn5JP9Kslc"
#define M32_P4 "$argon2id$v=19$m=32,t=1,p=4$" SALT "$JBW446OIz0qNXgxxGCvkaq4PDYguwL5rM4L29HIyWEM"
#define M32_T2 "$argon2id$v=19$m=32,t=2,p=1$" SALT "$9AiJP6YUQQq9j5AMOFrClYMa3xtLJQtBqEpSKZwQt94"
#define M32_SALT8                                                                                  \
    "$argon2id$v=19$m=32,t=1,p=1$MDEyMzQ1Njc$66naJ0on6unvbzJmz2+4c9bDmxDZZC4rQxfJFzt1CCI"
#define ARGON2I "$argon2i$v=19$m=64,t=1,p=1$" SALT "$nlC0m6FiF4KoVOasysGHF78PDc1kN/MzCPpZnOVN5ZI"
#define ARGON2D "$argon2d$v=19$m=64,t=1,p=1$" SALT "$NGRDmbc7lL5JJi08afsstebTPUPyO78fPkYxMiP3j18"
#define TEST    SLICE("testtest")
#define ABSENT  ((struct slice){NULL, 0})

enum { CALLS_MAX = 64 };

struct call {
    int id;
    int done;
    enum password_result result;
    char hash[PHC_TEXT_MAX + 1];
    struct passwords *free_in_done;
};

/* What the functions interposed below are told and tell. */
static struct {
    atomic_bool no_memory;                 /* large mappings fail */
    atomic_bool no_memory_to_hash;         /* only crypto_pwhash() fails */
    atomic_int inside;                     /* hashes at present */
    atomic_int peak;                       /* most at the same time */
    _Atomic(pthread_barrier_t *) meet;     /* NULL: none */
    _Atomic(int) *began;                   /* counts hashes that began; NULL: nobody does */
    _Atomic(unsigned long long) passes;    /* of the last hash; read when its call is done */
    atomic_size_t memory_bytes;
} world;

static void enter_hash(void)
{
    int inside = atomic_fetch_add(&world.inside, 1) + 1;
    int peak = atomic_load(&world.peak);
    while (peak < inside && !atomic_compare_exchange_weak(&world.peak, &peak, inside))
        ;
    pthread_barrier_t *meet = atomic_load(&world.meet);
    if (world.began)
        atomic_fetch_add(world.began, 1);
    if (meet)
        pthread_barrier_wait(meet);
    sched_yield();
}

/* In place of the library's own, which do the same behind a choice of algorithm. */
int crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                  unsigned long long passwdlen, const unsigned char *const salt,
                  unsigned long long opslimit, size_t memlimit, int alg)
{
    enter_hash();
    atomic_store(&world.passes, opslimit);
    atomic_store(&world.memory_bytes, memlimit);
    int result = -1;
    if (!atomic_load(&world.no_memory_to_hash))
        result =
            crypto_pwhash_argon2id(out, outlen, passwd, passwdlen, salt, opslimit, memlimit, alg);
    atomic_fetch_sub(&world.inside, 1);
    return result;
}

int crypto_pwhash_str_verify(const char str[crypto_pwhash_STRBYTES], const char *const passwd,
                             unsigned long long passwdlen)
{
    enter_hash();
    int result = crypto_pwhash_argon2id_str_verify(str, passwd, passwdlen);
    atomic_fetch_sub(&world.inside, 1);
    return result;
}

#ifndef __SANITIZE_THREAD__ /* which needs mmap() before it can be interposed */
void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    static void *(*_Atomic next)(void *, size_t, int, int, int, off_t);
    if (atomic_load(&world.no_memory) && len >= 32 * 1024) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "mmap"); /* the sanitizer's, if there is one */
    return next(at, len, protection, flags, fd, offset);
}
#endif

static struct loop *loop;
static struct scoreboard_slot slot;
static struct call calls[CALLS_MAX];
static int done_order[CALLS_MAX];
static int done_len;

static void on_done(void *ctx, const struct password_reply *reply)
{
    struct call *c = ctx;
    c->done++;
    c->result = reply->result;
    snprintf(c->hash, sizeof c->hash, "%.*s", (int)reply->hash.len,
             reply->hash.ptr ? reply->hash.ptr : "");
    done_order[done_len++] = c->id;
    if (c->free_in_done)
        passwords_free(c->free_in_done);
}

static int setup(void **state)
{
    memset(calls, 0, sizeof calls);
    memset(&slot, 0, sizeof slot);
    done_len = 0;
    atomic_store(&world.no_memory, false);
    atomic_store(&world.no_memory_to_hash, false);
    atomic_store(&world.peak, 0);
    atomic_store(&world.meet, NULL);
    for (int i = 0; i < CALLS_MAX; i++)
        calls[i].id = i;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(loop);
    return 0;
}

static struct passwords *make(struct password_options o)
{
    if (!o.memory_bytes)
        o.memory_bytes = 64 * 1024;
    if (!o.iterations)
        o.iterations = 1;
    o.slot = &slot;
    struct passwords *p = passwords_new(loop, &o);
    assert_non_null(p);
    return p;
}

static void await(int len)
{
    while (done_len < len)
        loop_run_once(loop, true);
    assert_int_equal(done_len, len);
}

/* Threads give their tickets back when they have nothing more to do. */
static void await_taken(const struct tickets *t, unsigned count)
{
    while (tickets_taken(t) != count)
        sched_yield();
}

static uint64_t counted(enum counter c)
{
    return atomic_load(&slot.counters[c]);
}

static struct task *start_hash(struct passwords *p, int id, uint64_t fair_key)
{
    struct task *t = password_hash(p, TEST, fair_key, on_done, &calls[id]);
    assert_non_null(t);
    return t;
}

static struct call *verify(struct passwords *p, struct slice password, struct slice stored)
{
    memset(&calls[0], 0, sizeof calls[0]);
    done_len = 0;
    assert_non_null(password_verify(p, password, stored, 1, on_done, &calls[0]));
    assert_int_equal(done_len, 0);
    await(1);
    return &calls[0];
}

static void test_hash_then_verify(void **state)
{
    static char long_password[65536];
    memset(long_password, 'x', sizeof long_password);
    const struct slice passwords[] = {TEST,
                                      SLICE(""),
                                      SLICE("a\0b"),
                                      SLICE("\xff\xfe"),
                                      {long_password, sizeof long_password},
                                      {NULL, 0}};
    char before[PHC_TEXT_MAX + 1];
    struct passwords *p = make((struct password_options){0});
    for (size_t i = 0; i < sizeof passwords / sizeof *passwords; i++) {
        done_len = 0;
        assert_non_null(password_hash(p, passwords[i], 1, on_done, &calls[1]));
        assert_int_equal(done_len, 0);
        await(1);
        assert_int_equal(calls[1].result, PASSWORD_OK);
        assert_int_equal(strlen(calls[1].hash), 94);
        assert_true(
            slice_starts_with(slice_of(calls[1].hash), SLICE("$argon2id$v=19$m=64,t=1,p=1$")));
        strcpy(before, calls[1].hash);
        done_len = 0;
        assert_non_null(password_hash(p, passwords[i], 1, on_done, &calls[1]));
        await(1);
        assert_string_not_equal(calls[1].hash, before); /* another salt */
        struct call *c = verify(p, passwords[i], slice_of(before));
        assert_int_equal(c->result, PASSWORD_OK);
        assert_string_equal(c->hash, "");
        assert_int_equal(verify(p, SLICE("other"), slice_of(before))->result, PASSWORD_MISMATCH);
    }
    assert_int_equal(counted(COUNTER_hashes), 24);
    assert_int_equal(counted(COUNTER_hashes_refused), 0);
    passwords_free(p);
}

static void test_verify_stored_texts(void **state)
{
    const struct {
        struct slice password;
        struct slice stored;
        enum password_result result;
    } rows[] = {
        {TEST, SLICE(P4), PASSWORD_OK},
        {SLICE("testtesu"), SLICE(P4), PASSWORD_MISMATCH},
        {SLICE("testtest\0"), SLICE(P4), PASSWORD_MISMATCH},
        {SLICE(""), SLICE(P4), PASSWORD_MISMATCH},
        {SLICE(""), SLICE(OF_EMPTY), PASSWORD_OK},
        {SLICE("\0"), SLICE(OF_EMPTY), PASSWORD_MISMATCH},
        {SLICE("a\0b"), SLICE(OF_A_NUL_B), PASSWORD_OK},
        {SLICE("a\0c"), SLICE(OF_A_NUL_B), PASSWORD_MISMATCH},
        {SLICE("a"), SLICE(OF_A_NUL_B), PASSWORD_MISMATCH},
        {TEST, SLICE(TAG16), PASSWORD_OK},
        {TEST, SLICE(M8192), PASSWORD_OK},
        /* no argon2id, or out of bounds */
        {TEST, SLICE(ARGON2I), PASSWORD_MISMATCH},
        {TEST, SLICE(ARGON2D), PASSWORD_MISMATCH},
        {TEST, SLICE("testtest"), PASSWORD_MISMATCH},
        {TEST, SLICE(""), PASSWORD_MISMATCH},
        {TEST, SLICE(P4 "x"), PASSWORD_MISMATCH},
        {TEST, SLICE("$argon2id$v=19$m=4294967295,t=1,p=1$" SALT "$" SALT), PASSWORD_MISMATCH},
        {TEST, SLICE("$argon2id$v=19$m=1048576,t=100,p=1$" SALT "$" SALT), PASSWORD_MISMATCH},
        {TEST, SLICE("$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"),
         PASSWORD_MISMATCH},
        /* unknown account */
        {TEST, ABSENT, PASSWORD_MISMATCH},
        {SLICE(""), ABSENT, PASSWORD_MISMATCH},
    };
    struct passwords *p = make((struct password_options){0});
    size_t len = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < len; i++) {
        struct call *c = verify(p, rows[i].password, rows[i].stored);
        if (c->result != rows[i].result)
            fail_msg("row %zu: %d", i, c->result);
        assert_string_equal(c->hash, ""); /* none is cheaper than configured */
    }
    assert_int_equal(counted(COUNTER_hashes), len);
    passwords_free(p);
}

/* Whoever asks must not learn from the time that there is no such account. */
static void test_unknown_account_costs_a_hash(void **state)
{
    const struct slice texts[] = {ABSENT, SLICE("testtest"), SLICE(ARGON2I)};
    struct passwords *p =
        make((struct password_options){.memory_bytes = 128 * 1024, .iterations = 2});
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(verify(p, TEST, texts[i])->result, PASSWORD_MISMATCH);
        assert_int_equal(world.memory_bytes, 128 * 1024);
        assert_int_equal(world.passes, 2);
    }
    passwords_free(p);
}

/* The Python app's own parameters, and the default ones here: no re-hash though p differs. */
static void test_verify_at_full_cost(void **state)
{
    struct passwords *p =
        make((struct password_options){.memory_bytes = 64 << 20, .iterations = 3});
    struct call *c = verify(p, SLICE("secret"), SLICE(OF_SECRET));
    assert_int_equal(c->result, PASSWORD_OK);
    assert_string_equal(c->hash, "");
    assert_int_equal(verify(p, SLICE("Secret"), SLICE(OF_SECRET))->result, PASSWORD_MISMATCH);
    passwords_free(p);
}

static void test_rehash(void **state)
{
    static const struct {
        const char *stored;
        int64_t memory_kib; /* configured */
        int64_t iterations;
        const char *start; /* of the new text; NULL: none */
    } rows[] = {
        {M8192, 16384, 1, "$argon2id$v=19$m=16384,t=1,p=1$" SALT "$"},
        {M8192, 8192, 2, "$argon2id$v=19$m=8192,t=2,p=1$" SALT "$"},
        {M8192, 64, 2, "$argon2id$v=19$m=64,t=2,p=1$" SALT "$"}, /* lower in one is enough */
        {M32_T2, 64, 1, "$argon2id$v=19$m=64,t=1,p=1$" SALT "$"},
        {M32_P4, 64, 1, "$argon2id$v=19$m=64,t=1,p=1$" SALT "$"},
        {M8192, 8192, 1, NULL},
        {M8192, 64, 1, NULL},
        {M32_T2, 32, 1, NULL},
        {P4, 64, 1, NULL},
        {M32_SALT8, 64, 1, NULL}, /* its salt is too short to be kept */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct passwords *p = make((struct password_options){
            .memory_bytes = rows[i].memory_kib * 1024, .iterations = rows[i].iterations});
        struct call *c = verify(p, TEST, slice_of(rows[i].stored));
        assert_int_equal(c->result, PASSWORD_OK);
        if (!rows[i].start) {
            assert_string_equal(c->hash, "");
        } else {
            char made[PHC_TEXT_MAX + 1];
            strcpy(made, c->hash);
            if (!slice_starts_with(slice_of(made), slice_of(rows[i].start)))
                fail_msg("row %zu: %s", i, made);
            c = verify(p, TEST, slice_of(made));
            assert_int_equal(c->result, PASSWORD_OK);
            assert_string_equal(c->hash, "");
        }
        c = verify(p, SLICE("wrong"), slice_of(rows[i].stored));
        assert_int_equal(c->result, PASSWORD_MISMATCH);
        assert_string_equal(c->hash, "");
        passwords_free(p);
    }
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* All tickets are taken: threads wait, and what queues behind them is known exactly. */
static struct tickets *taken_tickets(unsigned count)
{
    struct tickets *t = tickets_new(count);
    assert_non_null(t);
    for (unsigned i = 0; i < count; i++)
        assert_true(tickets_take(t, 0) >= 0);
    return t;
}

static void test_full_queue_is_busy(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p = make((struct password_options){.tickets = t, .max_queue = 3});
    for (int i = 0; i < 5; i++)
        start_hash(p, i, (uint64_t)i);
    assert_int_equal(done_len, 0);
    await(2);
    assert_int_equal(calls[3].result, PASSWORD_BUSY);
    assert_int_equal(calls[4].result, PASSWORD_BUSY);
    assert_string_equal(calls[3].hash, "");
    assert_int_equal(counted(COUNTER_hashes_refused), 2);
    tickets_give(t, 0);
    await(5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(calls[i].result, PASSWORD_OK);
    start_hash(p, 5, 5); /* there is room again */
    await(6);
    assert_int_equal(calls[5].result, PASSWORD_OK);
    assert_int_equal(counted(COUNTER_hashes), 4);
    await_taken(t, 0);
    passwords_free(p);
    tickets_free(t);
}

/* One account may fill a quarter of the queue; the others still get in. */
static void test_an_account_has_its_share(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p = make((struct password_options){.tickets = t, .max_queue = 24});
    for (int i = 0; i < 10; i++)
        start_hash(p, i, 1);
    start_hash(p, 10, 2);
    await(4);
    for (int i = 6; i < 10; i++)
        assert_int_equal(calls[i].result, PASSWORD_BUSY);
    tickets_give(t, 0);
    await(11);
    for (int i = 0; i < 6; i++)
        assert_int_equal(calls[i].result, PASSWORD_OK);
    assert_int_equal(calls[10].result, PASSWORD_OK);
    start_hash(p, 11, 1);
    await(12);
    assert_int_equal(calls[11].result, PASSWORD_OK);
    passwords_free(p);
    tickets_free(t);
}

static void test_accounts_take_turns(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p = make((struct password_options){.tickets = t, .max_queue = 40});
    start_hash(p, 0, 9);
    start_hash(p, 1, 9);
    for (int i = 2; i < 10; i++)
        start_hash(p, i, 1);
    start_hash(p, 10, 2);
    loop_run_once(loop, false);
    tickets_give(t, 0);
    await(11);
    int place = 0;
    while (done_order[place] != 10)
        place++;
    assert_true(place <= 3); /* behind job 0 and at most one of each other account */
    passwords_free(p);
    tickets_free(t);
}

static void test_too_long_in_the_queue(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p = make((struct password_options){.tickets = t, .queue_timeout_ms = 1});
    for (int i = 0; i < 3; i++)
        start_hash(p, i, 1);
    await(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(calls[i].result, PASSWORD_BUSY);
    assert_int_equal(counted(COUNTER_hashes_refused), 3);
    assert_int_equal(counted(COUNTER_hashes), 0);
    tickets_give(t, 0);
    passwords_free(p);
    tickets_free(t);
}

static void test_cancel(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p =
        make((struct password_options){.tickets = t, .queue_timeout_ms = 3600000});
    struct task *first = start_hash(p, 0, 1);
    struct task *second = start_hash(p, 1, 1);
    loop_run_once(loop, false); /* a thread waits for a ticket, or soon will */
    task_cancel(first);
    task_cancel(second);
    await(2);
    assert_int_equal(calls[0].result, PASSWORD_BUSY);
    assert_int_equal(calls[1].result, PASSWORD_BUSY);
    assert_int_equal(counted(COUNTER_hashes_refused), 0); /* nobody was refused */
    tickets_give(t, 0);
    passwords_free(p);
    tickets_free(t);
}

static void test_free_ends_everything(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p =
        make((struct password_options){.tickets = t, .queue_timeout_ms = 3600000});
    start_hash(p, 0, 1);
    loop_run_once(loop, false); /* a thread waits for a ticket, or soon will */
    start_hash(p, 1, 1);
    passwords_free(p);
    assert_int_equal(done_len, 0);
    await(2);
    assert_int_equal(calls[0].result, PASSWORD_BUSY);
    assert_int_equal(calls[1].result, PASSWORD_BUSY);
    passwords_free(NULL);
    tickets_free(t);
}

static void test_free_in_the_same_turn(void **state)
{
    struct passwords *p = make((struct password_options){.threads = 2});
    for (int i = 0; i < 4; i++)
        start_hash(p, i, (uint64_t)i);
    passwords_free(p);
    await(4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(calls[i].result, PASSWORD_BUSY);
    assert_int_equal(atomic_load(&world.peak), 0);
}

static void test_free_inside_done(void **state)
{
    struct passwords *p = make((struct password_options){.threads = 1});
    calls[0].free_in_done = p;
    start_hash(p, 0, 1);
    start_hash(p, 1, 2);
    await(2);
    assert_int_equal(calls[0].result, PASSWORD_OK);
    assert_int_equal(calls[1].done, 1);
}

/* ---- tickets -------------------------------------------------------------------------------- */

/* Two workers' worth of threads, two tickets, of which some are held here throughout. */
static void test_tickets_limit(void **state)
{
    for (int held = 0; held < 2; held++) {
        struct tickets *t = tickets_new(2);
        int mine = held ? tickets_take(t, 0) : -1;
        struct passwords *a = make((struct password_options){.tickets = t, .threads = 3});
        struct passwords *b = make((struct password_options){.tickets = t, .threads = 3});
        done_len = 0;
        atomic_store(&world.peak, 0);
        for (int i = 0; i < 40; i++)
            start_hash(i % 2 ? a : b, i, (uint64_t)i);
        await(40);
        for (int i = 0; i < 40; i++)
            assert_int_equal(calls[i].result, PASSWORD_OK);
        assert_in_range(atomic_load(&world.peak), 1, 2 - held);
        await_taken(t, (unsigned)held);
        if (held)
            tickets_give(t, mine);
        passwords_free(a);
        passwords_free(b);
        tickets_free(t);
    }
}

static struct {
    struct tickets *tickets;
    _Atomic(int) hashes_before; /* of *hashes*, when the one who asked got its ticket */
    _Atomic(int) hashes;        /* begun so far */
    _Atomic(pid_t) tid;
} *rival;

static struct passwords *make_rival(void)
{
    rival = mmap(NULL, sizeof *rival, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(rival != MAP_FAILED);
    rival->tickets = tickets_new(1);
    assert_non_null(rival->tickets);
    world.began = &rival->hashes;
    return make((struct password_options){.tickets = rival->tickets});
}

static void free_rival(struct passwords *p)
{
    passwords_free(p);
    assert_int_equal(tickets_taken(rival->tickets), 0);
    tickets_free(rival->tickets);
    world.began = NULL;
    munmap(rival, sizeof *rival);
}

static void *ask_for_it(void *unused)
{
    atomic_store(&rival->tid, (pid_t)syscall(SYS_gettid));
    int ticket = tickets_take(rival->tickets, 3600000);
    atomic_store(&rival->hashes_before, atomic_load(&rival->hashes));
    if (ticket >= 0)
        tickets_give(rival->tickets, ticket);
    return unused;
}

/* The first hash is under way until ask_for_it() asks; then there is one more to do, and a third. */
static void hash_beside(struct passwords *p, void (*let_ask)(void))
{
    pthread_barrier_t two;
    pthread_barrier_init(&two, NULL, 2);
    atomic_store(&world.meet, &two);
    for (int i = 0; i < 3; i++)
        start_hash(p, i, 1);
    loop_run_once(loop, false);
    while (atomic_load(&rival->hashes) == 0)
        sched_yield();
    let_ask();
    atomic_store(&world.meet, NULL);
    pthread_barrier_wait(&two);
    await(3);
    pthread_barrier_destroy(&two);
}

static atomic_int given; /* tickets, in this process */

void __real_tickets_give(struct tickets *t, int ticket);
void __wrap_tickets_give(struct tickets *t, int ticket);

void __wrap_tickets_give(struct tickets *t, int ticket)
{
    atomic_fetch_add(&given, 1);
    __real_tickets_give(t, ticket);
}

static pthread_t rival_thread;

static void let_a_thread_ask(void)
{
    assert_int_equal(pthread_create(&rival_thread, NULL, ask_for_it, NULL), 0);
    while (atomic_load(&rival->tid) == 0)
        sched_yield();
    await_asleep(getpid(), atomic_load(&rival->tid));
}

/* A thread with more to do goes on with its ticket; the others of its worker have no claim to it. */
static void test_ticket_is_kept(void **state)
{
    struct passwords *p = make_rival();
    atomic_store(&given, 0);
    hash_beside(p, let_a_thread_ask);
    assert_int_equal(pthread_join(rival_thread, NULL), 0);
    assert_int_equal(atomic_load(&rival->hashes_before), 3);
    assert_int_equal(atomic_load(&given), 2); /* once each */
    free_rival(p);
}

static pid_t rival_pid;

static void let_a_process_ask(void)
{
    rival_pid = fork();
    assert_true(rival_pid >= 0);
    if (rival_pid == 0) {
        ask_for_it(NULL);
        _exit(0);
    }
    await_asleep(rival_pid, rival_pid);
}

/* But another worker that has none gets it before the next hash. */
static void test_ticket_is_for_all_workers(void **state)
{
    struct passwords *p = make_rival();
    hash_beside(p, let_a_process_ask);
    assert_int_equal(waitpid(rival_pid, NULL, 0), rival_pid);
    assert_int_equal(atomic_load(&rival->hashes_before), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(calls[i].result, PASSWORD_OK);
    free_rival(p);
}

/* Three hashes meet in the middle: with fewer at a time they would wait for ever. */
static void meet_three(struct tickets *t, unsigned threads)
{
    pthread_barrier_t three;
    struct passwords *p = make((struct password_options){.tickets = t, .threads = threads});
    pthread_barrier_init(&three, NULL, 3);
    atomic_store(&world.meet, &three);
    done_len = 0;
    for (int i = 0; i < 6; i++)
        start_hash(p, i, (uint64_t)i);
    await(6);
    passwords_free(p);
    atomic_store(&world.meet, NULL);
    pthread_barrier_destroy(&three);
    assert_int_equal(atomic_load(&world.peak), 3);
}

static void test_as_many_as_tickets(void **state)
{
    struct tickets *t = tickets_new(3);
    meet_three(t, 0);
    await_taken(t, 0);
    tickets_free(t);
    meet_three(NULL, 3);
}

static void test_no_memory(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip();
#endif
    struct tickets *t = tickets_new(1);
    struct passwords *p = make((struct password_options){.tickets = t});
    atomic_store(&world.no_memory, true);
    start_hash(p, 1, 1);
    await(1);
    assert_int_equal(calls[1].result, PASSWORD_NO_MEMORY);
    assert_string_equal(calls[1].hash, "");
    assert_int_equal(verify(p, TEST, SLICE(P4))->result, PASSWORD_NO_MEMORY);
    assert_int_equal(verify(p, TEST, ABSENT)->result, PASSWORD_NO_MEMORY);
    assert_int_equal(counted(COUNTER_hashes), 0);
    await_taken(t, 0);
    atomic_store(&world.no_memory, false);
    assert_int_equal(verify(p, TEST, SLICE(P4))->result, PASSWORD_OK);
    atomic_store(&world.no_memory_to_hash, true);
    assert_int_equal(verify(p, TEST, SLICE(M32_P4))->result, PASSWORD_OK); /* only no new text */
    assert_string_equal(calls[0].hash, "");
    assert_int_equal(verify(p, TEST, SLICE(M8192))->result, PASSWORD_NO_MEMORY);
    passwords_free(p);
    tickets_free(t);
}

/* ---- small things --------------------------------------------------------------------------- */

static void on_any_done(void *ctx, const struct password_reply *reply)
{
    assert_int_equal(reply->result, PASSWORD_BUSY);
}

static void test_retry_after(void **state)
{
    struct tickets *t = taken_tickets(1);
    struct passwords *p = make((struct password_options){.tickets = t, .max_queue = 4000});
    assert_int_equal(password_retry_after_s(p), 1);
    for (int i = 0; i < 40; i++)
        start_hash(p, i, (uint64_t)i);
    /* before the first measurement 100 ms each are assumed */
    assert_int_equal(password_retry_after_s(p), 4);
    for (int i = 0; i < 800; i++)
        assert_non_null(password_hash(p, TEST, (uint64_t)i, on_any_done, NULL));
    assert_int_equal(password_retry_after_s(p), 60);
    passwords_free(p);
    tickets_give(t, 0);
    tickets_free(t);
}

static void test_fair_key(void **state)
{
    uint64_t alice = password_fair_key(SLICE("alice@example.com"));
    assert_true(alice == password_fair_key(SLICE("alice@example.com")));
    assert_true(alice != password_fair_key(SLICE("bob@example.com")));
    assert_true(alice != password_fair_key(SLICE("")));
    /* keyed: not plain SipHash under a zero key */
    unsigned char plain[8];
    unsigned char key[crypto_shorthash_KEYBYTES] = {0};
    crypto_shorthash(plain, (const unsigned char *)"alice@example.com", 17, key);
    assert_memory_not_equal(plain, &alice, sizeof plain);
}

static void test_salt(void **state)
{
    static const struct {
        const char *stored;
        const char *salt; /* NULL: none */
    } rows[] = {
        {P4, SALT},    {M32_SALT8, "MDEyMzQ1Njc"},
        {"$a$b", "a"}, {"a$b$c", "b"},
        {"$$", NULL},  {"$a", NULL},
        {"abc", NULL}, {"", NULL},
        {"$", NULL},   {"a$$b", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice salt = password_salt(slice_of(rows[i].stored));
        assert_int_equal(salt.ptr != NULL, rows[i].salt != NULL);
        assert_true(!rows[i].salt || slice_equals(salt, slice_of(rows[i].salt)));
    }
    assert_null(password_salt(ABSENT).ptr);
}

static atomic_bool core_is_free;

static void *keep_busy(void *unused)
{
    while (!atomic_load(&core_is_free))
        ;
    return unused;
}

/* One hash after the other. */
static void hash_until_raised(struct passwords *p, bool wanted)
{
    bool raised = !wanted;
    for (int i = 0; raised != wanted; i++) {
        assert_true(i < 200);
        done_len = 0;
        uint64_t before = counted(COUNTER_hashes_raised);
        start_hash(p, 0, 1);
        await(1);
        raised = counted(COUNTER_hashes_raised) > before;
    }
}

/* All threads on one core, which two of them want for themselves. The hashes come at normal priority
 * soon, and give way again when there is room. */
static void test_hashes_are_not_starved(void **state)
{
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    pthread_t busy[2];
    atomic_store(&core_is_free, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&busy[i], NULL, keep_busy, NULL), 0);
    struct passwords *p = make((struct password_options){.memory_bytes = 8 << 20, .iterations = 3});
    hash_until_raised(p, true);
    assert_true(counted(COUNTER_hashes) > 1);
    atomic_store(&core_is_free, true);
    hash_until_raised(p, false);
    for (int i = 0; i < 2; i++)
        pthread_join(busy[i], NULL);
    passwords_free(p);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_hash_then_verify),
        CASE(test_verify_stored_texts),
        CASE(test_unknown_account_costs_a_hash),
        CASE(test_verify_at_full_cost),
        CASE(test_rehash),
        CASE(test_full_queue_is_busy),
        CASE(test_an_account_has_its_share),
        CASE(test_accounts_take_turns),
        CASE(test_too_long_in_the_queue),
        CASE(test_cancel),
        CASE(test_free_ends_everything),
        CASE(test_free_in_the_same_turn),
        CASE(test_free_inside_done),
        CASE(test_tickets_limit),
        CASE(test_ticket_is_kept),
        CASE(test_ticket_is_for_all_workers),
        CASE(test_as_many_as_tickets),
        CASE(test_no_memory),
        CASE(test_retry_after),
        CASE(test_hashes_are_not_starved),
        CASE(test_fair_key),
        CASE(test_salt),
    };
    alarm(300);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
