/* password.c: see password.h. Jobs lie in private memory (shared/private.h), which keeps passwords
 * out of core dumps and leaves nothing in the heap.
 *
 * Thread: hashing threads read of struct passwords only what never changes after passwords_new(), and
 * *closing*; each has one of *hashers* for itself, and of a job everything while it is theirs. So has
 * its companion (priority.h), while the thread waits for it. */
#include "worker/auth/password.h"

#include "shared/check.h"
#include "shared/private.h"
#include "worker/auth/compare.h"
#include "worker/auth/hash_memory.h"
#include "worker/auth/priority.h"
#include "worker/loop/executor.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    QUEUE_DEFAULT = 256,
    QUEUE_TIMEOUT_DEFAULT_MS = 10000,
    SHARES = 64,           /* accounts are counted by fair key modulo this */
    SHARE_MIN = 4,         /* one account may always have this many queued */
    TICKET_WAIT_MS = 1000, /* how soon it is seen that jobs are cancelled while there is no ticket */
    FIRST_GUESS_US = 100000,
    RETRY_MAX_S = 60,
    HOLD_US = 1000, /* far below a hash that is worth its name */
    JOB_BYTES = 4096, /* of a slab; a job with a longer password has memory of its own */
    SLAB_BYTES = 64 * JOB_BYTES
};

/* Highest memory times passes of a stored text, in KiB: some seconds of one core. */
#define WORK_MAX_KIB (UINT64_C(16) << 20)

struct passwords {
    struct password_options options;
    struct loop *loop;         /* borrowed */
    struct executor *executor; /* NULL once freed */
    uint64_t memory_kib;
    uint64_t passes;
    char dummy[PHC_TEXT_MAX + 1]; /* verified in place of an unknown or unusable text */
    struct hasher *hashers;       /* as many as threads; owned */
    atomic_uint hashers_len;
    atomic_bool closing;

    /* loop thread only */
    unsigned jobs;           /* begun and not done; keeps this memory after passwords_free() */
    struct job *free_jobs;   /* wiped, linked by task.next */
    struct slab *slabs;      /* where they lie; owned */
    unsigned queued[SHARES]; /* of them by account */
    int64_t average_us;      /* of a hash */
};

/* What a hashing thread has for itself. A ticket is kept from one hash to the next: a thread that
 * goes on costs the machine less, and those who share a core with it wake up sooner, than two that
 * take turns. */
struct hasher {
    struct passwords *passwords; /* borrowed */
    int ticket;                  /* -1: none */
    struct priority priority;
};

struct job {
    struct task task;        /* first */
    struct passwords *owner; /* borrowed; counted in its *jobs* */
    password_done_fn *done;
    void *ctx;
    bool is_verify;
    bool is_known;                 /* *stored* is the account's own text, not the dummy */
    struct phc phc;                /* of *stored* */
    char stored[PHC_TEXT_MAX + 1]; /* NUL-terminated, rest zero */
    enum password_result result;
    int64_t took_us;
    bool raised; /* made at normal priority (priority.h) */
    char made[PHC_TEXT_MAX + 1];
    size_t made_len; /* 0: none */
    size_t password_len;
    char password[];
};

/* A hash begins with a mapping of all its memory, which MAP_POPULATE fills at once (libsodium), and
 * whoever maps or unmaps meanwhile waits for it, for tens of ms: the loop must not. So jobs are
 * taken from slabs, which are mapped once. */
struct slab {
    struct slab *next;
    char *jobs; /* SLAB_BYTES */
};

/* ---- on a hashing thread --------------------------------------------------------------------- */

/* A new text at the configured cost. False without memory. */
static bool make_text(const struct passwords *p, struct job *j,
                      const unsigned char salt[static PHC_SALT_LEN])
{
    unsigned char tag[PHC_TAG_LEN];
    if (crypto_pwhash(tag, sizeof tag, j->password, j->password_len, salt, p->passes,
                      (size_t)p->memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13))
        return false;
    j->made_len = phc_format(j->made, p->memory_kib, p->passes, salt, tag);
    sodium_memzero(tag, sizeof tag);
    return true;
}

static enum password_result do_hash(const struct passwords *p, struct job *j)
{
    unsigned char salt[PHC_SALT_LEN];
    randombytes_buf(salt, sizeof salt);
    return make_text(p, j, salt) ? PASSWORD_OK : PASSWORD_NO_MEMORY;
}

