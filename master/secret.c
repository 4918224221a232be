/* secret.c: see secret.h. */
#include "master/secret_internal.h"

#include "shared/private.h"
#include "shared/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD_KEY "openssl rand -hex 32"

enum { RANDOM_BYTES = 32, HEX_BYTES = 2 * RANDOM_BYTES };

/* ---- memory ---------------------------------------------------------------------------------- */

struct secret *secret_of(struct slice key, struct slice previous)
{
    bool fits = key.len <= SECRET_MAX_BYTES && keyring_is_sound(previous);
    struct secret *s = fits ? private_new(sizeof *s) : NULL;
    if (!s)
        return NULL;
    memcpy(s->bytes, key.ptr, key.len);
    s->len = key.len;
    if (previous.len > 0)
        memcpy(s->previous, previous.ptr, previous.len);
    s->previous_len = previous.len;
    return s;
}

void secret_free(struct secret *s)
{
    private_free(s, sizeof *s);
}

struct slice secret_key(const struct secret *s)
{
    return (struct slice){s->bytes, s->len};
}

/* ---- judging --------------------------------------------------------------------------------- */

static enum exit_code judge(struct load *l, const char *origin)
{
    struct slice key = secret_key(l->secret);
    if (key.len == 0) {
        buf_printf(l->error, "%s: the key is empty; make a good one with: " GOOD_KEY, origin);
        return EXIT_CODE_CONFIG;
    }
    const char *weakness = secret_weakness(key);
    if (!weakness)
        return EXIT_CODE_OK;
    if (!l->config->auth_allow_weak_secret) {
        buf_printf(l->error,
                   "%s: the key is %s: anyone could sign tokens; make a good one with: " GOOD_KEY,
                   origin, weakness);
        return EXIT_CODE_CONFIG;
    }
    buf_printf(l->warnings,
               "%s: THE KEY IS WEAK: it is %s, anyone could sign tokens; allowed by [auth] "
               "allow_weak_secret. Make a good one with: " GOOD_KEY "\n",
               origin, weakness);
    return EXIT_CODE_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void trim_newline(struct secret *s)
{
    if (s->len > 0 && s->bytes[s->len - 1] == '\n')
        s->len--;
    if (s->len > 0 && s->bytes[s->len - 1] == '\r')
        s->len--;
}

/* All of the file, at most SECRET_MAX_BYTES + 1 bytes. 0, or -1 with errno. */
static int read_all(int fd, struct secret *s)
{
    s->len = 0;
    for (;;) {
        ssize_t n = read(fd, s->bytes + s->len, sizeof s->bytes - s->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        s->len += (size_t)n;
    }
}

static void warn_if_open_to_others(struct load *l, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)))
        buf_printf(l->warnings,
                   "%s: others may read or change it (mode %04o); to mend it: chmod 600 %s\n", path,
                   st.st_mode & 07777, path);
}

/* Who owns the directory that the file is in; (uid_t)-1: nobody knows. */
static uid_t owner_of_directory(const char *path)
{
    struct stat st;
    struct buf dir = {0};
    const char *slash = strrchr(path, '/');
    buf_printf(&dir, "%.*s.%c", slash ? (int)(slash - path) + 1 : 0, path, '\0');
    bool known = !dir.failed && stat(dir.data, &st) == 0;
    buf_free(&dir);
    return known ? st.st_uid : (uid_t)-1;
}

/* Whoever owns a directory decides what its names lead to, so that he must not be somebody to whom this
 * process gives its rights away ([server] user): a link of his would have root read for him. Beside
 * the database that is the rule. Elsewhere it is the operator's business where links lead, as those
 * of Kubernetes' secrets do. */
static int open_key_file(const struct load *l, const char *path, bool beside_database)
{
    uid_t owner = owner_of_directory(path);
    bool given_away = l->config->server_user;
    if (beside_database || (given_away && owner != 0 && owner != geteuid()))
        return regular_open_own(path, O_RDONLY, given_away ? (uid_t)-1 : owner);
    return regular_open(path, O_RDONLY);
}

/* 0, or -1 with errno, one of regular.h's: the caller knows what a missing file means. */
static int read_key_file(struct load *l, const char *path, bool beside_database)
{
    int fd = open_key_file(l, path, beside_database);
    if (fd < 0)
        return -1;
    warn_if_open_to_others(l, fd, path);
    int result = read_all(fd, l->secret);
    int saved = errno;
    close(fd);
    if (result == 0 && l->secret->len > SECRET_MAX_BYTES) {
        result = -1;
        saved = EFBIG;
    }
    trim_newline(l->secret);
    errno = saved;
    return result;
}

