/* tool_calibrate.c: `colmeia calibrate`. See tools.h. Hashes as the workers do: through the same
 * threads, as many at a time as there are tickets. */
#include "shared/clock.h"
#include "shared/machine.h"
#include "worker/auth/password.h"
#include "worker/tools/calibrate.h"
#include "worker/tools/tool.h"
#include "worker/tools/tools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char verb[] = "calibrate";

enum {
    BUDGET_US = 20000000,
    BUDGET_QUICK_US = 5000000,
    ROUNDS = 3,              /* of one measurement; the fastest counts, for others only disturb */
    ROUNDS_UNTIL_US = 300000 /* a slow hash needs no repetition */
};

struct bench {
    struct loop *loop;
    unsigned tickets;
    unsigned open;  /* hashes begun and not done */
    bool strong;    /* a cost that can be recommended was measured */
    bool no_memory; /* one of them did not get its memory */
    int64_t until_us;
    int64_t memory_max; /* for all tickets together */
    bool terminal;
};

/* ---- one measurement ------------------------------------------------------------------------- */

static void on_hash(void *ctx, const struct password_reply *reply)
{
    struct bench *b = ctx;
    b->no_memory |= reply->result != PASSWORD_OK;
    b->open--;
}

/* So many at once, to the end of the last; microseconds, 0: no memory. */
static int64_t one_round(struct bench *b, struct passwords *p, unsigned at_once)
{
    int64_t began_us = clock_now_us();
    b->no_memory = false;
    for (unsigned i = 0; i < at_once; i++) {
        if (password_hash(p, SLICE("colmeia calibrate"), i, on_hash, b))
            b->open++;
        else
            b->no_memory = true;
    }
    while (b->open > 0)
        loop_run_once(b->loop, true);
    return b->no_memory ? 0 : clock_now_us() - began_us;
}

static int64_t measure(struct bench *b, const struct calibrate_row *row, unsigned at_once)
{
    int64_t best_us = 0, began_us = clock_now_us();
    struct passwords *p =
        passwords_new(b->loop, &(struct password_options){.memory_bytes = row->memory_bytes,
                                                          .iterations = row->passes,
                                                          .threads = at_once,
                                                          .max_queue = 4 * at_once,
                                                          .queue_timeout_ms = BUDGET_US / 1000});
    for (int i = 0; p && i < ROUNDS && clock_now_us() - began_us < ROUNDS_UNTIL_US; i++) {
        int64_t us = one_round(b, p, at_once);
        if (us > 0 && (best_us == 0 || us < best_us))
            best_us = us;
    }
    passwords_free(p);
    loop_run_once(b->loop, false);
    return best_us;
}

static void show_progress(const struct bench *b, const struct calibrate_row *row, size_t i,
                          size_t len)
{
    if (!b->terminal)
        return;
    fprintf(stderr, "\rmeasuring %lldm, %d (%zu of %zu) ", (long long)(row->memory_bytes >> 20),
            row->passes, i + 1, len);
    fflush(stderr);
}