static enum password_result do_verify(const struct passwords *p, struct job *j)
{
    enum password_result result = compare(&j->phc, j->stored, (struct slice){j->password, j->password_len});
    if (result == PASSWORD_OK && !j->is_known)
        result = PASSWORD_MISMATCH;
    if (result != PASSWORD_OK)
        return result;
    /* the salt stays, and with it the pwv of the tokens already given out; failure costs nothing */
    if ((j->phc.memory_kib < p->memory_kib || j->phc.passes < p->passes) &&
        j->phc.salt_len == PHC_SALT_LEN)
        make_text(p, j, j->phc.salt);
    return PASSWORD_OK;
}

static void *thread_open(void *ctx)
{
    struct passwords *p = ctx;
    struct hasher *h = &p->hashers[atomic_fetch_add(&p->hashers_len, 1)];
    *h = (struct hasher){.passwords = p, .ticket = -1};
    hash_memory_open();
    priority_open(&h->priority);
    return h;
}

/* Waits for a ticket before a job is taken: those who wait keep no account's turn. */
static bool begin(void *thread_state, mono_ms until)
{
    struct hasher *h = thread_state;
    const struct passwords *p = h->passwords;
    if (!p->options.tickets || h->ticket >= 0 || atomic_load(&p->closing))
        return true;
    int64_t left_ms = mono_diff_ms(until, clock_now()) + 1; /* until it is too late for a job */
    h->ticket = tickets_await(p->options.tickets, left_ms < TICKET_WAIT_MS ? left_ms : TICKET_WAIT_MS,
                              &p->closing);
    return h->ticket >= 0 || atomic_load(&p->closing);
}

static void rest(void *thread_state)
{
    struct hasher *h = thread_state;
    if (h->ticket >= 0)
        tickets_give(h->passwords->options.tickets, h->ticket);
    h->ticket = -1;
}

static void thread_close(void *thread_state)
{
    struct hasher *h = thread_state;
    priority_close(&h->priority);
    hash_memory_close();
}

/* On the thread that priority_do() chooses. */
static void make_hash(void *arg)
{
    struct job *j = arg;
    j->result = j->is_verify ? do_verify(j->owner, j) : do_hash(j->owner, j);
}

static void do_job(struct hasher *h, struct job *j)
{
    int64_t began_us = clock_now_us();
    if (h->passwords->options.tickets && h->ticket < 0) /* closing */
        j->result = PASSWORD_BUSY;
    else
        j->raised = priority_do(&h->priority, make_hash, j);
    sodium_memzero(j->password, j->password_len);
    j->took_us = clock_now_us() - began_us;
}

static void run(void *thread_state, struct task *first)
{
    struct hasher *h = thread_state;
    if (first)
        do_job(h, (struct job *)first); /* max_batch is 1 */
    if (h->ticket >= 0 && !tickets_may_keep(h->passwords->options.tickets))
        rest(h);
}

/* ---- on the loop's thread -------------------------------------------------------------------- */

static unsigned share_of(const struct task *t)
{
    return (unsigned)(t->fair_key % SHARES);
}

static void count_hash(const struct passwords *p, const struct job *j)
{
    counter_add(p->options.slot, COUNTER_hashes, 1);
    counter_add(p->options.slot, COUNTER_hashes_raised, j->raised);
    histogram_note(&p->options.slot->series[TIMED_hash], j->took_us);
}

static void count(const struct passwords *p, const struct job *j)
{
    if (!p->options.slot || task_is_cancelled(&j->task))
        return;
    if (j->result == PASSWORD_OK || j->result == PASSWORD_MISMATCH)
        count_hash(p, j);
    else if (j->result == PASSWORD_BUSY && p->executor)
        counter_add(p->options.slot, COUNTER_hashes_refused, 1);
}

static void push_free(struct passwords *p, struct job *j)
{
    j->task.next = (struct task *)p->free_jobs;
    p->free_jobs = j;
}

/* More free jobs, each touched here once and for all. False without memory. */
static bool add_slab(struct passwords *p)
{
    struct slab *slab = malloc(sizeof *slab);
    char *jobs = slab ? private_new(SLAB_BYTES) : NULL;
    if (!jobs) {
        free(slab);
        return false;
    }
    *slab = (struct slab){.next = p->slabs, .jobs = jobs};
    p->slabs = slab;
    for (size_t at = 0; at < SLAB_BYTES; at += JOB_BYTES)
        push_free(p, (struct job *)(void *)(jobs + at));
    return true;
}

