/* tls_facts.h: what the certificate says with which a worker would serve, and those behind it in its file,
 * and what that means for clients: for `colmeia doctor`. A process without a loop. */
#pragma once

#include "shared/findings.h"

#include <stdint.h>

struct tls_context;

enum tls_chain {
    TLS_CHAIN_KNOWN,       /* it leads to an authority that this machine trusts */
    TLS_CHAIN_OWN,         /* to a root in the file, which this machine does not know */
    TLS_CHAIN_SELF_SIGNED, /* the certificate stands for itself, and this machine does not know it */
    TLS_CHAIN_DISORDERED,  /* *blamed* stands before the one that signed its predecessor */
    TLS_CHAIN_STRANGER,    /* *blamed* has not signed its predecessor, and nor has any other */
    TLS_CHAIN_OPEN,        /* the last one's issuer, *blamed*, is neither in the file nor known here */
    TLS_CHAIN_REFUSED      /* clients would not accept it: *reason* */
};

struct tls_facts {
    struct buf names;    /* of hosts, with commas: all of subjectAltName; empty: none */
    int64_t begins_s;    /* since the epoch: when all certificates of the file are valid */
    int64_t ends_s;      /* … and when the first of them no longer is */
    int64_t life_s;      /* how long that one is valid in all */
    struct buf ending;   /* its subject; empty: it is the server's own */
    enum tls_chain chain;
    struct buf blamed;   /* a subject; empty if *chain* needs none */
    struct buf where;    /* OPEN: the address where the issuer is to be had; empty: it is not said */
    const char *reason;  /* static; else NULL */
};

/* Reads them of a context. False without memory. The facts are to be freed in any case. */
bool tls_facts_read(const struct tls_context *c, struct tls_facts *facts_r);
void tls_facts_free(struct tls_facts *facts);

/* ---- the judges; pure, each adds one finding ---- */

/* Names and dates. Soon is 30 days, or the last third of a shorter life. */
void tls_judge_certificate(struct findings *f, const char *file, const struct tls_facts *facts,
                           int64_t now_s);
void tls_judge_chain(struct findings *f, const char *file, const struct tls_facts *facts);
