/* test_store.c: the store's contract, the same cases for every driver: SQLite in a file, SQLite in
 * memory, and the scripted fake, whose own behaviour (late, reordered, refused answers) comes last.
 */
#include "fake_driver.h"
#include "store_tester.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct store_driver *driver_under_test;
static enum config_database kind_under_test;

static int setup(void **state)
{
    struct tester *t = tester_new(driver_under_test);
    t->options.kind = kind_under_test;
    if (kind_under_test == CONFIG_DATABASE_MEMORY)
        t->options.path = NULL;
    tester_open(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    fake_driver_script(NULL, 0);
    tester_free(*state);
    return 0;
}

/* For options that matter when it opens. The old store's rows are gone with the fake and memory. */
static void reopen(struct tester *t)
{
    tester_close(t);
    tester_open(t);
}

static void assert_slice(struct slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void create_and_read(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    assert_non_null(store_user_create(t->store, SLICE("alice"), SLICE("alice@example.com"),
                                      SLICE("hash1"), answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(a.users_len, 1);
    assert_int_equal(a.users[0].id, 1);
    assert_slice(a.users[0].username, "alice");
    assert_slice(a.users[0].email, "alice@example.com");
    assert_slice(a.users[0].password, "hash1");

    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    assert_int_equal(a.users_len, 1);
    assert_int_equal(a.users[0].id, 1);
    assert_slice(a.users[0].username, "alice");
    assert_slice(a.users[0].email, "alice@example.com");
    assert_slice(a.users[0].password, "hash1");

    answer_fini(&a);
    assert_non_null(store_user_profile(t->store, 1, answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(a.users_len, 1);
    assert_int_equal(a.users[0].id, 1);
    assert_slice(a.users[0].username, "alice");
    assert_slice(a.users[0].email, "alice@example.com");
    assert_null(a.users[0].password.ptr);

    const int64_t absent[] = {0, -1, 2, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        assert_int_equal(tester_by_id(t, absent[i], &a), STORE_NOT_FOUND);
        assert_int_equal(a.users_len, 0);
    }
    const struct {
        const char *email;
        enum store_result result;
    } emails[] = {{"alice@example.com", STORE_OK},
                  {"ALICE@example.com", STORE_NOT_FOUND},
                  {"alice@example.co", STORE_NOT_FOUND},
                  {"", STORE_NOT_FOUND}};
    for (size_t i = 0; i < sizeof emails / sizeof *emails; i++) {
        answer_fini(&a);
        store_user_by_email(t->store, slice_of(emails[i].email), answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), emails[i].result);
        assert_int_equal(a.users_len, emails[i].result == STORE_OK);
    }
    answer_fini(&a);
}

static void duplicates(void **state)
{
    struct tester *t = *state;
    const struct {
        const char *username;
        const char *email;
        enum store_result conflict; /* asked before */
        enum store_result create;
    } cases[] = {
        {"alice", "alice@x.com", STORE_NOT_FOUND, STORE_OK},
        {"bob", "bob@x.com", STORE_NOT_FOUND, STORE_OK},
        {"alice", "new@x.com", STORE_USERNAME_TAKEN, STORE_USERNAME_TAKEN},
        {"new", "alice@x.com", STORE_EMAIL_TAKEN, STORE_EMAIL_TAKEN},
        {"alice", "alice@x.com", STORE_USERNAME_TAKEN, STORE_USERNAME_TAKEN},
        {"bob", "alice@x.com", STORE_USERNAME_TAKEN, STORE_USERNAME_TAKEN},
        {"alice", "bob@x.com", STORE_USERNAME_TAKEN, STORE_USERNAME_TAKEN},
        {"Alice", "Alice@x.com", STORE_NOT_FOUND, STORE_OK},
        {"alice ", "alice@x.com ", STORE_NOT_FOUND, STORE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        store_user_conflict(t->store, slice_of(cases[i].username), slice_of(cases[i].email),
                            answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), cases[i].conflict);
        answer_fini(&a);
        assert_int_equal(tester_create(t, cases[i].username, cases[i].email, "h"), cases[i].create);
    }
    char text[200];
    assert_string_equal(tester_list(t, text, sizeof text),
                        "1 alice alice@x.com; 2 bob bob@x.com; 3 Alice Alice@x.com; "
                        "4 alice  alice@x.com ; ");
}

static void lists(void **state)
{
    struct tester *t = *state;
    enum { ROWS = 1000 };
    static struct answer made[ROWS];
    for (int i = 0; i < ROWS; i++) {
        char name[16], email[24];
        snprintf(name, sizeof name, "u%d", i + 1);
        snprintf(email, sizeof email, "u%d@x.com", i + 1);
        store_user_create(t->store, slice_of(name), slice_of(email), SLICE("h"), answer_on_done,
                          &made[i]);
    }
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(tester_await(t, &made[i]), STORE_OK);
        answer_fini(&made[i]);
    }
    const struct {
        int64_t offset, limit;
        int first, last;
    } cases[] = {
        {0, 100, 1, 100},
        {0, 1, 1, 1},
        {0, 0, 0, 0},
        {990, 100, 991, 1000},
        {999, 1, 1000, 1000},
        {1000, 1, 0, 0},
        {0, INT64_MAX, 1, 1000},
        {1, INT64_MAX, 2, 1000},
        {INT64_MAX, INT64_MAX, 0, 0},
    };
    /* ids have no gaps here, so to skip so many and to begin behind that id are the same */
    for (size_t n = 0; n < 2 * (sizeof cases / sizeof *cases); n++) {
        size_t i = n / 2;
        struct answer a = {0};
        if (n % 2)
            store_user_list_after(t->store, cases[i].offset, cases[i].limit, answer_on_done, &a);
        else
            store_user_list(t->store, cases[i].offset, cases[i].limit, &tester_form, 0,
                            answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), STORE_OK);
        struct buf got = {0}, wanted = {0};
        buf_append_slice(&got, a.text);
        for (size_t k = 0; k < a.users_len; k++)
            tester_form.row(&got, &a.users[k]);
        for (int id = cases[i].first; id && id <= cases[i].last; id++)
            buf_printf(&wanted, "%d u%d u%d@x.com; ", id, id, id);
        assert_true(slice_equals(buf_slice(&got), buf_slice(&wanted)));
        buf_free(&got);
        buf_free(&wanted);
        answer_fini(&a);
    }
}

/* A list that does not fit says so, which is no trouble of the database; without a bound it comes. */
static void lists_within_memory(void **state)
{
    struct tester *t = *state;
    enum { BYTES = sizeof("1 u1 u1; ") - 1, TEXT = 9 * BYTES + 55 * (BYTES + 3) };
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%d", i + 1);
        assert_int_equal(tester_create(t, name, name, "h"), STORE_OK);
    }
    const struct {
        int64_t limit;
        size_t max_bytes;
        enum store_result result;
        size_t len;
    } cases[] = {
        {64, 0, STORE_OK, 64},           {64, TEXT, STORE_OK, 64}, {64, TEXT - 1, STORE_TOO_LARGE, 0},
        {9, 9 * BYTES, STORE_OK, 9},     {9, 9 * BYTES - 1, STORE_TOO_LARGE, 0},
        {1, BYTES, STORE_OK, 1},         {64, 1, STORE_TOO_LARGE, 0}, {0, 1, STORE_OK, 0},
        {64, SIZE_MAX, STORE_OK, 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        store_user_list(t->store, 0, cases[i].limit, &tester_form, cases[i].max_bytes, answer_on_done,
                        &a);
        assert_int_equal(tester_await(t, &a), cases[i].result);
        assert_int_equal(answer_rows(&a), cases[i].len);
        assert_true(a.text.ptr ? cases[i].result == STORE_OK : cases[i].result == STORE_TOO_LARGE);
        answer_fini(&a);
    }
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 0);
}

static void write_id(struct buf *out, const struct store_user *user)
{
    buf_printf(out, "%d", (int)user->id);
}

/* What a form opens and closes with is there without rows too, and is counted. */
static void lists_by_form(void **state)
{
    struct tester *t = *state;
    static const struct store_list_form form = {
        {"[rows: ", 7}, {", ", 2}, {" all]", 5}, write_id};
    tester_create(t, "a", "a", "h");
    tester_create(t, "b", "b", "h");
    const struct {
        int64_t limit;
        size_t max_bytes;
        const char *text; /* NULL: too large */
    } cases[] = {
        {0, 0, "[rows:  all]"},     {1, 0, "[rows: 1 all]"},  {2, 0, "[rows: 1, 2 all]"},
        {2, 16, "[rows: 1, 2 all]"}, {2, 15, NULL},            {1, 13, "[rows: 1 all]"},
        {1, 12, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        store_user_list(t->store, 0, cases[i].limit, &form, cases[i].max_bytes, answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), cases[i].text ? STORE_OK : STORE_TOO_LARGE);
        if (cases[i].text)
            assert_slice(a.text, cases[i].text);
        answer_fini(&a);
    }
}

static void updates(void **state)
{
    struct tester *t = *state;
    tester_create(t, "alice", "alice@x.com", "h1");
    tester_create(t, "bob", "bob@x.com", "h2");
    const struct {
        int64_t id;
        const char *seen, *username, *email, *password;
        enum store_result result;
        const char *after;
    } cases[] = {
        {1, "h1", "alice", "alice@x.com", "h1", STORE_OK, "1 alice alice@x.com; 2 bob bob@x.com; "},
        {1, "h1", "al", "alice@x.com", "h3", STORE_OK, "1 al alice@x.com; 2 bob bob@x.com; "},
        {1, "h1", "x", "x@x.com", "h4", STORE_CHANGED, "1 al alice@x.com; 2 bob bob@x.com; "},
        {1, "h3", "bob", "alice@x.com", "h4", STORE_USERNAME_TAKEN,
         "1 al alice@x.com; 2 bob bob@x.com; "},
        {1, "h3", "al", "bob@x.com", "h4", STORE_EMAIL_TAKEN,
         "1 al alice@x.com; 2 bob bob@x.com; "},
        {1, "h3", "bob", "bob@x.com", "h4", STORE_USERNAME_TAKEN,
         "1 al alice@x.com; 2 bob bob@x.com; "},
        {1, "h1", "bob", "bob@x.com", "h4", STORE_CHANGED, "1 al alice@x.com; 2 bob bob@x.com; "},
        {7, "h1", "x", "x@x.com", "h4", STORE_CHANGED, "1 al alice@x.com; 2 bob bob@x.com; "},
        {2, "h2", "b", "b@x.com", "h5", STORE_OK, "1 al alice@x.com; 2 b b@x.com; "},
        {1, "h3", "bob", "bob@x.com", "h6", STORE_OK, "1 bob bob@x.com; 2 b b@x.com; "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        char text[200];
        store_user_update(t->store, cases[i].id, slice_of(cases[i].seen),
                          slice_of(cases[i].username), slice_of(cases[i].email),
                          slice_of(cases[i].password), answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), cases[i].result);
        assert_int_equal(a.users_len, cases[i].result == STORE_OK);
        if (a.users_len) {
            assert_int_equal(a.users[0].id, cases[i].id);
            assert_slice(a.users[0].username, cases[i].username);
            assert_slice(a.users[0].email, cases[i].email);
            assert_slice(a.users[0].password, cases[i].password);
        }
        assert_string_equal(tester_list(t, text, sizeof text), cases[i].after);
        answer_fini(&a);
    }
    struct answer a = {0};
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    assert_slice(a.users[0].password, "h6");
    answer_fini(&a);
}

static enum store_result delete_user(struct tester *t, int64_t id, const char *seen)
{
    struct answer a = {0};
    store_user_delete(t->store, id, slice_of(seen), answer_on_done, &a);
    enum store_result result = tester_await(t, &a);
    assert_int_equal(a.users_len, 0);
    answer_fini(&a);
    return result;
}

static void deletes(void **state)
{
    struct tester *t = *state;
    char text[200];
    tester_create(t, "alice", "alice@x.com", "h1");
    tester_create(t, "bob", "bob@x.com", "h2");
    assert_int_equal(delete_user(t, 1, "h2"), STORE_CHANGED);
    assert_int_equal(delete_user(t, 3, "h2"), STORE_CHANGED);
    assert_string_equal(tester_list(t, text, sizeof text),
                        "1 alice alice@x.com; 2 bob bob@x.com; ");
    assert_int_equal(delete_user(t, 1, "h1"), STORE_OK);
    assert_int_equal(delete_user(t, 1, "h1"), STORE_CHANGED);
    assert_string_equal(tester_list(t, text, sizeof text), "2 bob bob@x.com; ");
    /* the name is free again; the id is the highest one's successor, as in the Python app */
    assert_int_equal(tester_create(t, "alice", "alice@x.com", "h3"), STORE_OK);
    assert_string_equal(tester_list(t, text, sizeof text),
                        "2 bob bob@x.com; 3 alice alice@x.com; ");
}

static void rehashes(void **state)
{
    struct tester *t = *state;
    tester_create(t, "alice", "alice@x.com", "h1");
    const struct {
        int64_t id;
        const char *seen, *password;
        enum store_result result;
        const char *after;
    } cases[] = {{1, "h1", "h2", STORE_OK, "h2"},
                 {1, "h1", "h3", STORE_CHANGED, "h2"},
                 {2, "h2", "h3", STORE_CHANGED, "h2"},
                 {1, "h2", "h2", STORE_OK, "h2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        store_user_rehash(t->store, cases[i].id, slice_of(cases[i].seen),
                          slice_of(cases[i].password), answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), cases[i].result);
        assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
        assert_slice(a.users[0].password, cases[i].after);
        answer_fini(&a);
    }
}

/* U+0000, emptiness and length are the user's choice. */
static void odd_strings(void **state)
{
    struct tester *t = *state;
    static char long_name[5000];
    memset(long_name, 'n', sizeof long_name);
    const struct slice names[] = {SLICE("a"),    SLICE("a\0"),  SLICE("a\0b"),
                                  SLICE("a\0c"), SLICE("\0"),   {"", 0},
                                  SLICE("né 🐝"), SLICE("';--"), {long_name, sizeof long_name}};
    enum { NAMES = sizeof names / sizeof *names };
    struct answer a = {0};
    for (size_t i = 0; i < NAMES; i++) {
        answer_fini(&a);
        store_user_create(t->store, names[i], names[i], names[i], answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), STORE_OK);
    }
    for (size_t i = 0; i < NAMES; i++) {
        answer_fini(&a);
        store_user_by_email(t->store, names[i], answer_on_done, &a);
        assert_int_equal(tester_await(t, &a), STORE_OK);
        assert_int_equal(a.users[0].id, (int64_t)i + 1);
        assert_true(slice_equals(a.users[0].username, names[i]));
        assert_true(slice_equals(a.users[0].email, names[i]));
        assert_true(slice_equals(a.users[0].password, names[i]));
        assert_non_null(a.users[0].password.ptr);
    }
    answer_fini(&a);
    store_user_update(t->store, 2, names[1], names[2], SLICE("new"), names[0], answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_USERNAME_TAKEN);
    answer_fini(&a);
    store_user_delete(t->store, 2, names[0], answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_CHANGED);
    answer_fini(&a);
    store_user_delete(t->store, 2, names[1], answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    answer_fini(&a);
}

/* Arguments are copied; done() comes once, and never before the call has returned. */
static void later_and_once(void **state)
{
    struct tester *t = *state;
    char name[] = "alice", email[] = "alice@x.com", hash[] = "h1";
    struct answer a = {0};
    store_user_create(t->store, slice_of(name), slice_of(email), slice_of(hash), answer_on_done,
                      &a);
    memset(name, 'x', sizeof name - 1);
    memset(email, 'x', sizeof email - 1);
    memset(hash, 'x', sizeof hash - 1);
    assert_false(a.done);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    assert_slice(a.users[0].username, "alice");
    assert_slice(a.users[0].password, "h1");
    for (int i = 0; i < 3; i++)
        loop_run_once(t->loop, false);
    assert_int_equal(a.calls, 1);
    answer_fini(&a);
}

/* A warm store answers with the call object it had before. */
static void calls_are_recycled(void **state)
{
    struct tester *t = *state;
    struct task *first = NULL;
    for (int i = 0; i < 5; i++) {
        struct answer a = {0};
        struct task *task = store_user_by_id(t->store, i, answer_on_done, &a);
        if (first)
            assert_ptr_equal(task, first);
        first = task;
        tester_await(t, &a);
        answer_fini(&a);
    }
}

static void note_hash(void *ctx, const struct store_reply *reply)
{
    const char **hash = ctx;
    *hash = reply->users[0].password.ptr;
}

/* Recycled memory keeps no hash: a call that is over stays the store's, so it can be looked at. */
static void hashes_are_wiped(void **state)
{
    struct tester *t = *state;
    const char *hash = NULL;
    assert_int_equal(tester_create(t, "alice", "a@x.com", "hash1"), STORE_OK);
    store_user_by_id(t->store, 1, note_hash, &hash);
    while (!hash)
        loop_run_once(t->loop, true);
    assert_memory_equal(hash, "\0\0\0\0\0", 5);
}

static void full_queue_is_busy(void **state)
{
    struct tester *t = *state;
    t->options.max_queue = 3;
    reopen(t);
    struct answer reads[5] = {0};
    for (int i = 0; i < 5; i++)
        assert_non_null(store_user_by_id(t->store, 1, answer_on_done, &reads[i]));
    for (int i = 0; i < 5; i++)
        assert_false(reads[i].done);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(tester_await(t, &reads[i]), i < 3 ? STORE_NOT_FOUND : STORE_BUSY);
        answer_fini(&reads[i]);
    }
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 2);
    /* and there is room again */
    assert_int_equal(tester_by_id(t, 1, &reads[0]), STORE_NOT_FOUND);
    answer_fini(&reads[0]);
}