static void free_slabs(struct passwords *p)
{
    while (p->slabs) {
        struct slab *slab = p->slabs;
        p->slabs = slab->next;
        private_free(slab->jobs, SLAB_BYTES);
        free(slab);
    }
}

static void job_free(struct passwords *p, struct job *j)
{
    size_t len = sizeof *j + j->password_len;
    if (len > JOB_BYTES) {
        private_free(j, len);
        return;
    }
    sodium_memzero(j, len);
    push_free(p, j);
}

static void free_all(struct passwords *p)
{
    free_slabs(p);
    free(p->hashers);
    free(p);
}

static void free_if_over(struct passwords *p)
{
    if (p->jobs == 0 && !p->executor)
        free_all(p);
}

static void on_job_done(struct task *t)
{
    struct job *j = (struct job *)t;
    struct passwords *p = j->owner;
    if (t->outcome == TASK_RAN)
        p->average_us += (j->took_us - p->average_us) / 8;
    else
        j->result = PASSWORD_BUSY;
    count(p, j);
    p->queued[share_of(t)]--;
    struct password_reply reply = {.result = j->result};
    if (j->result == PASSWORD_OK && j->made_len)
        reply.hash = (struct slice){j->made, j->made_len};
    j->done(j->ctx, &reply);
    job_free(p, j);
    /* only now: done() may call passwords_free() */
    p->jobs--;
    free_if_over(p);
}

/* Zeroed, with room for so long a password: one of a slab's, or, for a giant, memory of its own.
 * NULL without memory. */
static struct job *job_alloc(struct passwords *p, size_t password_len)
{
    size_t len = sizeof(struct job) + password_len;
    if (len > JOB_BYTES)
        return private_new(len);
    if (!p->free_jobs && !add_slab(p))
        return NULL;
    struct job *j = p->free_jobs;
    p->free_jobs = (struct job *)j->task.next;
    j->task.next = NULL;
    return j;
}

/* A job with a copy of the password. NULL without memory. */
static struct job *job_new(struct passwords *p, struct slice password, uint64_t fair_key,
                           password_done_fn *done, void *ctx, const char *made_at)
{
    struct job *j = job_alloc(p, password.len);
    if (!j)
        return NULL;
    task_init_at(&j->task, p->loop, on_job_done, made_at);
    j->task.fair_key = fair_key;
    j->task.deadline = mono_add(clock_now(), p->options.queue_timeout_ms);
    j->owner = p;
    j->done = done;
    j->ctx = ctx;
    j->password_len = password.len;
    if (password.len)
        memcpy(j->password, password.ptr, password.len);
    return j;
}

static struct task *job_start(struct passwords *p, struct job *j)
{
    unsigned share = p->options.max_queue / 4;
    if (share < SHARE_MIN)
        share = SHARE_MIN;
    bool fits = p->queued[share_of(&j->task)] < share;
    p->queued[share_of(&j->task)]++;
    p->jobs++;
    if (!fits || !executor_submit(p->executor, &j->task)) {
        sodium_memzero(j->password, j->password_len);
        task_begin(&j->task);
        task_complete(&j->task, TASK_REFUSED);
    }
    return &j->task;
}

/* Random salt and tag at the configured cost: no password matches it, but trying takes its time. */
static void make_dummy(struct passwords *p)
{
    unsigned char salt[PHC_SALT_LEN];
    unsigned char tag[PHC_TAG_LEN];
    randombytes_buf(salt, sizeof salt);
    randombytes_buf(tag, sizeof tag);
    phc_format(p->dummy, p->memory_kib, p->passes, salt, tag);
}

static void fill_defaults(struct password_options *o)
{
    if (o->threads == 0)
        o->threads = o->tickets ? tickets_count(o->tickets) : 1;
    if (o->max_queue == 0)
        o->max_queue = QUEUE_DEFAULT;
    if (o->queue_timeout_ms == 0)
        o->queue_timeout_ms = QUEUE_TIMEOUT_DEFAULT_MS;
}

