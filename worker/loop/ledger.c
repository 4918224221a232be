/* ledger.c: see ledger.h. A hash table with chains by address, and a number per entry for their
 * order; one lock, because statements and results are made on threads. */
#include "worker/loop/ledger.h"

#include "shared/log.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, LABEL_MAX = 80, LINES_MAX = 100 };

struct entry {
    struct entry *next; /* of the bucket */
    const void *what;
    const char *made_at;
    uint64_t number;
    enum ledger_kind kind;
    enum ledger_stage stage;
    char label[LABEL_MAX];
};

static struct {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    uint64_t next_number;
    bool no_memory; /* and said so */
} ledger = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kind_names[] = {
#define X(name, text) [LEDGER_##name] = text,
    LEDGER_KINDS(X)
#undef X
};

static const char *const stage_texts[] = {
#define X(name, text) [LEDGER_##name] = text,
    LEDGER_STAGES(X)
#undef X
};

/* ---- entries; lock held ---------------------------------------------------------------------- */

static struct entry **bucket_of(const void *what)
{
    uint64_t hash = (uint64_t)(uintptr_t)what * UINT64_C(0x9E3779B97F4A7C15);
    return &ledger.buckets[hash >> 52];
}

static struct entry **find(enum ledger_kind kind, const void *what)
{
    struct entry **at = bucket_of(what);
    while (*at && ((*at)->what != what || (*at)->kind != kind))
        at = &(*at)->next;
    return at;
}

static void say(const struct entry *e)
{
    log_warning("debug: %s %s%s%s%s, made at %s", kind_names[e->kind], stage_texts[e->stage],
                e->label[0] ? " (" : "", e->label, e->label[0] ? ")" : "", e->made_at);
}

static void remove_at(struct entry **at)
{
    struct entry *gone = *at;
    *at = gone->next;
    free(gone);
}

/* ---- entering and striking out --------------------------------------------------------------- */

_Static_assert(BUCKETS == 1 << (64 - 52), "the hash's upper bits choose the bucket");

void ledger_enter(enum ledger_kind kind, const void *what, enum ledger_stage stage,
                  const char *made_at)
{
    struct entry *e = malloc(sizeof *e);
    pthread_mutex_lock(&ledger.lock);
    struct entry **before = find(kind, what);
    if (*before) {
        if ((*before)->stage == LEDGER_NEVER_STARTED)
            say(*before);
        remove_at(before);
    }
    if (e) {
        struct entry **bucket = bucket_of(what);
        *e = (struct entry){*bucket, what, made_at, ledger.next_number++, kind, stage, ""};
        *bucket = e;
    } else if (!ledger.no_memory) {
        ledger.no_memory = true;
        log_warning("debug: out of memory; reports of what is left open are incomplete");
    }
    pthread_mutex_unlock(&ledger.lock);
}

void ledger_move(enum ledger_kind kind, const void *what, enum ledger_stage stage)
{
    pthread_mutex_lock(&ledger.lock);
    struct entry *e = *find(kind, what);
    if (e)
        e->stage = stage;
    pthread_mutex_unlock(&ledger.lock);
}

void ledger_drop(enum ledger_kind kind, const void *what)
{
    pthread_mutex_lock(&ledger.lock);
    struct entry **at = find(kind, what);
    if (*at)
        remove_at(at);
    pthread_mutex_unlock(&ledger.lock);
}

void ledger_label(enum ledger_kind kind, const void *what, const char *label, size_t len)
{
    pthread_mutex_lock(&ledger.lock);
    struct entry *e = *find(kind, what);
    if (e) {
        size_t n = len < LABEL_MAX ? len : LABEL_MAX - 1;
        memcpy(e->label, label, n);
        e->label[n] = '\0';
    }
    pthread_mutex_unlock(&ledger.lock);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Takes everything out, as one list in no order. */
static struct entry *take_all(size_t *len_r)
{
    struct entry *all = NULL;
    *len_r = 0;
    pthread_mutex_lock(&ledger.lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (ledger.buckets[i]) {
            struct entry *e = ledger.buckets[i];
            ledger.buckets[i] = e->next;
            e->next = all;
            all = e;
            ++*len_r;
        }
    }
    pthread_mutex_unlock(&ledger.lock);
    return all;
}

static void free_all(struct entry *e)
{
    while (e) {
        struct entry *next = e->next;
        free(e);
        e = next;
    }
}

static int by_number(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    return (x->number > y->number) - (x->number < y->number);
}

/* The list as an array, oldest first. NULL without memory. */
static struct entry **sort(struct entry *first, size_t len)
{
    struct entry **sorted = calloc(len + 1, sizeof(struct entry *));
    size_t n = 0;
    for (struct entry *e = first; sorted && e; e = e->next)
        sorted[n++] = e;
    if (sorted)
        qsort(sorted, len, sizeof(struct entry *), by_number);
    return sorted;
}

unsigned ledger_report(bool (*has_ended)(enum ledger_kind kind, const void *what))
{
    size_t len;
    struct entry *all = take_all(&len), **sorted = sort(all, len);
    unsigned total = 0;
    for (size_t i = 0; sorted && i < len; i++) {
        if (has_ended && has_ended(sorted[i]->kind, sorted[i]->what))
            continue;
        if (total++ < LINES_MAX)
            say(sorted[i]);
    }
    if (total > LINES_MAX)
        log_warning("debug: and %u more", total - LINES_MAX);
    if (!sorted)
        log_warning("debug: %zu things are still open; no memory to say which", len);
    free(sorted);
    free_all(all);
    return total;
}

void ledger_clear(void)
{
    size_t len;
    free_all(take_all(&len));
}