/* errno's: what may pass by itself is tried again by a service manager, a bad configuration is not. */
static enum exit_code code_of_failure(void)
{
    return config_errno_may_pass(errno) ? EXIT_CODE_INTERNAL : EXIT_CODE_CONFIG;
}

static enum exit_code cannot_read(struct load *l, const char *path, const char *option)
{
    bool own = errno == ELOOP || errno == EMLINK || errno == EPERM;
    enum exit_code code = code_of_failure();
    buf_printf(l->error, "%s: cannot read the key: %s; ", path, regular_why_not(errno));
    if (own)
        buf_printf(l->error,
                   "in a directory of another user's and beside the database it must be a plain file with "
                   "one name that belongs to the user who starts the server (cp and chown); ");
    buf_printf(l->error, "see %s", option);
    return code;
}

/* ---- where it comes from --------------------------------------------------------------------- */

#define KEY_OPTION "[auth] secret_key"
#define FILE_OPTION "[auth] secret_key_file"
enum exit_code secret_from_text(struct load *l, const char *text, const char *option)
{
    size_t len = strlen(text);
    if (len > SECRET_MAX_BYTES) {
        buf_printf(l->error, "%s: longer than %d bytes", option, SECRET_MAX_BYTES);
        return EXIT_CODE_CONFIG;
    }
    memcpy(l->secret->bytes, text, len);
    l->secret->len = len;
    return judge(l, option);
}

/* A relative path is looked for among systemd's credentials first (systemd.exec(5)). */
enum exit_code secret_from_file(struct load *l, const char *path, const char *option)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    struct buf credential = {0};
    if (path[0] != '/' && credentials)
        buf_printf(&credential, "%s/%s%c", credentials, path, '\0');
    if (credential.len > 0 && !credential.failed && access(credential.data, F_OK) == 0)
        path = credential.data;
    enum exit_code code =
        read_key_file(l, path, false) < 0 ? cannot_read(l, path, option) : judge(l, path);
    buf_free(&credential);
    return code;
}

static int make_random(struct secret *s)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[RANDOM_BYTES];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return -1; /* never short up to 256 bytes; getrandom(2) */
    for (size_t i = 0; i < RANDOM_BYTES; i++) {
        s->bytes[2 * i] = digits[raw[i] >> 4];
        s->bytes[2 * i + 1] = digits[raw[i] & 15];
    }
    s->len = HEX_BYTES;
    explicit_bzero(raw, sizeof raw);
    return 0;
}

/* The key that make_random() made and a newline, on disk when it returns 0. */
static int write_key(int fd, struct secret *s)
{
    size_t done = 0;
    ssize_t n = 1;
    s->bytes[HEX_BYTES] = '\n';
    while (done < HEX_BYTES + 1 && n > 0) {
        n = TEMP_FAILURE_RETRY(write(fd, s->bytes + done, HEX_BYTES + 1 - done));
        done += n > 0 ? (size_t)n : 0;
    }
    s->bytes[HEX_BYTES] = '\0';
    if (n > 0)
        return TEMP_FAILURE_RETRY(fsync(fd));
    if (n == 0)
        errno = ENOSPC;
    return -1;
}

static void sync_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd); /* best effort: at worst a new key is made after a power cut */
    close(fd);
}

/* Gives the finished file its name, unless that exists: then EEXIST. In one step, for a key with two
 * names, even for a moment, is one that others refuse to read. renameat2(2) is missing on some file
 * systems (NFS): there it is link(2), and who starts in that moment must start again. */
static int publish(const char *temporary, const char *path)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST || link(temporary, path) != 0)
        return -1;
    unlink(temporary);
    return 0;
}

/* Makes the key under a name of our own, whole, before anyone can see it under its real one: of two
 * masters one wins and the other reads the winner's. 0, or -1 with errno. */