struct passwords *passwords_new(struct loop *l, const struct password_options *options)
{
    ASSERT(options->memory_bytes >= (int64_t)crypto_pwhash_MEMLIMIT_MIN &&
           options->memory_bytes / 1024 <= PHC_MEMORY_MAX_KIB);
    ASSERT(options->iterations >= 1 && options->iterations <= PHC_PASSES_MAX);
    struct passwords *p = sodium_init() < 0 ? NULL : calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->options = *options;
    fill_defaults(&p->options);
    p->loop = l;
    p->memory_kib = (uint64_t)options->memory_bytes / 1024;
    p->passes = (uint64_t)options->iterations;
    p->average_us = FIRST_GUESS_US;
    atomic_init(&p->closing, false);
    make_dummy(p);
    p->executor = executor_new(l, &(struct executor_options){.name = "hash",
                                                             .threads = p->options.threads,
                                                             .max_queue = p->options.max_queue,
                                                             .max_batch = 1,
                                                             .hold_us = HOLD_US,
                                                             .fair = true,
                                                             .thread_open = thread_open,
                                                             .begin = begin,
                                                             .run = run,
                                                             .rest = rest,
                                                             .thread_close = thread_close,
                                                             .ctx = p});
    p->hashers = calloc(p->options.threads, sizeof *p->hashers);
    if (!p->executor || !p->hashers || !add_slab(p)) {
        executor_free(p->executor, true);
        free_all(p);
        return NULL;
    }
    return p;
}

void passwords_free(struct passwords *p)
{
    if (!p)
        return;
    LOOP_ASSERT_OWNER(p->loop);
    atomic_store(&p->closing, true);
    if (p->options.tickets)
        tickets_wake(p->options.tickets);
    executor_free(p->executor, true);
    p->executor = NULL;
    free_if_over(p);
}

struct task *(password_hash)(struct passwords *p, struct slice password, uint64_t fair_key,
                             password_done_fn *done, void *ctx, const char *made_at)
{
    LOOP_ASSERT_OWNER(p->loop);
    struct job *j = job_new(p, password, fair_key, done, ctx, made_at);
    return j ? job_start(p, j) : NULL;
}

/* A text whose cost is out of proportion would let one row hold a core for minutes. */
static bool affordable(const struct passwords *p, const struct phc *phc)
{
    uint64_t work = phc->memory_kib * phc->passes;
    return work <= WORK_MAX_KIB || work <= p->memory_kib * p->passes;
}

struct task *(password_verify)(struct passwords *p, struct slice password, struct slice stored,
                               uint64_t fair_key, password_done_fn *done, void *ctx,
                               const char *made_at)
{
    LOOP_ASSERT_OWNER(p->loop);
    struct job *j = job_new(p, password, fair_key, done, ctx, made_at);
    if (!j)
        return NULL;
    j->is_verify = true;
    j->is_known = stored.ptr && phc_parse(stored, &j->phc) && affordable(p, &j->phc);
    struct slice text = j->is_known ? stored : slice_of(p->dummy);
    memcpy(j->stored, text.ptr, text.len); /* phc_parse() bounds it; the rest is zero */
    ASSERT(j->is_known || phc_parse(text, &j->phc));
    return job_start(p, j);
}

uint64_t password_fair_key(struct slice account)
{
    static unsigned char key[crypto_shorthash_KEYBYTES]; /* loop thread only */
    static bool has_key;
    if (!has_key) {
        randombytes_buf(key, sizeof key);
        has_key = true;
    }
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t value;
    crypto_shorthash(hash, (const unsigned char *)account.ptr, account.len, key);
    _Static_assert(sizeof hash == sizeof value, "SipHash-2-4 is 64 bits");
    memcpy(&value, hash, sizeof value);
    return value;
}

unsigned passwords_queued(const struct passwords *p)
{
    LOOP_ASSERT_OWNER(p->loop);
    return p->jobs;
}

/* How many hashes it does at a time now, beside those of others. At least 1. */
static unsigned at_a_time(const struct passwords *p)
{
    unsigned held = p->options.tickets ? tickets_held(p->options.tickets, getpid()) : p->options.threads;
    return held ? held : 1;
}

int password_retry_after_s(const struct passwords *p)
{
    LOOP_ASSERT_OWNER(p->loop);
    if (!p->executor)
        return 1;
    int64_t us = (int64_t)executor_queued(p->executor) * p->average_us / at_a_time(p);
    int64_t s = (us + 999999) / 1000000;
    return s < 1 ? 1 : s > RETRY_MAX_S ? RETRY_MAX_S : (int)s;
}

/* ---- on any thread --------------------------------------------------------------------------- */

struct slice password_salt(struct slice stored)
{
    const char *last = stored.len ? memrchr(stored.ptr, '$', stored.len) : NULL;
    size_t before = last ? (size_t)(last - stored.ptr) : 0;
    const char *first = before ? memrchr(stored.ptr, '$', before) : NULL;
    if (!first || first + 1 == last)
        return (struct slice){NULL, 0};
    return (struct slice){first + 1, (size_t)(last - first - 1)};
}
