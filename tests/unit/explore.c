/* explore.c: see explore.h. */
#include "explore_internal.h"

#include "shared/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sup_settings settings_of(const struct world *w)
{
    int64_t two = w->long_times ? 2 * UNIT_MS : UNIT_MS;
    return (struct sup_settings){
        .workers = w->workers,
        .workers_max = w->room,
        .migrate = w->jobs,
        .checkpoint = w->jobs,
        .boot_timeout_ms = two,
        .graceful_timeout_ms = two,
        .min_ready_ms = UNIT_MS,
        .stable_ms = 2 * UNIT_MS,
        .give_up_ms = 2 * UNIT_MS,
        .quick_ms = UNIT_MS,
        .quick_kill_ms = UNIT_MS,
        .kill_ms = two,
        .checkpoint_ms = UNIT_MS,
        .check_ms = UNIT_MS,
        .settle_ms = UNIT_MS,
        .hung_gap_ms = 2 * UNIT_MS,
        .stop_delay_ms = w->delays ? UNIT_MS : 0,
        .interrupt_again_ms = UNIT_MS,
        .boot_failures_max = 3,
        .backoff = {.first_ms = UNIT_MS, .max_ms = w->long_times ? 4 * UNIT_MS : UNIT_MS},
        /* else more than any story takes: the bucket is left out of the key */
        .forks_burst = w->few_forks ? 2 : 1 << 30,
        .forks_per_s = 1,
    };
}

/* ---- states in memory ------------------------------------------------------------------------ */

void explore_save(const struct exploration *x, uint64_t *image)
{
    unsigned char *at = (unsigned char *)image;
    memcpy(at, &x->sim.now, sizeof x->sim.now);
    memcpy(at + sizeof x->sim.now, x->sim.s, x->supervisor_size);
    memcpy(at + sizeof x->sim.now + x->supervisor_size, &x->sim.memory, sim_memory_size(&x->sim));
}

/* The present node's state. */
void explore_load(struct exploration *x)
{
    const unsigned char *at = (const unsigned char *)x->image;
    memcpy(&x->sim.now, at, sizeof x->sim.now);
    memcpy(x->sim.s, at + sizeof x->sim.now, x->supervisor_size);
    memcpy(&x->sim.memory, at + sizeof x->sim.now + x->supervisor_size, sim_memory_size(&x->sim));
    x->sim.next_pid = 100;
    for (size_t i = 0; i < x->sim.s->slots_len; i++)
        if (x->sim.s->slots[i].pid >= x->sim.next_pid)
            x->sim.next_pid = x->sim.s->slots[i].pid + 1;
    x->sim.exited = false;
}

void explore_queue(struct exploration *x, unsigned depth, bool twin)
{
    static uint64_t image[IMAGE_WORDS], others[IMAGE_WORDS];
    struct node head = {.depth = depth, .twin = twin};
    size_t len = 0;
    explore_save(x, image);
    for (size_t i = 0; i < x->image_words; i++) {
        if (image[i] == x->origin[i])
            continue;
        head.mask[i / 64] |= UINT64_C(1) << i % 64;
        others[len++] = image[i];
    }
    struct node *node = malloc(sizeof *node + len * sizeof others[0]);
    assert_non_null(node);
    *node = head;
    memcpy(node->words, others, len * sizeof others[0]);
    *x->last = node;
    x->last = &node->next;
}

static void look_at(struct exploration *x, const struct node *node)
{
    const uint64_t *word = node->words;
    for (size_t i = 0; i < x->image_words; i++)
        x->image[i] = node->mask[i / 64] >> i % 64 & 1 ? *word++ : x->origin[i];
}

/* ---- judging --------------------------------------------------------------------------------- */

_Noreturn void explore_broken(const struct exploration *x, unsigned depth, const char *what)
{
    const struct supervisor *s = x->sim.s;
    print_message("phase %s, %s, step %s, kind %d\n", sup_phase_name(s->phase),
                  s->quick ? "quick" : "not quick", sup_step_name(s->transition.step),
                  (int)s->transition.kind);
    for (size_t i = 0; i < s->slots_len; i++)
        print_message("  slot %zu: %s, flags %#x\n", i, slot_state_name(s->slots[i].state),
                      state_flags(&s->slots[i]));
    fail_msg("%s, depth %u: %s", x->world->name, depth, what);
    abort();
}

/* ---- twins ----------------------------------------------------------------------------------- */

/* One portrait for each chosen key: what its first state leads to. Any other state with that key
 * must lead to the same keys, by actions of the same kinds. */
static struct portrait *portrait_of(const struct exploration *x, uint64_t hash)
{
    size_t i = hash / 7 & (x->portraits_cap - 1);
    while (x->portraits[i].hash != 0 && x->portraits[i].hash != hash)
        i = (i + 1) & (x->portraits_cap - 1);
    return &x->portraits[i];
}

static void grow_portraits(struct exploration *x)
{
    struct portrait *old = x->portraits;
    size_t cap = x->portraits_cap;
    x->portraits_cap = cap ? 2 * cap : 1024;
    x->portraits = calloc(x->portraits_cap, sizeof x->portraits[0]);
    assert_non_null(x->portraits);
    for (size_t i = 0; i < cap; i++)
        if (old[i].hash != 0)
            *portrait_of(x, old[i].hash) = old[i];
    free(old);
}

bool explore_is_chosen(const struct exploration *x, uint64_t hash)
{
    return x->world->twins_of > 0 && hash % x->world->twins_of == 0;
}

