/* config.c: the sources in their order, what one value has to do with another, and the life of a
 * configuration. */
#include "shared/config.h"

#include "curl_build.h"
#include "shared/check.h"
#include "shared/config_internal.h"
#include "shared/door.h"
#include "shared/private.h"
#include "tls_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_MAX = 64 * 1024 * 1024 };

const struct option config_options[OPTIONS_LEN] = {
#define OPTION(section, key, type, fallback, check, flags, flag, environment, help)                \
    {#section, #key, OPTION_##type, fallback, check,                                               \
     flags,    flag, environment,   help,     offsetof(struct config, section##_##key)},
#include "shared/options.def"
#undef OPTION
};

struct secret_ref {
    struct secret_ref *next;
    struct slice text;
};

/* ---- the loader ----------------------------------------------------------------------------- */

const char *loader_format(struct loader *l, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    char *text = n >= 0 ? arena_alloc(&l->priv->arena, (size_t)n + 1) : NULL;
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    else
        l->no_memory = true;
    va_end(again);
    va_end(ap);
    return text ? text : "";
}

static void remember_secret(struct loader *l, struct slice text)
{
    struct secret_ref *ref = arena_alloc(&l->priv->arena, sizeof *ref);
    if (!ref) {
        explicit_bzero((char *)(uintptr_t)text.ptr, text.len);
        l->no_memory = true;
        return;
    }
    *ref = (struct secret_ref){l->priv->secrets, text};
    l->priv->secrets = ref;
}

struct slice loader_keep_secret(struct loader *l, struct slice s)
{
    struct slice copy = slice_dup(&l->priv->arena, s);
    if (copy.ptr)
        remember_secret(l, copy);
    else
        l->no_memory = true;
    return copy;
}

__attribute__((format(printf, 3, 0))) static void say(struct buf *out, const char *origin,
                                                      const char *format, va_list ap)
{
    buf_printf(out, "%s: ", origin);
    buf_vprintf(out, format, ap);
    buf_append_char(out, '\n');
}

void loader_error(struct loader *l, const char *origin, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(l->errors, origin, format, ap);
    va_end(ap);
}

void loader_warning(struct loader *l, const char *origin, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(l->warnings, origin, format, ap);
    va_end(ap);
}

static void note_place(struct loader *l, const struct option *o, const struct place *place)
{
    l->priv->origins[option_id(o)] = place->origin;
    l->priv->sources[option_id(o)] = place->source;
}

void loader_unset(struct loader *l, const struct option *o, const struct place *place)
{
    ASSERT(!o->fallback);
    option_store(l->config, o, &(struct option_value){0});
    note_place(l, o, place);
}

/* secret_key and secret_key_file are two ways to say one thing: within one source that is an error,
 * else the later source wins. */
static void settle_rivals(struct loader *l, const struct option *o, const struct place *place)
{
    static const enum option_id rivals[] = {OPTION_ID_auth_secret_key,
                                            OPTION_ID_auth_secret_key_file};
    const struct option *other = NULL;
    for (size_t i = 0; i < 2; i++)
        if (option_id(o) == rivals[i])
            other = &config_options[rivals[1 - i]];
    if (!other || !option_load(l->config, other).string)
        return;
    enum option_id id = option_id(other);
    if (l->priv->sources[id] == place->source) {
        loader_error(l, place->origin, "%s: %s is set too (%s); keep one of them", o->key,
                     other->key, l->priv->origins[id]);
        return;
    }
    const char *origin = loader_format(l, "unset by %s", place->origin);
    loader_unset(l, other, &(struct place){place->source, origin, NULL});
}

/* Before note_place: what an earlier source said is still there. */
static void note_shadow(struct loader *l, const struct option *o, struct slice text,
                        const struct place *place)
{
    enum option_id id = option_id(o);
    if (place->source == CONFIG_DEFAULT || (o->flags & SECRET))
        return;
    if (l->priv->texts[id] && place->source > l->priv->sources[id])
        l->priv->shadowed[id] =
            loader_format(l, "%s (%s)", l->priv->texts[id], l->priv->origins[id]);
    l->priv->texts[id] = loader_format(l, "%.*s", SLICE_ARGS(text));
}

void loader_assign(struct loader *l, const struct option *o, struct slice text,
                   const struct place *place)
{
    struct option_value value;
    struct buf why = {0};
    errno = 0;
    if (option_parse(o, text, &l->priv->arena, &value, &why)) {
        option_store(l->config, o, &value);
        note_shadow(l, o, text, place);
        settle_rivals(l, o, place);
        note_place(l, o, place);
    } else {
        l->no_memory |= errno == ENOMEM;
        loader_error(l, place->origin, "%s%s%.*s", place->subject ? place->subject : "",
                     place->subject ? ": " : "", SLICE_ARGS(buf_slice(&why)));
    }
    if ((o->flags & SECRET) && value.string)
        remember_secret(l, slice_of(value.string));
    for (size_t i = 0; (o->flags & SECRET) && i < value.list.len; i++)
        remember_secret(l, slice_of(value.list.items[i]));
    buf_free(&why);
}

/* ---- sources -------------------------------------------------------------------------------- */

static void apply_defaults(struct loader *l)
{
    size_t errors_before = l->errors->len;
    struct place place = {CONFIG_DEFAULT, "default", NULL};
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        place.subject = o->key;
        if (o->fallback)
            loader_assign(l, o, slice_of(o->fallback), &place);
        else
            loader_unset(l, o, &place);
    }
    ASSERT(l->errors->len == errors_before || l->no_memory); /* options.def holds only what it allows */
}

typedef void apply_fn(struct loader *l, const char *path, struct slice text);

/* False: it must be there, or is there, and cannot be read. */
static bool read_one(struct loader *l, const char *path, bool named, bool regular,
                     struct slice *text_r)
{
    *text_r = (struct slice){0};
    return file_read(l, path, named, regular, text_r) != FILE_BAD;
}

static void apply_text(struct loader *l, const char *path, struct slice text, apply_fn *apply)
{
    if (text.ptr)
        apply(l, loader_format(l, "%s", path), text);
}

/* ---- what values have to do with each other ------------------------------------------------- */

static const char *origin_of(const struct loader *l, enum option_id id)
{
    return l->priv->origins[id];
}

static void check_limits(struct loader *l)
{
    const struct config *c = l->config;
    if (c->limits_max_target > c->limits_max_head)
        loader_error(l, origin_of(l, OPTION_ID_limits_max_target),
                     "max_target: %lld bytes do not fit into a head of max_head, %lld bytes (%s)",
                     (long long)c->limits_max_target, (long long)c->limits_max_head,
                     origin_of(l, OPTION_ID_limits_max_head));
}

/* Each worker would have a database of its own. */
static void check_memory(struct loader *l)
{
    const char *path;
    if (config_database(l->config, &path) == CONFIG_DATABASE_MEMORY &&
        l->config->server_workers > 1)
        loader_error(l, origin_of(l, OPTION_ID_database_url),
                     "url: a database in memory serves one worker, not %lld (%s); use --workers 1",
                     (long long)l->config->server_workers, origin_of(l, OPTION_ID_server_workers));
}

/* The upstream answers nobody who has no key. */
static void check_orders(struct loader *l)
{
    const char *key = l->config->orders_apikey;
    if (l->config->orders_upstream && !(key && key[0]))
        loader_error(l, origin_of(l, OPTION_ID_orders_upstream),
                     "upstream: it needs a key; set [orders] apikey, or APIKEY in the environment");
    if (l->config->orders_upstream && !COLMEIA_CURL)
        loader_error(l, origin_of(l, OPTION_ID_orders_upstream),
                     "upstream: this program was built without libcurl (COLMEIA_CURL=OFF)");
}

/* Set where the binary holds the list of common passwords. */
static void check_profile(struct loader *l)
{
#ifndef COLMEIA_COMMON_PASSWORDS
    if (l->config->server_profile == CONFIG_PROFILE_HARDENED)
        loader_error(l, origin_of(l, OPTION_ID_server_profile),
                     "profile: this colmeia was built without the list of common passwords, which "
                     "hardened needs; build it where the npm registry can be reached");
#endif
}

bool config_has_tls(const struct config *c)
{
    struct buf ignored = {0};
    bool found = false;
    for (size_t i = 0; i < c->server_bind.len && !found; i++) {
        struct sock_address address;
        unsigned words = 0;
        found = door_parse(slice_of(c->server_bind.items[i]), &address, &words, &ignored) &&
                (words & DOOR_TLS);
    }
    buf_free(&ignored);
    return found;
}

static void check_tls(struct loader *l)
{
    const struct config *c = l->config;
    const char *where = origin_of(l, OPTION_ID_server_bind);
    if (!config_has_tls(c))
        return;
    if (!COLMEIA_TLS)
        loader_error(l, where, "bind: this program was built without TLS; leave \"tls\" out");
    else if (!c->tls_certificate)
        loader_error(l, where, "bind: \"tls\" needs a certificate; set [tls] certificate and key");
    else if (!c->tls_key)
        loader_error(l, origin_of(l, OPTION_ID_tls_certificate),
                     "certificate: it needs its private key; set [tls] key");
}

static void check_together(struct loader *l)
{
    check_profile(l);
    check_tls(l);
    check_orders(l);
    check_limits(l);
    check_memory(l);
}

/* ---- public --------------------------------------------------------------------------------- */

static struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);
    struct config_private *priv = calloc(1, sizeof *priv);
    if (!c || !priv) {
        free(c);
        free(priv);
        return NULL;
    }
    arena_init_secret(&priv->arena, ARENA_MAX);
    c->private_data = priv;
    return c;
}