static void cancelled_is_not_done(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    task_cancel(store_user_create(t->store, SLICE("alice"), SLICE("a@x.com"), SLICE("h"),
                                  answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    assert_int_equal(a.users_len, 0);
    answer_fini(&a);
    struct task *late = store_user_create(t->store, SLICE("alice"), SLICE("a@x.com"), SLICE("h"),
                                          answer_on_done, &a);
    late->deadline = (mono_ms){1};
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_NOT_FOUND);
    assert_int_equal(tester_create(t, "alice", "a@x.com", "h"), STORE_OK);
    /* nobody waits for a cancelled call; an expired one is a failure of ours */
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 1);
    answer_fini(&a);
}

static void probe(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    store_probe(t->store, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(a.users_len, 0);
    answer_fini(&a);
    task_cancel(store_probe(t->store, answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    answer_fini(&a);
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_writes), 0);
}

struct chain {
    struct tester *t;
    int left;
    struct answer last;
};

static void next_in_chain(void *ctx, const struct store_reply *reply)
{
    struct chain *c = ctx;
    assert_int_equal(reply->result, STORE_OK);
    char name[16];
    snprintf(name, sizeof name, "u%d", c->left);
    if (--c->left > 0)
        store_user_create(c->t->store, slice_of(name), slice_of(name), SLICE("h"), next_in_chain,
                          c);
    else
        store_user_list(c->t->store, 0, 100, &tester_form, 0, answer_on_done, &c->last);
}

/* A done() may start the next call: what one request's handler does. */
static void calls_from_done(void **state)
{
    struct tester *t = *state;
    struct chain c = {.t = t, .left = 10};
    store_probe(t->store, next_in_chain, &c);
    assert_int_equal(tester_await(t, &c.last), STORE_OK);
    assert_int_equal(answer_rows(&c.last), 9);
    answer_fini(&c.last);
}

/* An acknowledged write is seen by every read that starts after it. */
static void reads_see_writes(void **state)
{
    struct tester *t = *state;
    for (int i = 1; i <= 50; i++) {
        char name[16];
        struct answer a = {0};
        snprintf(name, sizeof name, "u%d", i);
        assert_int_equal(tester_create(t, name, name, "h"), STORE_OK);
        assert_int_equal(tester_by_id(t, i, &a), STORE_OK);
        assert_slice(a.users[0].username, name);
        answer_fini(&a);
    }
}

static void racing_duplicates(void **state)
{
    struct tester *t = *state;
    enum { RACERS = 16 };
    struct answer a[RACERS] = {0};
    for (int i = 0; i < RACERS; i++)
        store_user_create(t->store, SLICE("alice"), SLICE("alice@x.com"), SLICE("h"),
                          answer_on_done, &a[i]);
    unsigned ok = 0, taken = 0;
    for (int i = 0; i < RACERS; i++) {
        enum store_result result = tester_await(t, &a[i]);
        ok += result == STORE_OK;
        taken += result == STORE_USERNAME_TAKEN;
        answer_fini(&a[i]);
    }
    assert_int_equal(ok, 1);
    assert_int_equal(taken, RACERS - 1);
}

/* What was accepted before the close is done, and answered when the loop turns again. */
static void close_finishes(void **state)
{
    struct tester *t = *state;
    struct answer writes[20] = {0}, probe_answer = {0};
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%d", i);
        store_user_create(t->store, slice_of(name), slice_of(name), SLICE("h"), answer_on_done,
                          &writes[i]);
    }
    store_probe(t->store, answer_on_done, &probe_answer);
    store_close(t->store);
    t->store = NULL;
    for (int i = 0; i < 20; i++)
        assert_false(writes[i].done);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tester_await(t, &writes[i]), STORE_OK);
        answer_fini(&writes[i]);
    }
    /* its second half never began */
    assert_int_equal(tester_await(t, &probe_answer), STORE_UNAVAILABLE);
    answer_fini(&probe_answer);
}

