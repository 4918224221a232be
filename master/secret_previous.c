/* secret_previous.c: the keys that signed tokens before (secret.h). */
#include "master/secret_internal.h"

#include "shared/private.h"

#include <errno.h>
#include <string.h>

#define TEXTS_OPTION "[auth] previous_secret_keys"
#define FILES_OPTION "[auth] previous_secret_key_files"

/* What *l* has just read, behind those that *s* has. */
static void keep_previous(struct secret *s, const struct load *l)
{
    char *end = keyring_put(s->previous + s->previous_len, secret_key(l->secret));
    s->previous_len = (size_t)(end - s->previous);
}

/* *s* NULL: they are judged only. */
static enum exit_code read_previous(struct load *l, struct secret *s)
{
    const struct config_list *texts = &l->config->auth_previous_secret_keys;
    const struct config_list *files = &l->config->auth_previous_secret_key_files;
    for (size_t i = 0; i < texts->len + files->len; i++) {
        l->secret->len = 0;
        enum exit_code code =
            i < texts->len
                ? secret_from_text(l, texts->items[i], TEXTS_OPTION)
                : secret_from_file(l, files->items[i - texts->len], FILES_OPTION);
        if (code != EXIT_CODE_OK)
            return code;
        if (s)
            keep_previous(s, l);
    }
    return EXIT_CODE_OK;
}

enum exit_code secret_find_previous(struct load *l)
{
    const struct config *c = l->config;
    size_t count = c->auth_previous_secret_keys.len + c->auth_previous_secret_key_files.len;
    if (count == 0)
        return EXIT_CODE_OK;
    if (count > KEYRING_KEYS_MAX) {
        buf_printf(l->error, TEXTS_OPTION ": %zu keys; more than %d are not kept", count,
                   KEYRING_KEYS_MAX);
        return EXIT_CODE_CONFIG;
    }
    struct secret *s = l->secret;
    l->secret = private_new(sizeof *l->secret); /* one key at a time */
    enum exit_code code = l->secret ? read_previous(l, s) : EXIT_CODE_INTERNAL;
    if (!l->secret)
        buf_printf(l->error, "cannot keep a key: %s", strerror(errno));
    secret_free(l->secret);
    l->secret = s;
    if (code == EXIT_CODE_OK)
        buf_printf(l->notes, "tokens that %zu previous key%s signed are honoured\n", count,
                   count == 1 ? "" : "s");
    return code;
}

struct slice secret_previous(const struct secret *s)
{
    return (struct slice){s->previous, s->previous_len};
}

size_t secret_previous_count(const struct secret *s)
{
    struct slice rest = secret_previous(s), key;
    size_t count = 0;
    while (keyring_next(&rest, &key))
        count++;
    return count;
}