/* False, with errno: memory ran out, or it is a bad configuration. */
static bool says_why(bool no_memory)
{
    errno = no_memory ? ENOMEM : EINVAL;
    return false;
}

bool config_read(const struct config_flags *flags, bool regular, struct config_text *text_r,
                 struct buf *errors)
{
    const char *ini = flags->config_path, *env = flags->env_path;
    struct loader l = {.errors = errors};
    *text_r = (struct config_text){.ini_path = ini ? ini : CONFIG_DEFAULT_INI,
                                   .env_path = env ? env : CONFIG_DEFAULT_ENV};
    bool read = read_one(&l, text_r->ini_path, ini != NULL, regular, &text_r->ini);
    read = read_one(&l, text_r->env_path, env != NULL, regular, &text_r->env) && read;
    return read || says_why(l.no_memory);
}

static bool copy_file(struct slice from, struct slice *to_r)
{
    char *copy = from.ptr ? private_new(from.len + 1) : NULL;
    if (copy && from.len > 0)
        memcpy(copy, from.ptr, from.len);
    *to_r = (struct slice){copy, copy ? from.len : 0};
    return !from.ptr == !copy;
}

bool config_text_make(const struct config_flags *flags, struct slice ini, struct slice env,
                      struct config_text *text_r)
{
    const char *ini_path = flags->config_path, *env_path = flags->env_path;
    *text_r = (struct config_text){.ini_path = ini_path ? ini_path : CONFIG_DEFAULT_INI,
                                   .env_path = env_path ? env_path : CONFIG_DEFAULT_ENV};
    if (copy_file(ini, &text_r->ini) && copy_file(env, &text_r->env))
        return true;
    config_text_free(text_r);
    return false;
}