/* More calls at once than are kept for reuse. */
static void many_at_once(void **state)
{
    struct tester *t = *state;
    enum { CALLS = 2000 };
    static struct answer a[CALLS];
    tester_create(t, "alice", "alice@x.com", "h");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CALLS; i++)
            store_user_by_id(t->store, i % 2 + 1, answer_on_done, &a[i]);
        for (int i = 0; i < CALLS; i++) {
            assert_int_equal(tester_await(t, &a[i]), i % 2 ? STORE_NOT_FOUND : STORE_OK);
            answer_fini(&a[i]);
        }
    }
}

/* ---- the fake's own ---- */

struct order {
    int next;
    int at[4];
};
struct ordered {
    struct order *order;
    int who;
    enum store_result result;
};

static void note_order(void *ctx, const struct store_reply *reply)
{
    struct ordered *o = ctx;
    o->result = reply->result;
    o->order->at[o->order->next++] = o->who;
}

static void late_and_reordered(void **state)
{
    struct tester *t = *state;
    static const struct fake_step steps[] = {
        {.turns = 6}, {.turns = 3}, {.turns = 0}, {.turns = 9}};
    fake_driver_script(steps, 4);
    struct order order = {0};
    struct ordered calls[4];
    for (int i = 0; i < 4; i++) {
        calls[i] = (struct ordered){.order = &order, .who = i};
        store_user_by_id(t->store, 1, note_order, &calls[i]);
    }
    while (order.next < 4)
        loop_run_once(t->loop, true);
    const int want[] = {2, 1, 0, 3};
    assert_memory_equal(order.at, want, sizeof want);
    assert_int_equal(fake_driver_pending(), 0);
}

