/* ceil.c: requests and answers of the C bound; see ceil.h. usage: ceil PORT WORKERS DATABASE
 * Environment: BENCH_SECRET signs the tokens. */
#define _GNU_SOURCE
#include "ceil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BODY_MAX = 60000, HEAD_MAX = 200, TOKEN_MAX = 1024, MAC = crypto_auth_hmacsha256_BYTES };

static const int URL64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
static crypto_auth_hmacsha256_state keyed;

static void answer(struct client *c, const char *status, const char *body, size_t len)
{
    static char out[HEAD_MAX + BODY_MAX];
    int head = snprintf(out, HEAD_MAX, "HTTP/1.1 %s\r\ncontent-type: application/json\r\n"
                        "content-length: %zu\r\n\r\n", status, len);
    memcpy(out + head, body, len);
    client_send(c, out, (size_t)head + len);
}

static void complain(struct client *c, const char *status, const char *detail)
{
    char body[TEXT_MAX];
    answer(c, status, body, (size_t)snprintf(body, sizeof body, "{\"detail\":\"%s\"}", detail));
}

static void answer_user(struct client *c, const char *body, size_t len)
{
    if (len)
        answer(c, "200 OK", body, len);
    else
        complain(c, "404 Not Found", "User not found");
}

/* ---- tokens ---- */

static void sign(const char *text, size_t len, unsigned char mac_r[MAC])
{
    crypto_auth_hmacsha256_state state = keyed;
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, len);
    crypto_auth_hmacsha256_final(&state, mac_r);
}

static void token_for(const char *email, char token_r[TOKEN_MAX])
{
    char claims[TEXT_MAX * 2];
    unsigned char mac[MAC];
    int len = snprintf(claims, sizeof claims, "{\"sub\":\"%s\",\"exp\":%lld}", email, (long long)time(NULL) + 1800);
    char *end = stpcpy(token_r, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."); /* {"alg":"HS256","typ":"JWT"} */
    sodium_bin2base64(end, 512, (const unsigned char *)claims, (size_t)len, URL64);
    sign(token_r, strlen(token_r), mac);
    end = stpcpy(token_r + strlen(token_r), ".");
    sodium_bin2base64(end, 64, mac, sizeof mac, URL64);
}

/* The text after *key* up to *stop*, into text_r; false when there is none that fits. */
static bool between(const char *in, const char *key, char stop, char text_r[TEXT_MAX])
{
    const char *from = strstr(in, key), *to = from ? strchr(from + strlen(key), stop) : NULL;
    size_t len = to ? (size_t)(to - from) - strlen(key) : TEXT_MAX;
    if (len >= TEXT_MAX)
        return false;
    memcpy(text_r, from + strlen(key), len);
    text_r[len] = 0;
    return true;
}

/* The e-mail address in a good token that has not expired. */
static bool bearer(const char *head, char email_r[TEXT_MAX])
{
    const char *token = strcasestr(head, "\r\nauthorization: bearer "), *dot, *last, *exp;
    unsigned char mac[MAC], given[MAC];
    char claims[512];
    size_t len;
    if (!token || !(dot = strchr(token += 24, '.')) || !(last = strchr(dot + 1, '.')))
        return false;
    sign(token, (size_t)(last - token), mac);
    if (sodium_base642bin(given, sizeof given, last + 1, 43, NULL, &len, NULL, URL64) || len != MAC ||
        sodium_memcmp(mac, given, MAC) != 0)
        return false;
    if (sodium_base642bin((unsigned char *)claims, sizeof claims - 1, dot + 1, (size_t)(last - dot - 1), NULL,
                          &len, NULL, URL64))
        return false;
    claims[len] = 0;
    exp = strstr(claims, "\"exp\":");
    return exp && atoll(exp + 6) > time(NULL) && between(claims, "\"sub\":\"", '"', email_r);
}

/* ---- requests ---- */

static void one_user(struct client *c, const char *head)
{
    char body[BODY_MAX];
    answer_user(c, body, store_user(atoll(head + strlen("GET /users/")), body));
}

static void page(struct client *c, const char *head)
{
    static char body[BODY_MAX];
    const char *limit = strstr(head, "limit="), *offset = strstr(head, "offset=");
    answer(c, "200 OK", body, store_page(limit ? atoi(limit + 6) : 100, offset ? atoi(offset + 7) : 0, body,
                                         sizeof body));
}

static void who_am_i(struct client *c, const char *head)
{
    char email[TEXT_MAX], body[BODY_MAX];
    if (bearer(head, email))
        answer_user(c, body, store_user_by_email(email, body, NULL));
    else
        complain(c, "401 Unauthorized", "Could not validate credentials");
}

static struct job *new_job(struct client *c, bool signs_up)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        abort();
    job->client = c;
    job->signs_up = signs_up;
    return job;
}

