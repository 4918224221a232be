/* tls_pair.c: see tls_pair.h. */
#include "master/tls_pair.h"

#include "shared/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CERTIFICATE_MAX = 128 * 1024, KEY_MAX = 32 * 1024 };

struct tls_pair {
    size_t certificate_len, key_len;
    char certificate[CERTIFICATE_MAX];
    char key[KEY_MAX];
};

/* ---- one file -------------------------------------------------------------------------------- */

/* A relative path is looked for among systemd's credentials first (systemd.exec(5)). -1 with errno. */
static int open_file(const char *path)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    struct buf credential = {0};
    int fd = -1;
    if (path[0] != '/' && credentials) {
        buf_printf(&credential, "%s/%s%c", credentials, path, '\0');
        if (!credential.failed)
            fd = open(credential.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        buf_free(&credential);
    }
    return fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* 0, or -1 with errno: EFBIG if there is more than *max*. */
static int read_all(int fd, char *to, size_t max, size_t *len_r)
{
    *len_r = 0;
    while (*len_r < max) {
        ssize_t n = read(fd, to + *len_r, max - *len_r);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        *len_r += (size_t)n;
    }
    errno = EFBIG;
    return -1;
}

static bool refuse(const char *what, const char *path, const char *why, struct buf *errors)
{
    buf_printf(errors, "[tls] %s %s: cannot read it: %s\n", what, path, why);
    return false;
}

static bool read_file(const char *what, const char *path, char *to, size_t max, size_t *len_r,
                      struct stat *st_r, struct buf *errors)
{
    int fd = open_file(path);
    if (fd < 0)
        return refuse(what, path, strerror(errno), errors);
    int error = 0;
    if (fstat(fd, st_r) != 0 || (S_ISREG(st_r->st_mode) && read_all(fd, to, max, len_r) != 0))
        error = errno;
    close(fd);
    if (error)
        return refuse(what, path, strerror(error), errors);
    return S_ISREG(st_r->st_mode) || refuse(what, path, "it is no regular file", errors);
}

/* Debian's keys are readable by a group (ssl-cert); whoever else could read it could be us. */
static bool is_private(const char *path, const struct stat *st, struct buf *errors)
{
    if (!(st->st_mode & (S_IWGRP | S_IRWXO)))
        return true;
    buf_printf(errors,
               "[tls] key %s: others may read or change it (mode %04o); to mend it: chmod 640 %s, and "
               "get a new key if somebody may have read it\n",
               path, st->st_mode & 07777, path);
    return false;
}

/* ---- both ------------------------------------------------------------------------------------ */

enum exit_code tls_pair_load(const struct config *config, struct tls_pair **pair_r,
                             struct buf *errors)
{
    struct stat of_certificate, of_key;
    *pair_r = NULL;
    if (!config_has_tls(config))
        return EXIT_CODE_OK;
    struct tls_pair *p = private_new(sizeof *p);
    if (!p) {
        buf_printf(errors, "[tls]: cannot keep a key: %s\n", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    bool certificate = read_file("certificate", config->tls_certificate, p->certificate,
                                 sizeof p->certificate, &p->certificate_len, &of_certificate, errors);
    bool key = read_file("key", config->tls_key, p->key, sizeof p->key, &p->key_len, &of_key, errors) &&
               is_private(config->tls_key, &of_key, errors);
    if (certificate && key) {
        *pair_r = p;
        return EXIT_CODE_OK;
    }
    tls_pair_free(p);
    return EXIT_CODE_CONFIG;
}

struct tls_pair *tls_pair_of(struct slice certificate, struct slice key)
{
    if (certificate.len > CERTIFICATE_MAX || key.len > KEY_MAX)
        return NULL;
    struct tls_pair *p = private_new(sizeof *p);
    if (!p)
        return NULL;
    memcpy(p->certificate, certificate.ptr, certificate.len);
    p->certificate_len = certificate.len;
    memcpy(p->key, key.ptr, key.len);
    p->key_len = key.len;
    return p;
}

void tls_pair_free(struct tls_pair *p)
{
    private_free(p, sizeof *p);
}

struct slice tls_pair_certificate(const struct tls_pair *p)
{
    return p ? (struct slice){p->certificate, p->certificate_len} : (struct slice){NULL, 0};
}

struct slice tls_pair_key(const struct tls_pair *p)
{
    return p ? (struct slice){p->key, p->key_len} : (struct slice){NULL, 0};
}