static void scripted_results(void **state)
{
    struct tester *t = *state;
    static const struct {
        struct fake_step step;
        enum store_result want;
    } cases[] = {
        {{.replace = true, .result = STORE_UNAVAILABLE}, STORE_UNAVAILABLE},
        {{.replace = true, .result = STORE_BUSY}, STORE_BUSY},
        {{.replace = true, .result = STORE_NO_MEMORY}, STORE_NO_MEMORY},
        {{.refuse = true}, STORE_UNAVAILABLE},
        {{.turns = 4}, STORE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_driver_script(&cases[i].step, 1);
        assert_int_equal(tester_create(t, "alice", "alice@x.com", "h"), cases[i].want);
    }
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 4);
    /* a probe's halves */
    static const struct fake_step halves[] = {{.replace = true, .result = STORE_UNAVAILABLE},
                                              {0},
                                              {.replace = true, .result = STORE_BUSY}};
    fake_driver_script(halves, 3);
    struct answer a = {0};
    store_probe(t->store, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_UNAVAILABLE);
    answer_fini(&a);
    store_probe(t->store, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    answer_fini(&a);
}

/* Cancelled while its answer is on the way: still exactly one done(). */
static void cancelled_late(void **state)
{
    struct tester *t = *state;
    static const struct fake_step step = {.turns = 5};
    fake_driver_script(&step, 1);
    struct answer a = {0};
    struct task *task = store_user_create(t->store, SLICE("alice"), SLICE("a@x.com"), SLICE("h"),
                                          answer_on_done, &a);
    loop_run_once(t->loop, false);
    loop_run_once(t->loop, false);
    assert_false(a.done);
    task_cancel(task);
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    answer_fini(&a);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_NOT_FOUND);
    answer_fini(&a);
}

