/* tls_facts.c: see tls_facts.h. RFC 5280 (certificates), RFC 8446, 4.4.2 (their order);
 * X509_verify_cert(3), X509_check_issued(3). */
#include "tls_build.h"
#include "worker/net/tls_facts.h"

#if COLMEIA_TLS

#include "worker/net/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { NAMES_MAX = 8 };

/* The server's own, and those behind it in the file. */
struct chain {
    X509 *own;
    STACK_OF(X509) *rest; /* borrowed; NULL: none */
    int len;
};

static struct chain chain_of(const struct tls_context *c)
{
    struct chain chain = {.own = c->certificate, .len = 1};
    c->library->CTX_ctrl(c->ssl, SSL_CTRL_GET_CHAIN_CERTS, 0, (void *)&chain.rest);
    if (chain.rest)
        chain.len += sk_X509_num(chain.rest);
    return chain;
}

static X509 *at(const struct chain *chain, int i)
{
    return i == 0 ? chain->own : sk_X509_value(chain->rest, i - 1);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of a certificate that are no printable ASCII become '?'. */
static void put_plain(struct buf *out, const unsigned char *text, int len)
{
    for (int i = 0; i < len; i++)
        buf_append_char(out, text[i] > ' ' && text[i] < 0x7f ? (char)text[i] : '?');
}

static void put_name(struct buf *out, const X509_NAME *name)
{
    char *text = NULL;
    BIO *memory = BIO_new(BIO_s_mem());
    long len = 0;
    if (memory && X509_NAME_print_ex(memory, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        len = BIO_get_mem_data(memory, &text);
    if (len > 0)
        buf_append(out, text, (size_t)len);
    else
        buf_append_slice(out, SLICE("a nameless one"));
    BIO_free(memory);
}

static void put_host(struct buf *out, const GENERAL_NAME *name)
{
    char text[INET6_ADDRSTRLEN];
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    int family = type != GEN_IPADD || ASN1_STRING_length(value) != 4 ? AF_INET6 : AF_INET;
    if (type == GEN_DNS)
        put_plain(out, ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
    else if (inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof text))
        buf_printf(out, "%s", text);
}

static bool is_host(const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    int len = type == GEN_IPADD ? ASN1_STRING_length(value) : 0;
    return type == GEN_DNS || len == 4 || len == 16;
}

static void read_names(X509 *own, struct buf *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(own, NID_subject_alt_name, NULL, NULL);
    int hosts = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (!is_host(name) || hosts++ >= NAMES_MAX)
            continue;
        buf_printf(out, "%s", hosts > 1 ? ", " : "");
        put_host(out, name);
    }
    if (hosts > NAMES_MAX)
        buf_printf(out, " and %d more", hosts - NAMES_MAX);
    GENERAL_NAMES_free(names);
}

/* ---- dates ----------------------------------------------------------------------------------- */

/* Since the epoch; 0 for what is none: such a certificate has long expired. */
static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void read_dates(const struct chain *chain, struct tls_facts *facts)
{
    for (int i = 0; i < chain->len; i++) {
        const X509 *one = at(chain, i);
        int64_t begins_s = seconds_of(X509_get0_notBefore(one));
        int64_t ends_s = seconds_of(X509_get0_notAfter(one));
        if (i == 0 || begins_s > facts->begins_s)
            facts->begins_s = begins_s;
        if (i > 0 && ends_s >= facts->ends_s)
            continue;
        facts->ends_s = ends_s;
        facts->life_s = ends_s - begins_s;
        facts->ending.len = 0;
        if (i > 0)
            put_name(&facts->ending, X509_get_subject_name(one));
    }
}

/* ---- the chain ------------------------------------------------------------------------------- */

static bool has_signed(X509 *issuer, X509 *subject)
{
    return X509_check_issued(issuer, subject) == X509_V_OK;
}

/* TLS 1.2 wants each right behind the one that it has signed (RFC 5246, 7.4.2). */
static bool is_in_order(const struct chain *chain, struct tls_facts *facts)
{
    for (int i = 1; i < chain->len; i++) {
        X509 *before = at(chain, i - 1);
        if (has_signed(at(chain, i), before))
            continue;
        facts->chain = TLS_CHAIN_STRANGER;
        for (int j = 0; j < chain->len; j++)
            if (j != i - 1 && has_signed(at(chain, j), before))
                facts->chain = TLS_CHAIN_DISORDERED;
        put_name(&facts->blamed, X509_get_subject_name(at(chain, i)));
        return false;
    }
    return true;
}

/* Where authorities say that their own certificate is to be had (RFC 5280, 4.2.2.1). */
static void read_where(X509 *last, struct buf *out)
{
    AUTHORITY_INFO_ACCESS *places = X509_get_ext_d2i(last, NID_info_access, NULL, NULL);
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(places) && out->len == 0; i++) {
        const ACCESS_DESCRIPTION *place = sk_ACCESS_DESCRIPTION_value(places, i);
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(place->location, &type);
        if (OBJ_obj2nid(place->method) == NID_ad_ca_issuers && type == GEN_URI)
            put_plain(out, ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
    }
    AUTHORITY_INFO_ACCESS_free(places);
}

static void judge_as_client(const struct chain *chain, int verdict, struct tls_facts *facts)
{
    X509 *last = at(chain, chain->len - 1);
    switch (verdict) {
    case X509_V_OK:
        facts->chain = TLS_CHAIN_KNOWN;
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        facts->chain = TLS_CHAIN_SELF_SIGNED;
        return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        facts->chain = TLS_CHAIN_OWN;
        put_name(&facts->blamed, X509_get_subject_name(last));
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        facts->chain = TLS_CHAIN_OPEN;
        put_name(&facts->blamed, X509_get_issuer_name(last));
        read_where(last, &facts->where);
        return;
    default:
        facts->chain = TLS_CHAIN_REFUSED;
        facts->reason = X509_verify_cert_error_string(verdict);
    }
}

/* As a client on this machine would see it, but for the dates. False without memory. */
static bool ask_as_client(const struct chain *chain, struct tls_facts *facts)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *client = X509_STORE_CTX_new();
    bool good = store && client && X509_STORE_set_default_paths(store) == 1 &&
                X509_STORE_CTX_init(client, store, chain->own, chain->rest) == 1 &&
                X509_STORE_CTX_set_default(client, "ssl_server") == 1;
    if (good) {
        X509_STORE_CTX_set_flags(client, X509_V_FLAG_NO_CHECK_TIME);
        X509_verify_cert(client);
        judge_as_client(chain, X509_STORE_CTX_get_error(client), facts);
        good = facts->chain != TLS_CHAIN_REFUSED ||
               X509_STORE_CTX_get_error(client) != X509_V_ERR_OUT_OF_MEM;
    }
    X509_STORE_CTX_free(client);
    X509_STORE_free(store);
    return good;
}

bool tls_facts_read(const struct tls_context *c, struct tls_facts *facts_r)
{
    struct chain chain = chain_of(c);
    *facts_r = (struct tls_facts){0};
    ERR_clear_error();
    read_names(chain.own, &facts_r->names);
    read_dates(&chain, facts_r);
    bool good = !is_in_order(&chain, facts_r) || ask_as_client(&chain, facts_r);
    ERR_clear_error();
    return good && !facts_r->names.failed && !facts_r->ending.failed && !facts_r->blamed.failed &&
           !facts_r->where.failed;
}

#endif
