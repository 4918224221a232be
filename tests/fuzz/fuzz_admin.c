/* fuzz_admin.c: what the admin child reads: an Accept header; and, should the master go mad, any bytes as
 * its bulletin and any as its scoreboard. No crash, texts end, and what is said of it stays in form. */
#include "shared/bulletin.h"
#include "shared/check.h"
#include "shared/metrics.h"
#include "worker/admin/readiness.h"
#include "worker/admin/routes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A page wants text/html to be named. */
static void try_accept(struct slice header)
{
    char *copy = slice_strdup(header);
    ASSERT(copy);
    if (admin_wants_page(header) && !memchr(copy, '\0', header.len))
        ASSERT(strcasestr(copy, "text/html"));
    free(copy);
}

static void spread(void *to, size_t len, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < len && size > 0; i++)
        ((uint8_t *)to)[i] = data[i % size];
}

/* Every line is a comment or "name value", whatever the labels hold. */
static void check_lines(struct slice text)
{
    while (text.ptr && text.len > 0) {
        struct slice line = slice_split(&text, '\n');
        ASSERT(line.len == 0 || line.ptr[0] == '#' || slice_starts_with(line, SLICE("colmeia_")));
        ASSERT(line.len == 0 || memchr(line.ptr, ' ', line.len));
    }
}

static void try_memory(const uint8_t *data, size_t size)
{
    static struct bulletin_page page;
    static struct bulletin_facts facts;
    struct scoreboard *board = scoreboard_new(4);
    struct bulletin *bulletin = bulletin_new();
    struct buf json = {0}, text = {0};
    ASSERT(board && bulletin);
    spread((char *)bulletin + sizeof(uint64_t), sizeof page, data, size);
    atomic_store((_Atomic(uint32_t) *)(void *)bulletin, 2);
    spread(board->slots, 4 * sizeof board->slots[0], data, size);
    spread(&board->slots_used, sizeof board->slots_used, data, size);
    for (size_t i = 0; i < 4; i++)
        atomic_store(&board->slots[i].pid, i % 2 ? INT32_MAX : 0); /* the kernel knows neither */
    atomic_store(&board->slots[1].state, size % 3 ? SLOT_READY : SLOT_STARTING);
    ASSERT(bulletin_read(bulletin, &page));
    bulletin_tell(&page, board, (mono_ms){1000}, &facts);
    status_answer(&facts.facts, &json);
    unsigned reasons = readiness_judge(facts.facts.state, board, (mono_ms){1000}, 10);
    for (unsigned i = 0; i < READINESS_REASONS_LEN; i++)
        ASSERT(!(reasons & 1u << i) || readiness_reason_text((enum readiness_reason)i)[0]);
    ASSERT(reasons >> READINESS_REASONS_LEN == 0);
    metrics_render(&facts.facts, &text);
    check_lines(buf_slice(&text));
    buf_free(&json);
    buf_free(&text);
    bulletin_free(bulletin);
    scoreboard_free(board);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] % 32)
        try_accept((struct slice){(const char *)data + 1, size - 1});
    else
        try_memory(data + 1, size - 1);
    return 0;
}