/* A database that hangs: its callers are answered, the others' calls go on, and what it says in the
 * end is said to nobody. */
static void slow_is_answered(void **state)
{
    struct tester *t = *state;
    t->options.timeout_ms = 50;
    static const struct fake_step hang[] = {
        {.turns = UINT_MAX}, {0}, {.turns = UINT_MAX}, {0}, {.turns = UINT_MAX}};
    reopen(t);
    fake_driver_script(hang, 5);
    struct answer slow[3] = {0}, quick = {0};
    store_user_create(t->store, SLICE("alice"), SLICE("a@x.com"), SLICE("h"), answer_on_done,
                      &slow[0]);
    store_user_by_id(t->store, 1, answer_on_done, &quick);
    assert_int_equal(tester_await(t, &quick), STORE_NOT_FOUND);
    assert_false(slow[0].done);
    assert_int_equal(tester_await(t, &slow[0]), STORE_BUSY);
    assert_int_equal(slow[0].users_len, 0);
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 1);
    /* nobody waits for that one, so that it is no failure */
    task_cancel(store_user_by_id(t->store, 1, answer_on_done, &slow[1]));
    store_probe(t->store, answer_on_done, &slow[2]);
    assert_int_equal(tester_await(t, &slow[2]), STORE_BUSY);
    assert_true(slow[1].done);
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 2);
    assert_int_equal(fake_driver_pending(), 3);
    fake_driver_hurry();
    answer_fini(&quick); /* what had not begun did not begin */
    store_user_by_email(t->store, SLICE("a@x.com"), answer_on_done, &quick);
    assert_int_equal(tester_await(t, &quick), STORE_NOT_FOUND);
    assert_int_equal(tester_create(t, "bob", "b@x.com", "h"), STORE_OK);
    for (int i = 0; i < 3; i++)
        answer_fini(&slow[i]);
    answer_fini(&quick);
}

