/* test_readiness.c: when this server should be given requests; and which Accept headers want a page. */
#include "worker/admin/readiness.h"
#include "worker/admin/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW_MS = 100000, STORE_MS = 15000 };
#define REASON(name) (1u << READINESS_##name)

struct seen {
    enum slot_state state;
    int64_t ok_ms, bad_ms;
};

static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        enum status_state state;
        bool stopping;
        struct seen slots[2];
        unsigned reasons;
    } cases[] = {
        {STATUS_READY, false, {{SLOT_READY, NOW_MS, 0}}, 0},
        {STATUS_DEGRADED, false, {{SLOT_READY, NOW_MS, 0}, {SLOT_BACKOFF, 0, 0}}, 0},
        {STATUS_RELOADING, false, {{SLOT_READY, NOW_MS, 0}, {SLOT_STARTING, 0, 0}}, 0},
        {STATUS_STARTING, false, {{SLOT_STARTING, 0, 0}}, REASON(STARTING) | REASON(NO_WORKER)},
        {STATUS_STARTING, false, {{SLOT_READY, NOW_MS, 0}}, REASON(STARTING)},
        {STATUS_STOPPING, false, {{SLOT_READY, NOW_MS, 0}}, REASON(STOPPING)},
        /* the scoreboard says so before the bulletin does */
        {STATUS_READY, true, {{SLOT_READY, NOW_MS, 0}}, REASON(STOPPING)},
        {STATUS_STOPPING, true, {{SLOT_EMPTY, 0, 0}}, REASON(STOPPING) | REASON(NO_WORKER)},
        {STATUS_DEGRADED, false, {{SLOT_BACKOFF, NOW_MS, 0}}, REASON(NO_WORKER)},
        {STATUS_DEGRADED, false, {{SLOT_DRAINING, NOW_MS, 0}}, REASON(NO_WORKER)},
        /* the database */
        {STATUS_READY, false, {{SLOT_READY, 0, 0}}, REASON(STORE)},
        {STATUS_READY, false, {{SLOT_READY, NOW_MS - STORE_MS, 0}}, 0},
        {STATUS_READY, false, {{SLOT_READY, NOW_MS - STORE_MS - 1, 0}}, REASON(STORE)},
        {STATUS_READY, false, {{SLOT_READY, NOW_MS - 2, NOW_MS - 1}}, REASON(STORE)},
        {STATUS_READY, false, {{SLOT_READY, NOW_MS - 1, NOW_MS - 2}}, 0},
        {STATUS_READY, false, {{SLOT_READY, 1, NOW_MS}, {SLOT_READY, NOW_MS, 1}}, 0},
        {STATUS_READY, false, {{SLOT_READY, 1, NOW_MS}, {SLOT_DRAINING, NOW_MS, 1}}, REASON(STORE)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scoreboard *s = scoreboard_new(4);
        scoreboard_use(s, 1);
        atomic_store(&s->stopping, cases[i].stopping);
        for (size_t k = 0; k < 2; k++) {
            atomic_store(&s->slots[k].state, (uint32_t)cases[i].slots[k].state);
            atomic_store(&s->slots[k].store_ok_ms, cases[i].slots[k].ok_ms);
            atomic_store(&s->slots[k].store_bad_ms, cases[i].slots[k].bad_ms);
        }
        unsigned got = readiness_judge(cases[i].state, s, (mono_ms){NOW_MS}, STORE_MS);
        if (got != cases[i].reasons)
            fail_msg("case %zu: %#x, not %#x", i, got, cases[i].reasons);
        scoreboard_free(s);
    }
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(readiness_reason_text(READINESS_STARTING), "the server is starting");
    assert_string_equal(readiness_reason_text(READINESS_STORE), "the database does not answer");
}

static void test_accept(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool page;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"application/json", false},
        {"text/html", true},
        {"TEXT/HTML;q=0.9", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
        {"application/json, text/html ; q=0.1", true},
        {"text/html;q=0", false},
        {"text/html; q=0", false},
        {"text/html5", false},
        {"x-text/html", false},
        {",,;;,", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (admin_wants_page(slice_of(cases[i].accept)) != cases[i].page)
            fail_msg("\"%s\"", cases[i].accept ? cases[i].accept : "(none)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
