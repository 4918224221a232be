/* test_tls_judge.c: what doctor makes of a certificate's dates and names, and of its chain. */
#include "findings_tester.h"

#include "worker/net/tls_facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000) /* 2027-01-15 08:00:00 */

static const struct date_case {
    int64_t begins_s, ends_s, life_s;
    const char *names, *ending;
    enum finding_level level;
    const char *word;
} date_cases[] = {
    {NOW - DAY, NOW + 89 * DAY, 90 * DAY, "a.example", "", FINDING_OK, "file.pem: for a.example, until 2027-04-14\n"},
    {NOW - DAY, NOW + 30 * DAY, 90 * DAY, "a, b", "", FINDING_OK, "for a, b, until 2027-02-14"},
    {NOW - DAY, NOW + 30 * DAY - 1, 90 * DAY, "a", "", FINDING_WARN, "expires on 2027-02-14, in 29 days"},
    {NOW - DAY, NOW + 30 * DAY - 1, 365 * DAY, "a", "CN=R3", FINDING_WARN,
     "file.pem, that of CN=R3 in its chain: it expires on 2027-02-14"},
    /* two thirds of six days */
    {NOW - DAY, NOW + 2 * DAY, 6 * DAY, "a", "", FINDING_OK, "until 2027-01-17"},
    {NOW - DAY, NOW + 2 * DAY - 1, 6 * DAY, "a", "", FINDING_WARN, "in 1 days"},
    {NOW - DAY, NOW, DAY, "a", "", FINDING_WARN, "in 0 days"},
    {NOW - 9 * DAY, NOW - 1, 9 * DAY, "a", "", FINDING_FAIL, "it has expired on 2027-01-15"},
    {NOW - 9 * DAY, NOW - DAY, 9 * DAY, "a", "CN=R3", FINDING_FAIL, "that of CN=R3 in its chain: it has expired"},
    {0, 0, 0, "", "", FINDING_FAIL, "expired on 1970-01-01"},
    {NOW, NOW + 89 * DAY, 90 * DAY, "a", "", FINDING_OK, "for a"},
    {NOW + 1, NOW + 89 * DAY, 90 * DAY, "a", "", FINDING_FAIL, "it is not valid before 2027-01-15"},
    {NOW - DAY, NOW + 89 * DAY, 90 * DAY, "", "", FINDING_WARN, "it names no host"},
};

static void dates(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof date_cases / sizeof *date_cases; i++) {
        const struct date_case *c = &date_cases[i];
        struct findings f = {0};
        struct tls_facts facts = {.begins_s = c->begins_s, .ends_s = c->ends_s, .life_s = c->life_s};
        buf_printf(&facts.names, "%s", c->names);
        buf_printf(&facts.ending, "%s", c->ending);
        tls_judge_certificate(&f, "file.pem", &facts, NOW);
        assert_said(&f, c->level, c->word);
        tls_facts_free(&facts);
    }
}

static const struct chain_case {
    enum tls_chain chain;
    const char *blamed, *where, *reason;
    enum finding_level level;
    const char *word;
} chain_cases[] = {
    {TLS_CHAIN_KNOWN, "", "", NULL, FINDING_OK, "this machine trusts"},
    {TLS_CHAIN_OWN, "CN=Root", "", NULL, FINDING_OK, "leads to CN=Root, which clients must have"},
    {TLS_CHAIN_SELF_SIGNED, "", "", NULL, FINDING_WARN, "it has signed itself"},
    {TLS_CHAIN_DISORDERED, "CN=Root", "", NULL, FINDING_WARN, "CN=Root stands too early"},
    {TLS_CHAIN_STRANGER, "CN=Other", "", NULL, FINDING_WARN, "CN=Other has not signed the one before it"},
    {TLS_CHAIN_OPEN, "CN=R3", "", NULL, FINDING_WARN, "it ends before CN=R3"},
    {TLS_CHAIN_OPEN, "CN=R3", "http://r3.example/", NULL, FINDING_WARN, "(it is at http://r3.example/)"},
    {TLS_CHAIN_REFUSED, "", "", "unsuitable certificate purpose", FINDING_FAIL, "refuse it: unsuitable certificate purpose"},
};

static void chains(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chain_cases / sizeof *chain_cases; i++) {
        const struct chain_case *c = &chain_cases[i];
        struct findings f = {0};
        struct tls_facts facts = {.chain = c->chain, .reason = c->reason};
        buf_printf(&facts.blamed, "%s", c->blamed);
        buf_printf(&facts.where, "%s", c->where);
        tls_judge_chain(&f, "file.pem", &facts);
        assert_said(&f, c->level, c->word);
        tls_facts_free(&facts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dates), cmocka_unit_test(chains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