static void begin(struct client *c, struct job *job, bool understood)
{
    if (!understood) {
        free(job);
        complain(c, "422 Unprocessable Entity", "not understood");
        return;
    }
    c->busy = true;
    jobs_add(job);
}

static void sign_up(struct client *c, const char *body)
{
    struct job *job = new_job(c, true);
    begin(c, job, between(body, "\"username\":\"", '"', job->name) &&
          between(body, "\"email\":\"", '"', job->email) && between(body, "\"password\":\"", '"', job->password));
}

static void log_in(struct client *c, const char *body)
{
    struct job *job = new_job(c, false);
    char ignored[BODY_MAX], *coded;
    bool understood = between(body, "username=", '&', job->email);
    const char *password = strstr(body, "password=");
    if (understood && (coded = strstr(job->email, "%40"))) {
        *coded = '@';
        memmove(coded + 1, coded + 3, strlen(coded + 3) + 1);
    }
    if (understood && password)
        snprintf(job->password, sizeof job->password, "%s", password + 9);
    begin(c, job, understood && password && store_user_by_email(job->email, ignored, job->hash));
}

static bool starts(const char *head, const char *with)
{
    return strncmp(head, with, strlen(with)) == 0;
}

static void request(struct client *c, const char *head, const char *body)
{
    static const char hello[] = "{\"message\":\"Ol\xc3\xa1 Mundo!\"}";
    if (starts(head, "GET / "))
        answer(c, "200 OK", hello, sizeof hello - 1);
    else if (starts(head, "GET /users/me "))
        who_am_i(c, head);
    else if (starts(head, "GET /users/?"))
        page(c, head);
    else if (starts(head, "GET /users/"))
        one_user(c, head);
    else if (starts(head, "POST /users/ "))
        sign_up(c, body);
    else if (starts(head, "POST /auth/token "))
        log_in(c, body);
    else
        complain(c, "404 Not Found", "Not Found");
}

static void answer_job(struct job *job)
{
    char token[TOKEN_MAX], body[TOKEN_MAX + 100];
    if (!job->good) {
        complain(job->client, job->signs_up ? "409 Conflict" : "401 Unauthorized", "no");
    } else if (job->signs_up) {
        answer(job->client, "201 Created", body,
               (size_t)snprintf(body, sizeof body, "{\"id\":%lld,\"username\":\"%s\",\"email\":\"%s\"}", job->id,
                                job->name, job->email));
    } else {
        token_for(job->email, token);
        answer(job->client, "200 OK", body,
               (size_t)snprintf(body, sizeof body, "{\"access_token\":\"%s\",\"token_type\":\"bearer\"}", token));
    }
}

static void woken(void)
{
    for (struct job *job = jobs_done(), *next; job; job = next) {
        next = job->next;
        answer_job(job);
        client_answered(job->client);
        free(job);
    }
}

static void start(void)
{
    store_open();
    jobs_start();
}

int main(int argc, char **argv)
{
    static const struct app app = {start, request, store_end_reads, woken};
    const char *secret = getenv("BENCH_SECRET");
    if (argc != 4 || !secret || sodium_init() < 0) {
        fprintf(stderr, "usage: BENCH_SECRET=… ceil PORT WORKERS DATABASE\n");
        return 2;
    }
    crypto_auth_hmacsha256_init(&keyed, (const unsigned char *)secret, strlen(secret));
    store_prepare(argv[3]);
    return loop_serve(&app, atoi(argv[1]), atoi(argv[2]));
}