/* Of a write that was under way nobody knows how it ends; of a read or a probe nobody needs to. */
static void slow_write_that_has_begun(void **state)
{
    struct tester *t = *state;
    t->options.timeout_ms = 50;
    static const struct fake_step hang[] = {{.turns = UINT_MAX, .begin = true},
                                            {.turns = UINT_MAX, .begin = true},
                                            {0},
                                            {.turns = UINT_MAX, .begin = true}};
    reopen(t);
    fake_driver_script(hang, 4);
    struct answer slow[3] = {0}, look = {0};
    store_user_create(t->store, SLICE("alice"), SLICE("a@x.com"), SLICE("h"), answer_on_done,
                      &slow[0]);
    store_user_by_id(t->store, 1, answer_on_done, &slow[1]);
    store_probe(t->store, answer_on_done, &slow[2]);
    assert_int_equal(tester_await(t, &slow[0]), STORE_UNKNOWN);
    assert_int_equal(tester_await(t, &slow[1]), STORE_BUSY);
    assert_int_equal(tester_await(t, &slow[2]), STORE_BUSY);
    assert_int_equal(scoreboard_total(t->board, COUNTER_store_errors), 3);
    fake_driver_hurry();
    assert_int_equal(tester_by_id(t, 1, &look), STORE_OK);
    for (int i = 0; i < 3; i++)
        answer_fini(&slow[i]);
    answer_fini(&look);
}