void config_text_free(struct config_text *text)
{
    file_free(text->ini);
    file_free(text->env);
    text->ini = text->env = (struct slice){0};
}

bool config_text_equals(const struct config_text *a, const struct config_text *b)
{
    return slice_equals(a->ini, b->ini) && slice_equals(a->env, b->env) &&
           !a->ini.ptr == !b->ini.ptr && !a->env.ptr == !b->env.ptr;
}

struct config *config_load(const struct config_flags *flags, struct buf *errors,
                           struct buf *warnings)
{
    struct config_text text;
    struct config *c = config_load_text(flags, &text, errors, warnings);
    config_text_free(&text);
    return c;
}

struct config *config_load_text(const struct config_flags *flags, struct config_text *text_r,
                                struct buf *errors, struct buf *warnings)
{
    bool read = config_read(flags, false, text_r, errors);
    bool no_memory = !read && errno == ENOMEM;
    struct config *c = config_parse(flags, text_r, errors, warnings);
    if (read)
        return c;
    config_free(c);
    says_why(no_memory);
    return NULL;
}

struct config *config_parse(const struct config_flags *flags, const struct config_text *text,
                            struct buf *errors, struct buf *warnings)
{
    size_t errors_before = errors->len;
    struct config *c = config_new();
    if (!c) {
        buf_append_slice(errors, SLICE("configuration: out of memory\n"));
        says_why(true);
        return NULL;
    }
    struct loader l = {c, c->private_data, errors, warnings, false};
    apply_defaults(&l);
    apply_text(&l, text->ini_path, text->ini, ini_apply);
    apply_text(&l, text->env_path, text->env, dotenv_apply);
    environment_apply(&l, flags->environ);
    flags_apply(&l, flags->argc, flags->argv);
    if (l.no_memory)
        loader_error(&l, "configuration", "out of memory");
    else
        check_together(&l);
    if (errors->len == errors_before && !errors->failed)
        return c;
    config_free(c);
    says_why(l.no_memory || errors->failed);
    return NULL;
}

void config_forget_secrets(struct config *c)
{
    for (const struct secret_ref *ref = c->private_data->secrets; ref; ref = ref->next)
        explicit_bzero((char *)(uintptr_t)ref->text.ptr, ref->text.len);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    struct config_private *priv = c->private_data;
    arena_fini(&priv->arena); /* which wipes it */
    free(priv);
    free(c);
}

bool config_bind_is_default(const struct config *c)
{
    return c->private_data->sources[OPTION_ID_server_bind] == CONFIG_DEFAULT;
}

enum config_database config_database(const struct config *c, const char **path_r)
{
    enum config_database kind;
    struct buf why = {0};
    ASSERT(database_parse(c->database_url, &kind, path_r, &why)); /* it was checked */
    return kind;
}
