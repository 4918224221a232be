/* ceil_jobs.c: see ceil.h. One hashing and one writing thread in each worker. */
#define _GNU_SOURCE
#include "ceil.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, **end;
};

#define EMPTY(queue) {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &(queue).first}

static struct queue to_hash = EMPTY(to_hash), to_write = EMPTY(to_write), done = EMPTY(done);
static unsigned long long passes = 3;
static size_t memory = 64 << 20;

/* Puts a list at the end. */
static void push(struct queue *q, struct job *jobs)
{
    pthread_mutex_lock(&q->lock);
    *q->end = jobs;
    while (*q->end)
        q->end = &(*q->end)->next;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

static struct job *take_all_locked(struct queue *q)
{
    struct job *jobs = q->first;
    q->first = NULL;
    q->end = &q->first;
    return jobs;
}

static struct job *take_one_locked(struct queue *q)
{
    struct job *job = q->first;
    q->first = job->next;
    if (!q->first)
        q->end = &q->first;
    job->next = NULL;
    return job;
}

static struct job *await(struct queue *q, struct job *(*take)(struct queue *q))
{
    pthread_mutex_lock(&q->lock);
    while (!q->first)
        pthread_cond_wait(&q->filled, &q->lock);
    struct job *jobs = take(q);
    pthread_mutex_unlock(&q->lock);
    return jobs;
}

static void finish(struct job *jobs)
{
    push(&done, jobs);
    loop_wake();
}

static void *hash(void *unused)
{
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    for (;;) {
        struct job *job = await(&to_hash, take_one_locked);
        size_t len = strlen(job->password);
        if (job->signs_up)
            job->good = crypto_pwhash_str_alg(job->hash, job->password, len, passes, memory,
                                              crypto_pwhash_ALG_ARGON2ID13) == 0;
        else
            job->good = crypto_pwhash_str_verify(job->hash, job->password, len) == 0;
        if (job->signs_up && job->good)
            push(&to_write, job);
        else
            finish(job);
    }
    return unused;
}

static void *write_all(void *unused)
{
    for (;;) {
        struct job *jobs = await(&to_write, take_all_locked);
        store_sign_up(jobs);
        finish(jobs);
    }
    return unused;
}

void jobs_start(void)
{
    const char *kib = getenv("BENCH_HASH_KIB"), *times = getenv("BENCH_HASH_PASSES");
    pthread_t thread;
    if (kib)
        memory = strtoul(kib, NULL, 10) << 10;
    if (times)
        passes = strtoul(times, NULL, 10);
    if (pthread_create(&thread, NULL, hash, NULL) || pthread_create(&thread, NULL, write_all, NULL)) {
        fprintf(stderr, "ceil: no threads\n");
        _exit(1);
    }
}

void jobs_add(struct job *job)
{
    push(&to_hash, job);
}

struct job *jobs_done(void)
{
    pthread_mutex_lock(&done.lock);
    struct job *jobs = take_all_locked(&done);
    pthread_mutex_unlock(&done.lock);
    return jobs;
}