static void end_progress(const struct bench *b)
{
    if (!b->terminal)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

/* The time it takes is about known from the row before: a multiple of the same work. However long
 * it takes, there is something to recommend in the end. */
static bool is_time_for(const struct bench *b, const struct calibrate_row *row,
                        const struct calibrate_row *last)
{
    int64_t now_us = clock_now_us();
    if (!last || !b->strong)
        return true;
    double work = (double)row->memory_bytes * row->passes;
    double last_work = (double)last->memory_bytes * last->passes;
    double guess = (double)(last->alone_us + last->busy_us) * work / last_work;
    return (double)now_us + guess < (double)b->until_us;
}

static enum exit_code measure_all(struct bench *b, struct calibrate_row *rows, size_t len)
{
    struct buf out = {0};
    const struct calibrate_row *last = NULL;
    enum exit_code code = EXIT_CODE_OK;
    calibrate_head(&out);
    for (size_t i = 0; i < len && code == EXIT_CODE_OK; i++) {
        struct calibrate_row *row = &rows[i];
        show_progress(b, row, i, len);
        if (row->memory_bytes * b->tickets <= b->memory_max && is_time_for(b, row, last)) {
            row->alone_us = measure(b, row, 1);
            row->busy_us = b->tickets > 1 ? measure(b, row, b->tickets) : row->alone_us;
            last = row->busy_us > 0 ? row : last;
            b->strong |= row->busy_us > 0 && calibrate_is_strong(row);
        }
        end_progress(b);
        calibrate_line(&out, row, b->tickets);
        if (!tool_print(verb, &out))
            code = EXIT_CODE_FAILED;
    }
    buf_free(&out);
    return code;
}

/* ---- what comes of it ------------------------------------------------------------------------ */

static void remark(struct buf *out, const struct calibrate_row *rows, size_t len)
{
    double load;
    bool all = true;
    for (size_t i = 0; i < len; i++)
        all &= rows[i].busy_us > 0;
    if (!all)
        buf_printf(out, "\n-: not measured, for want of time or of memory.\n");
    if (getloadavg(&load, 1) == 1 && load > 0.5 + (double)tickets_wanted())
        buf_printf(out, "\nOther programs keep this machine busy (load %.1f): idle it is faster.\n",
                   load);
}

static enum exit_code recommend(const struct bench *b, const struct calibrate_row *rows, size_t len,
                                int64_t target_us, const struct config *config)
{
    struct buf out = {0};
    bool fits;
    const struct calibrate_row *best =
        calibrate_choose(rows, len, target_us, b->tickets, b->memory_max, &fits);
    remark(&out, rows, len);
    if (!best) {
        tool_say(verb, "nothing could be measured: too little memory is free");
        buf_free(&out);
        return EXIT_CODE_FAILED;
    }
    buf_printf(&out, "\nFor a login within %lld ms while all %u tickets are in use",
               (long long)(target_us / 1000), b->tickets);
    if (!fits)
        buf_printf(&out, " nothing is fast enough; the least that is still good, %lld ms",
                   (long long)(best->busy_us / 1000));
    buf_printf(
        &out, ":\n\n[auth]\nhash_memory = %lldm\nhash_iterations = %d\n\n(now: %lldk, %lld)\n",
        (long long)(best->memory_bytes >> 20), best->passes,
        (long long)(config->auth_hash_memory >> 10), (long long)config->auth_hash_iterations);
    bool printed = tool_print(verb, &out);
    buf_free(&out);
    return printed ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/* Half of what is free: the server and its page cache want to live, too. */
static int64_t memory_for_hashes(void)
{
    int64_t free_bytes = machine_memory_free_bytes();
    return free_bytes < 0 ? INT64_MAX : free_bytes / 2;
}

static enum exit_code run(const struct config *config, bool quick, int64_t target_us)
{
    struct calibrate_row rows[CALIBRATE_ROWS_MAX];
    struct bench b = {.loop = loop_new(),
                      .tickets = tickets_wanted(),
                      .until_us = clock_now_us() + (quick ? BUDGET_QUICK_US : BUDGET_US),
                      .memory_max = memory_for_hashes(),
                      .terminal = isatty(STDERR_FILENO)};
    if (!b.loop) {
        tool_say(verb, "cannot begin: %s", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    printf("argon2id, %u at a time: one for each core that may be used\n\n", b.tickets);
    size_t len = calibrate_rows(quick, rows);
    enum exit_code code = measure_all(&b, rows, len);
    if (code == EXIT_CODE_OK)
        code = recommend(&b, rows, len, target_us, config);
    loop_free(b.loop);
    return code;
}

int tools_calibrate(const struct entry *entry)
{
    bool quick = false;
    const char *target = "250ms";
    int64_t target_us;
    tool_obey_keys();
    const struct tool_option options[] = {{"--quick", &quick, NULL}, {"--target", NULL, &target}};
    struct tool_words words;
    if (!tool_words(verb, entry->argc, entry->argv, options, 2, &words))
        return EXIT_CODE_USAGE;
    if (words.len == 0 && calibrate_target(slice_of(target), &target_us))
        return run(entry->config, quick, target_us);
    if (words.len > 0)
        tool_say(verb, "it takes no word; try \"colmeia calibrate --help\"");
    else
        tool_say(verb, "--target %s is no time from 10ms to 10s", target);
    return EXIT_CODE_USAGE;
}
