/* tls_judge.c: the judges of tls_facts.h, with and without TLS in the build. */
#include "worker/net/tls_facts.h"

#include "shared/check.h"

#include <time.h>

enum { DAY_S = 24 * 60 * 60, SOON_DAYS = 30, SOON_PART = 3 };

void tls_facts_free(struct tls_facts *facts)
{
    buf_free(&facts->names);
    buf_free(&facts->ending);
    buf_free(&facts->blamed);
    buf_free(&facts->where);
}

/* ---- names and dates ------------------------------------------------------------------------- */

struct date {
    char text[24];
};

static struct date date_of(int64_t when_s)
{
    struct date d = {"an impossible date"};
    struct tm tm;
    time_t when = (time_t)when_s;
    if (gmtime_r(&when, &tm))
        strftime(d.text, sizeof d.text, "%Y-%m-%d", &tm);
    return d;
}

static bool is_soon(const struct tls_facts *facts, int64_t now_s)
{
    int64_t soon_s = (int64_t)SOON_DAYS * DAY_S;
    if (facts->life_s / SOON_PART < soon_s)
        soon_s = facts->life_s / SOON_PART;
    return facts->ends_s - now_s < soon_s;
}

/* ", that of CN=R3": whose date it is, unless it is the server's own. */
static struct buf whose(const struct tls_facts *facts)
{
    struct buf text = {0};
    if (facts->ending.len > 0)
        buf_printf(&text, ", that of %.*s in its chain", SLICE_ARGS(buf_slice(&facts->ending)));
    return text;
}

void tls_judge_certificate(struct findings *f, const char *file, const struct tls_facts *facts,
                           int64_t now_s)
{
    static const char about[] = "certificate";
    struct buf of = whose(facts);
    struct date begins = date_of(facts->begins_s), ends = date_of(facts->ends_s);
    long long days = (long long)((facts->ends_s - now_s) / DAY_S);
    if (facts->ends_s < now_s) {
        findings_add(f, FINDING_FAIL, about, "%s%.*s: it has expired on %s", file,
                     SLICE_ARGS(buf_text(&of)), ends.text);
        findings_remedy(f, "get a new one; a reload takes it");
    } else if (facts->begins_s > now_s) {
        findings_add(f, FINDING_FAIL, about, "%s: it is not valid before %s", file, begins.text);
        findings_remedy(f, "is the clock right? else wait, or get one that is valid now");
    } else if (facts->names.len == 0) {
        findings_add(f, FINDING_WARN, about, "%s: it names no host (subjectAltName)", file);
        findings_remedy(f, "get one with the names that clients use: they refuse it");
    } else if (is_soon(facts, now_s)) {
        findings_add(f, FINDING_WARN, about, "%s%.*s: it expires on %s, in %lld days", file,
                     SLICE_ARGS(buf_text(&of)), ends.text, days);
        findings_remedy(f, "renew it; a reload takes the new one");
    } else {
        findings_add(f, FINDING_OK, about, "%s%.*s: for %.*s, until %s", file,
                     SLICE_ARGS(buf_text(&of)), SLICE_ARGS(buf_slice(&facts->names)), ends.text);
    }
    buf_free(&of);
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void judge_open(struct findings *f, const char *file, const struct tls_facts *facts)
{
    findings_add(f, FINDING_WARN, "chain",
                 "%s: it ends before %.*s, which is neither in it nor an authority that this machine knows",
                 file, SLICE_ARGS(buf_text(&facts->blamed)));
    if (facts->where.len > 0)
        findings_remedy(f, "put that one's certificate behind the others (it is at %.*s)",
                        SLICE_ARGS(buf_slice(&facts->where)));
    else
        findings_remedy(f, "put that one's certificate behind the others, unless all clients have it");
}

void tls_judge_chain(struct findings *f, const char *file, const struct tls_facts *facts)
{
    static const char about[] = "chain";
    struct slice blamed = buf_text(&facts->blamed);
    switch (facts->chain) {
    case TLS_CHAIN_KNOWN:
        findings_add(f, FINDING_OK, about, "%s: it leads to an authority that this machine trusts", file);
        return;
    case TLS_CHAIN_OWN:
        findings_add(f, FINDING_OK, about, "%s: it leads to %.*s, which clients must have", file,
                     SLICE_ARGS(blamed));
        return;
    case TLS_CHAIN_SELF_SIGNED:
        findings_add(f, FINDING_WARN, about, "%s: it has signed itself", file);
        findings_remedy(f, "get one of an authority: only clients that were given this one accept it");
        return;
    case TLS_CHAIN_DISORDERED:
        findings_add(f, FINDING_WARN, about, "%s: %.*s stands too early", file, SLICE_ARGS(blamed));
        findings_remedy(f, "put each certificate right behind the one that it has signed");
        return;
    case TLS_CHAIN_STRANGER:
        findings_add(f, FINDING_WARN, about, "%s: %.*s has not signed the one before it, nor has another",
                     file, SLICE_ARGS(blamed));
        findings_remedy(f, "take it out, and put the right one there");
        return;
    case TLS_CHAIN_OPEN:
        judge_open(f, file, facts);
        return;
    case TLS_CHAIN_REFUSED:
        findings_add(f, FINDING_FAIL, about, "%s: clients refuse it: %s", file, facts->reason);
        findings_remedy(f, "get one that is meant for a server, from an authority that may give it");
        return;
    }
    UNREACHABLE();
}