static void result_names(void **state)
{
    assert_string_equal(store_result_name(STORE_OK), "ok");
    assert_string_equal(store_result_name(STORE_CHANGED), "changed meanwhile");
    assert_string_equal(store_result_name(STORE_NO_MEMORY), "no memory");
    assert_string_equal(store_result_name(STORE_TOO_LARGE), "too large");
}

static void postgresql_is_refused(void **state)
{
    struct tester *t = *state;
    struct store_options options = {.kind = CONFIG_DATABASE_POSTGRESQL};
    struct buf error = {0};
    assert_null(store_open(t->loop, &options, &error));
    assert_true(
        slice_starts_with(buf_slice(&error), SLICE("this build cannot use PostgreSQL yet")));
    buf_free(&error);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CONTRACT                                                                                   \
    CASE(create_and_read), CASE(duplicates), CASE(lists), CASE(lists_within_memory), CASE(lists_by_form), \
        CASE(updates), CASE(deletes),                                                              \
        CASE(rehashes), CASE(odd_strings), CASE(later_and_once), CASE(calls_are_recycled),         \
        CASE(hashes_are_wiped), CASE(full_queue_is_busy), CASE(cancelled_is_not_done),             \
        CASE(probe), CASE(calls_from_done), CASE(reads_see_writes), CASE(racing_duplicates),       \
        CASE(close_finishes), CASE(many_at_once)

int main(void)
{
    const struct CMUnitTest contract[] = {CONTRACT};
    const struct CMUnitTest fake_only[] = {CASE(late_and_reordered), CASE(scripted_results),
                                           CASE(cancelled_late), CASE(slow_is_answered),
                                           CASE(slow_write_that_has_begun), CASE(result_names),
                                           CASE(postgresql_is_refused)};
    int failed = 0;
    driver_under_test = &store_driver_sqlite;
    kind_under_test = CONFIG_DATABASE_FILE;
    failed += cmocka_run_group_tests_name("store: sqlite", contract, NULL, NULL);
    kind_under_test = CONFIG_DATABASE_MEMORY;
    failed += cmocka_run_group_tests_name("store: sqlite in memory", contract, NULL, NULL);
    driver_under_test = &store_driver_fake;
    failed += cmocka_run_group_tests_name("store: fake", contract, NULL, NULL);
    failed += cmocka_run_group_tests_name("store: fake, scripted", fake_only, NULL, NULL);
    return failed;
}
