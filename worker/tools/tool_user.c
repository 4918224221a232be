/* tool_user.c: `colmeia user add|list|passwd|delete`. See tools.h. What may be a name or an address
 * is judged by the code that judges them for the API (worker/validate). */
#include "shared/audit.h"
#include "shared/utf8.h"
#include "worker/auth/password.h"
#include "worker/tools/ask.h"
#include "worker/tools/desk.h"
#include "worker/tools/tool.h"
#include "worker/tools/tools.h"
#include "worker/validate/email.h"
#include "worker/validate/strength.h"

#include <stdio.h>
#include <string.h>

enum {
    PAGE_ROWS = 500,
    NAME_COLUMNS = 24,
    CHANGED_TRIES = 3 /* a login may re-hash the password between our look and our write */
};
/* Of an address and its checks, and of an account. */
static const size_t ARENA_MAX_BYTES = (size_t)64 << 20;

struct job {
    const char *verb; /* "user add" */
    const struct config *config;
    const char *path;
    struct tool_words words;
    bool json;
    bool yes;
    struct arena arena; /* of the normalised address, and of the account that was found */
    struct desk *desk;  /* NULL until it is needed */
    uid_t caller;
};

static bool open_desk(struct job *j)
{
    j->desk = desk_open(j->verb, j->config, j->path);
    return j->desk;
}

/* "user 3, alice <alice@example.com>" */
static void append_user(struct buf *out, const struct store_user *user)
{
    buf_printf(out, "user %lld, ", (long long)user->id);
    tool_show(out, user->username);
    buf_append_slice(out, SLICE(" <"));
    tool_show(out, user->email);
    buf_append_char(out, '>');
}

static void append_json(struct buf *out, const struct store_user *user)
{
    buf_printf(out, "{\"id\":%lld,\"username\":", (long long)user->id);
    tool_show_json(out, user->username);
    buf_append_slice(out, SLICE(",\"email\":"));
    tool_show_json(out, user->email);
    buf_append_char(out, '}');
}