static void compare_twins(struct exploration *x, const struct node *node)
{
    struct state_key key;
    explore_load(x);
    state_key(&x->lens, &x->sim, &key);
    uint64_t hash = state_hash(&key);
    if (!explore_is_chosen(x, hash))
        return;
    if (2 * x->portraits_len >= x->portraits_cap)
        grow_portraits(x);
    struct portrait *portrait = portrait_of(x, hash);
    if (node->twin && portrait->sum != x->sum)
        explore_broken(x, node->depth, "two states with one key lead to different ones");
    x->found->twins += node->twin;
    x->portraits_len += !node->twin;
    *portrait = (struct portrait){hash, x->sum};
}

/* ---- arriving -------------------------------------------------------------------------------- */

static void add_to_sum(struct exploration *x, uint64_t hash)
{
    bool five = x->sim.exited && x->lens.counts_cut && x->sim.code == EXIT_CODE_CUT;
    uint64_t h = (hash ^ (x->sim.deeds + five)) * UINT64_C(0x9e3779b97f4a7c15);
    x->sum += h ^ h >> 29;
}

/* The state after a step: counted, and queued when it is new. */
void explore_arrive(struct exploration *x, const struct node *from)
{
    struct state_key key;
    unsigned depth = from->depth + 1;
    x->found->transitions++;
    if (x->sim.broken)
        explore_broken(x, depth, x->sim.broken);
    if (x->sim.exited)
        x->found->exits[x->sim.code]++;
    state_key(&x->lens, &x->sim, &key);
    uint64_t hash = state_hash(&key);
    add_to_sum(x, hash);
    bool new = seen_add(&x->seen, &key);
    if (new && from->twin)
        explore_broken(x, depth, "a twin leads to where the first one did not");
    if (new && depth > x->found->depth)
        x->found->depth = depth;
    if (!x->sim.exited && !from->twin && (new || explore_is_chosen(x, hash)))
        explore_queue(x, depth, !new);
}

/* ---- exploring ------------------------------------------------------------------------------- */

static void expand(struct exploration *x, const struct node *node)
{
    look_at(x, node);
    x->sum = 0;
    explore_offer(x, node);
    compare_twins(x, node);
    if (node->twin)
        return;
    x->expanded++;
    explore_offer_in_vain(x, node);
    explore_ends(x, node);
}

/* Two beginnings: the first start, and a server that has been well for long. */
static void arrive_at_beginnings(struct exploration *x)
{
    static const struct node before = {0};
    sim_start(&x->sim);
    explore_arrive(x, &before);
    if (x->world->jobs)
        return;
    for (unsigned i = 0; i < x->world->workers; i++)
        sim_ready(&x->sim, (int)i);
    x->sim.now = mono_add(x->sim.now, 3 * UNIT_MS);
    sim_tick(&x->sim);
    explore_arrive(x, &before);
}

static void explore_all(struct exploration *x)
{
    while (x->first) {
        struct node *node = x->first;
        expand(x, node);
        x->first = node->next;
        if (!x->first)
            x->last = &x->first;
        free(node);
    }
}

static void begin(struct exploration *x, const struct world *w)
{
    struct sup_settings settings = settings_of(w);
    sim_init(&x->sim, &settings);
    x->sim.quiet = true;
    x->sim.fate = &x->fate;
    x->sim.other_workers = !w->resizes ? 0 : w->workers < w->room ? w->workers + 1 : w->workers - 1;
    x->lens = state_lens_for(&settings, w->flags || (w->requests & ASK(RECYCLE)),
                             w->few_forks, w->counts_cut);
    x->supervisor_size = sizeof *x->sim.s + x->sim.s->slots_len * sizeof x->sim.s->slots[0];
    size_t size = sizeof x->sim.now + x->supervisor_size + sim_memory_size(&x->sim);
    x->image_words = (size + sizeof x->image[0] - 1) / sizeof x->image[0];
    assert_true(x->image_words <= IMAGE_WORDS);
    explore_save(x, x->origin);
    seen_init(&x->seen);
    seen_init(&x->stoppable);
    seen_init(&x->finite);
    grow_portraits(x);
    x->last = &x->first;
}

static void end(struct exploration *x)
{
    const struct world *w = x->world;
    struct explored *f = x->found;
    f->states = x->seen.len;
    memcpy(f->told, x->sim.told, sizeof f->told);
    print_message("%s: %zu states, %zu transitions, depth %u, %zu twins; exits 0:%zu 3:%zu 5:%zu "
                  "70:%zu 78:%zu\n",
                  w->name, f->states, f->transitions, f->depth, f->twins, f->exits[0], f->exits[3],
                  f->exits[5], f->exits[70], f->exits[78]);
    for (size_t type = 0; type <= SUP_TICK; type++)
        assert_true(x->offered[type] >= x->expanded);
    assert_true(x->world->few_forks || f->depth < 1000); /* the bucket is never empty */
    seen_fini(&x->seen);
    seen_fini(&x->stoppable);
    seen_fini(&x->finite);
    free(x->portraits);
    sim_fini(&x->sim);
}

void explore(const struct world *world, struct explored *found_r)
{
    static struct exploration x;
    memset(&x, 0, sizeof x);
    memset(found_r, 0, sizeof *found_r);
    x.world = world;
    x.found = found_r;
    begin(&x, world);
    arrive_at_beginnings(&x);
    explore_all(&x);
    end(&x);
}