static int make_key_file(struct load *l, const char *dir, const char *path)
{
    struct buf temporary = {0};
    buf_printf(&temporary, "%s.XXXXXX%c", path, '\0');
    if (temporary.failed) {
        errno = ENOMEM;
        return -1;
    }
    int result = -1;
    int fd = mkostemp(temporary.data, O_CLOEXEC); /* O_EXCL, 0600 */
    if (fd >= 0) {
        result = make_random(l->secret) < 0 || write_key(fd, l->secret) < 0
                     ? -1
                     : publish(temporary.data, path);
        int saved = errno;
        close(fd);
        if (result < 0)
            unlink(temporary.data);
        else
            sync_directory(dir);
        errno = saved;
    }
    int saved = errno;
    buf_free(&temporary);
    errno = saved;
    return result;
}

static enum exit_code create_beside(struct load *l, const char *dir, const char *path)
{
    if (make_key_file(l, dir, path) == 0) {
        buf_printf(l->notes, "%s: made a random key for tokens (keep it; backups do not hold it)\n",
                   path);
        return EXIT_CODE_OK;
    }
    if (errno == EEXIST)
        return read_key_file(l, path, true) < 0 ? cannot_read(l, path, FILE_OPTION) : judge(l, path);
    buf_printf(
        l->error,
        "%s: cannot make the key file: %s; the database's directory must exist and be writable",
        path, strerror(errno));
    return EXIT_CODE_DATABASE;
}

static enum exit_code from_file_beside(struct load *l, const char *dir, const char *path)
{
    if (read_key_file(l, path, true) == 0)
        return judge(l, path);
    if (errno == ENOENT && l->create)
        return create_beside(l, dir, path);
    if (errno != ENOENT)
        return cannot_read(l, path, FILE_OPTION);
    buf_printf(l->notes, "%s: will be made at first start\n", path);
    secret_free(l->secret);
    l->secret = NULL;
    return EXIT_CODE_OK;
}

static enum exit_code beside_database(struct load *l, const char *database)
{
    const char *slash = strrchr(database, '/');
    int dir_len = slash ? (int)(slash - database) : 0;
    struct buf dir = {0}, path = {0};
    buf_printf(&dir, "%.*s%c",
               slash && dir_len == 0 ? 1
               : slash               ? dir_len
                                     : 1,
               slash ? database : ".", '\0');
    buf_printf(&path, "%.*ssecret.key%c", slash ? dir_len + 1 : 0, database, '\0');
    enum exit_code code = EXIT_CODE_INTERNAL;
    if (dir.failed || path.failed)
        buf_printf(l->error, "out of memory");
    else
        code = from_file_beside(l, dir.data, path.data);
    buf_free(&dir);
    buf_free(&path);
    return code;
}

static enum exit_code for_this_start_only(struct load *l)
{
    if (make_random(l->secret) < 0) {
        buf_printf(l->error, "cannot make a random key: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    buf_printf(l->notes,
               "database in memory: a random key for this run only; tokens end with it\n");
    return EXIT_CODE_OK;
}

static enum exit_code from_database(struct load *l)
{
    const char *path = NULL;
    switch (config_database(l->config, &path)) {
    case CONFIG_DATABASE_FILE:
        return beside_database(l, path);
    case CONFIG_DATABASE_MEMORY:
        return for_this_start_only(l);
    case CONFIG_DATABASE_POSTGRESQL:
        break;
    }
    buf_printf(l->error,
               "[auth] secret_key: must be set with a PostgreSQL database, the same on every "
               "machine; make a good one with: " GOOD_KEY);
    return EXIT_CODE_CONFIG;
}

/* The configuration sees to it that not both are set. */
static enum exit_code find(struct load *l)
{
    const struct config *c = l->config;
    if (c->auth_secret_key)
        return secret_from_text(l, c->auth_secret_key, KEY_OPTION);
    if (c->auth_secret_key_file)
        return secret_from_file(l, c->auth_secret_key_file, FILE_OPTION);
    return from_database(l);
}

enum exit_code secret_load(const struct config *config, bool create, struct secret **secret_r,
                           struct buf *error, struct buf *warnings, struct buf *notes)
{
    struct load l = {.config = config,
                     .secret = private_new(sizeof(struct secret)),
                     .create = create,
                     .error = error,
                     .warnings = warnings,
                     .notes = notes};
    *secret_r = NULL;
    if (!l.secret) {
        buf_printf(error, "cannot keep a key: %s", strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    enum exit_code code = find(&l);
    if (code == EXIT_CODE_OK)
        code = secret_find_previous(&l);
    if (code == EXIT_CODE_OK)
        *secret_r = l.secret;
    else
        secret_free(l.secret);
    return code;
}