static enum exit_code finish(struct job *j, const struct store_user *user, const char *what)
{
    struct buf out = {0};
    if (j->json) {
        append_json(&out, user);
    } else {
        append_user(&out, user);
        buf_append_slice(&out, slice_of(what));
    }
    buf_append_char(&out, '\n');
    bool printed = tool_print(j->verb, &out);
    buf_free(&out);
    return printed ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static enum exit_code complain(const struct job *j, enum store_result result)
{
    desk_complain(j->desk, result);
    return result == STORE_UNKNOWN ? EXIT_CODE_UNKNOWN : EXIT_CODE_FAILED;
}

/* Also of what was not done. A name or an address that nobody has is no account: no line. */
static void record(const struct job *j, enum audit_event event, enum store_result result,
                   const struct store_user *user)
{
    static const struct {
        enum audit_outcome outcome;
        const char *why;
    } ends[] = {
        [STORE_OK] = {AUDIT_OK, NULL},
        [STORE_USERNAME_TAKEN] = {AUDIT_FAILED, "the name is taken"},
        [STORE_EMAIL_TAKEN] = {AUDIT_FAILED, "the address is taken"},
        [STORE_CHANGED] = {AUDIT_FAILED, "the account has changed meanwhile"},
        [STORE_NOT_FOUND] = {AUDIT_FAILED, "the account has changed meanwhile"},
        [STORE_UNKNOWN] = {AUDIT_UNKNOWN, "the database took too long"},
        [STORE_BUSY] = {AUDIT_UNAVAILABLE, NULL},
        [STORE_UNAVAILABLE] = {AUDIT_UNAVAILABLE, NULL},
        [STORE_NO_MEMORY] = {AUDIT_UNAVAILABLE, NULL},
    };
    char who[48];
    snprintf(who, sizeof who, "uid %lld", (long long)j->caller);
    audit_write(&(struct audit){.event = event,
                                .outcome = ends[result].outcome,
                                .who = slice_of(who),
                                .account = user->email,
                                .account_id = user->id,
                                .from = SLICE("command line"),
                                .what = slice_of(j->verb),
                                .why = slice_of(ends[result].why)});
}

/* ---- add ------------------------------------------------------------------------------------- */

static bool check_name(const struct job *j, struct slice name)
{
    if (utf8_is_valid(name))
        return true;
    tool_say(j->verb, "the name is not UTF-8 text");
    return false;
}

static bool check_email(struct job *j, struct slice text, struct slice *email_r)
{
    struct slice reason;
    enum email_result result = EMAIL_INVALID;
    if (utf8_is_valid(text))
        result = email_normalize(&j->arena, text, email_r, &reason);
    else
        reason = SLICE("It is not UTF-8 text.");
    switch (result) {
    case EMAIL_OK:
        return true;
    case EMAIL_INVALID:
        tool_say(j->verb, "the value is not a valid email address: %.*s", SLICE_ARGS(reason));
        return false;
    case EMAIL_NO_MEMORY:
        break;
    }
    tool_say(j->verb, "out of memory");
    return false;
}

static enum exit_code not_added(const struct job *j, enum store_result result, struct slice name,
                                struct slice email)
{
    record(j, AUDIT_EVENT_create, result, &(struct store_user){.username = name, .email = email});
    if (result == STORE_USERNAME_TAKEN)
        tool_say(j->verb, "there is a user with this name already");
    else if (result == STORE_EMAIL_TAKEN)
        tool_say(j->verb, "there is a user with this email already");
    else
        return complain(j, result);
    return EXIT_CODE_FAILED;
}

/* With profile = hardened; else any password will do. False: said why not. */
static bool is_allowed(const struct job *j, struct slice password, struct slice name,
                       struct slice email)
{
    size_t min_chars = (size_t)j->config->auth_password_min_length;
    enum strength strength = STRENGTH_GOOD;
    if (j->config->server_profile == CONFIG_PROFILE_HARDENED)
        strength = strength_of(password, min_chars, name, email);
    if (strength == STRENGTH_TOO_SHORT)
        tool_say(j->verb, "the password must have at least %zu characters", min_chars);
    else if (strength == STRENGTH_TOO_LONG)
        tool_say(j->verb, "the password may have at most %d characters", STRENGTH_MAX_CHARS);
    else if (strength != STRENGTH_GOOD)
        tool_say(j->verb, "%s; profile = hardened allows no such one", strength_words(strength));
    return strength == STRENGTH_GOOD;
}

/* Asks and hashes; the hash is the desk's. {NULL, 0}: said why not. */
static struct slice new_hash(const struct job *j, struct slice name, struct slice email)
{
    struct ask_password *password = ask_password(j->verb);
    struct slice hash = {NULL, 0};
    if (password && is_allowed(j, ask_password_text(password), name, email))
        hash = desk_hash(j->desk, ask_password_text(password));
    ask_password_free(password);
    return hash;
}

static enum exit_code user_add(struct job *j)
{
    struct slice name = slice_of(j->words.at[0]), email;
    if (!check_name(j, name) || !check_email(j, slice_of(j->words.at[1]), &email) ||
        !open_desk(j))
        return EXIT_CODE_FAILED;
    enum store_result result = desk_conflict(j->desk, name, email);
    if (result != STORE_NOT_FOUND)
        return not_added(j, result, name, email);
    struct slice hash = new_hash(j, name, email);
    if (!hash.ptr)
        return EXIT_CODE_FAILED;
    struct store_user user;
    result = desk_create(j->desk, name, email, hash, &user);
    if (result != STORE_OK)
        return not_added(j, result, name, email); /* perhaps somebody was faster */
    record(j, AUDIT_EVENT_create, STORE_OK, &user);
    return finish(j, &user, ", added");
}

/* ---- list ------------------------------------------------------------------------------------ */

static void append_row(struct buf *out, const struct store_user *user)
{
    buf_printf(out, "%6lld  ", (long long)user->id);
    for (size_t columns = tool_show(out, user->username); columns < NAME_COLUMNS; columns++)
        buf_append_char(out, ' ');
    buf_append_slice(out, SLICE("  "));
    tool_show(out, user->email);
    buf_append_char(out, '\n');
}

static void append_page(struct buf *out, const struct job *j, const struct store_user *users,
                        size_t len, bool first)
{
    for (size_t i = 0; i < len; i++) {
        if (!j->json) {
            append_row(out, &users[i]);
            continue;
        }
        if (!first || i > 0)
            buf_append_slice(out, SLICE(",\n"));
        append_json(out, &users[i]);
    }
}

/* Page by page from the last id on, so that a big table costs no memory, and whoever comes or goes
 * meanwhile shifts nobody. */
static enum exit_code print_pages(struct job *j, struct buf *out)
{
    int64_t after = INT64_MIN;
    bool first = true;
    for (;;) {
        const struct store_user *users;
        size_t len;
        enum store_result result = desk_list(j->desk, after, PAGE_ROWS, &users, &len);
        if (result != STORE_OK)
            return complain(j, result);
        append_page(out, j, users, len, first);
        if (len < PAGE_ROWS)
            return EXIT_CODE_OK;
        if (!tool_print(j->verb, out))
            return EXIT_CODE_FAILED;
        after = users[len - 1].id;
        first = false;
    }
}

static enum exit_code user_list(struct job *j)
{
    struct buf out = {0};
    if (!open_desk(j))
        return EXIT_CODE_FAILED;
    if (j->json)
        buf_append_slice(&out, SLICE("{\"users\":["));
    else
        buf_printf(&out, "%6s  %-*s  %s\n", "id", NAME_COLUMNS, "username", "email");
    enum exit_code code = print_pages(j, &out);
    if (j->json)
        buf_append_slice(&out, SLICE("]}\n"));
    if (code == EXIT_CODE_OK && !tool_print(j->verb, &out))
        code = EXIT_CODE_FAILED;
    buf_free(&out);
    return code;
}

/* ---- passwd and delete ----------------------------------------------------------------------- */

/* By id when it is a number, else by address, normalised as sign-ups are. */
static enum store_result find(struct job *j, struct store_user *user_r)
{
    struct slice word = slice_of(j->words.at[0]), email, reason;
    uint64_t id;
    if (slice_to_u64(word, INT64_MAX, &id))
        return desk_by_id(j->desk, (int64_t)id, user_r);
    if (!utf8_is_valid(word) || email_normalize(&j->arena, word, &email, &reason) != EMAIL_OK)
        email = word; /* the database may hold what nobody would be let in with today */
    return desk_by_email(j->desk, email, user_r);
}

/* The desk's rows live only until its next answer. False without memory. */
static bool keep(struct job *j, const struct store_user *user, struct store_user *kept_r)
{
    *kept_r = (struct store_user){.id = user->id,
                                  .username = slice_dup(&j->arena, user->username),
                                  .email = slice_dup(&j->arena, user->email),
                                  .password = slice_dup(&j->arena, user->password)};
    return kept_r->username.ptr && kept_r->email.ptr && kept_r->password.ptr;
}

static bool find_or_say(struct job *j, struct store_user *user_r)
{
    struct store_user found;
    enum store_result result = find(j, &found);
    if (result == STORE_OK && !keep(j, &found, user_r))
        result = STORE_NO_MEMORY;
    if (result == STORE_OK)
        return true;
    if (result == STORE_NOT_FOUND)
        tool_say(j->verb,
                 "there is no user with this id or email; \"colmeia user list\" shows all");
    else
        complain(j, result);
    return false;
}

/* An id may be another's by now. The salt of a password never is; a login that hashes it again
 * keeps it. */
static bool is_same(const struct store_user *then, const struct store_user *now)
{
    struct slice salt = password_salt(then->password);
    return slice_equals(then->password, now->password) ||
           (salt.ptr && slice_equals(salt, password_salt(now->password)));
}

/* Brings *user* up to date. CHANGED: it is another one, or has another password, by now. */
static enum store_result look_again(struct job *j, struct store_user *user)
{
    struct store_user now;
    enum store_result result = desk_by_id(j->desk, user->id, &now);
    if (result != STORE_OK)
        return result;
    if (!is_same(user, &now))
        return STORE_CHANGED;
    return keep(j, &now, user) ? STORE_OK : STORE_NO_MEMORY;
}

/* Deletes the user that was found, or gives it this password, and repeats that when a login has
 * just hashed its password again. Whoever it was found for has been asked since: the row may be
 * gone by now, or not be what was meant. */
static enum exit_code write_found(struct job *j, struct store_user *user, struct slice hash,
                                  const char *what)
{
    enum store_result result = STORE_CHANGED;
    for (int i = 0; i < CHANGED_TRIES && result == STORE_CHANGED; i++) {
        result = look_again(j, user);
        if (result != STORE_OK)
            break;
        result = hash.ptr ? desk_set_password(j->desk, user, hash) : desk_delete(j->desk, user);
    }
    record(j, hash.ptr ? AUDIT_EVENT_update : AUDIT_EVENT_delete, result, user);
    if (result == STORE_OK)
        return finish(j, user, what);
    if (result == STORE_NOT_FOUND)
        tool_say(j->verb, "user %lld is gone: somebody else has just deleted it",
                 (long long)user->id);
    else if (result == STORE_CHANGED)
        tool_say(j->verb,
                 "user %lld has changed meanwhile: it has another password, or is another user; "
                 "look again (\"colmeia user list\"). Nothing was done",
                 (long long)user->id);
    else
        return complain(j, result);
    return EXIT_CODE_FAILED;
}

static enum exit_code user_passwd(struct job *j)
{
    struct store_user user;
    if (!open_desk(j) || !find_or_say(j, &user))
        return EXIT_CODE_FAILED;
    struct slice hash = new_hash(j, user.username, user.email);
    if (!hash.ptr)
        return EXIT_CODE_FAILED;
    return write_found(j, &user, hash,
                       ": password changed; tokens given out before are refused now");
}

/* False: said why not, or the answer was no. */
static bool is_meant(const struct job *j, const struct store_user *user)
{
    if (j->yes)
        return true;
    if (!ask_is_possible()) {
        tool_say(j->verb, "nobody can be asked, for standard input is no terminal; --yes deletes "
                          "without asking");
        return false;
    }
    struct buf question = {0};
    buf_append_slice(&question, SLICE("delete "));
    append_user(&question, user);
    buf_append_char(&question, '?');
    bool yes = !question.failed && ask_yes(buf_slice(&question));
    buf_free(&question);
    if (!yes)
        tool_say(j->verb, "nothing was deleted");
    return yes;
}

static enum exit_code user_delete(struct job *j)
{
    struct store_user user;
    if (!open_desk(j) || !find_or_say(j, &user) || !is_meant(j, &user))
        return EXIT_CODE_FAILED;
    return write_found(j, &user, (struct slice){NULL, 0}, ", deleted");
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    const char *verb;
    const char *usage; /* of its words */
    size_t words;
    bool takes_yes;
    enum exit_code (*run)(struct job *j);
} verbs[] = {
    {"add", "user add", "NAME EMAIL", 2, false, user_add},
    {"list", "user list", "no word", 0, false, user_list},
    {"passwd", "user passwd", "EMAIL or ID", 1, false, user_passwd},
    {"delete", "user delete", "EMAIL or ID", 1, true, user_delete},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static bool take_words(struct job *j, const struct verb *v, const struct tool_words *all)
{
    j->words.len = all->len - 1;
    memcpy(j->words.at, all->at + 1, j->words.len * sizeof *all->at);
    if (j->words.len != v->words)
        tool_say(v->verb, "it takes %s; try \"colmeia user --help\"", v->usage);
    else if (j->yes && !v->takes_yes)
        tool_say(v->verb, "it takes no --yes");
    else
        return true;
    return false;
}

static const struct verb *find_verb(const struct tool_words *words)
{
    for (size_t i = 0; words->len > 0 && i < VERBS; i++)
        if (strcmp(words->at[0], verbs[i].name) == 0)
            return &verbs[i];
    if (words->len > 0)
        tool_say("user", "\"%s\" is none of add, list, passwd and delete", words->at[0]);
    else
        tool_say("user", "it needs one of the words add, list, passwd and delete");
    return NULL;
}

/* What cannot be recorded is not done. */
static bool start_audit(const struct job *j)
{
    struct buf error = {0};
    bool good = audit_start(j->config->log_audit, (uid_t)-1, (gid_t)-1, &error);
    if (!good)
        tool_say(j->verb, "%.*s", SLICE_ARGS(buf_slice(&error)));
    audit_use_syslog();
    buf_free(&error);
    return good;
}

int tools_user(const struct entry *entry)
{
    struct job j = {.config = entry->config, .caller = entry->caller};
    const struct tool_option options[] = {{"--json", &j.json, NULL}, {"--yes", &j.yes, NULL}};
    struct tool_words words;
    if (!tool_words("user", entry->argc, entry->argv, options, 2, &words))
        return EXIT_CODE_USAGE;
    const struct verb *v = find_verb(&words);
    if (!v || !take_words(&j, v, &words))
        return EXIT_CODE_USAGE;
    j.verb = v->verb;
    tool_obey_keys();
    enum exit_code code = tool_database(j.verb, j.config, &j.path);
    if (code == EXIT_CODE_OK && v->run != user_list && !start_audit(&j))
        code = EXIT_CODE_CONFIG;
    if (code != EXIT_CODE_OK)
        return code;
    arena_init(&j.arena, NULL, 0, ARENA_MAX_BYTES);
    code = v->run(&j);
    desk_close(j.desk);
    audit_stop();
    arena_fini(&j.arena);
    return code;
}
