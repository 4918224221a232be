/* test_request.c: worker/http/request.c, target.c and proxy.c: what a request is made of. */
#include "http_tester.h"

#include "worker/http/proxy.h"
#include "worker/http/service.h"
#include "worker/http/target.h"
#include "worker/http/turn.h"

#include <string.h>
#include <sys/socket.h>

/* ---- methods and headers --------------------------------------------------------------------- */

static void test_methods(void **state)
{
    static const enum http_method all[] = {HTTP_GET,    HTTP_HEAD,  HTTP_POST,   HTTP_PUT,
                                           HTTP_DELETE, HTTP_PATCH, HTTP_OPTIONS};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(http_method_of(slice_of(http_method_name(all[i]))), all[i]);
    assert_string_equal(http_method_name(HTTP_PATCH), "PATCH");
    assert_string_equal(http_method_name(HTTP_OTHER), "OTHER");
    assert_int_equal(http_method_of(SLICE("MKCOL")), HTTP_OTHER);
    assert_int_equal(http_method_of(SLICE("get")), HTTP_OTHER);
    assert_int_equal(http_method_of(SLICE("GETX")), HTTP_OTHER);
}

static void test_header(void **state)
{
    struct header headers[] = {{{"A", 1}, {"1", 1}}, {{"b-C", 3}, {"2", 1}}, {{"a", 1}, {"3", 1}}};
    struct request r = {.headers = headers, .headers_len = 3};
    assert_true(slice_equals(request_header(&r, SLICE("a")), SLICE("1")));
    assert_true(slice_equals(request_header(&r, SLICE("B-c")), SLICE("2")));
    assert_null(request_header(&r, SLICE("c")).ptr);
}

/* ---- targets --------------------------------------------------------------------------------- */

struct target_case {
    const char *target;
    const char *raw_path;
    const char *path;
    const char *query; /* NULL: none */
};

static const struct target_case targets[] = {
    {"/", "/", "/", NULL},
    {"/a?b", "/a", "/a", "b"},
    {"/a?", "/a", "/a", ""},
    {"/a?b?c", "/a", "/a", "b?c"},
    {"/%61%2f%2F?%61", "/%61%2f%2F", "/a//", "%61"},
    {"/%zz%4", "/%zz%4", "/%zz%4", NULL},
    {"/%%41", "/%%41", "/%A", NULL},
    {"/%2541", "/%2541", "/%41", NULL},
    {"/%C3%A1", "/%C3%A1", "/\xc3\xa1", NULL},
    {"/+", "/+", "/+", NULL},
    {"/%ff", "/%ff", "/\xef\xbf\xbd", NULL},
    {"/%c3", "/%c3", "/\xef\xbf\xbd", NULL},
    {"/%c3x", "/%c3x", "/\xef\xbf\xbdx", NULL},
    {"/%e2%82x", "/%e2%82x", "/\xef\xbf\xbdx", NULL}, /* one maximal subpart */
    {"/%ed%a0%80", "/%ed%a0%80", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
     NULL}, /* a surrogate: three */
    {"/%f0%9f%98%80", "/%f0%9f%98%80", "/\xf0\x9f\x98\x80", NULL},
    {"/%f4%90%80%80", "/%f4%90%80%80", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", NULL},
    {"/%c0%80", "/%c0%80", "/\xef\xbf\xbd\xef\xbf\xbd", NULL},
    {"http://h", "/", "/", NULL},
    {"http://h?q", "/", "/", "q"},
    {"http://h:8/a/b?q", "/a/b", "/a/b", "q"},
    {"HTTPS://h/a", "/a", "/a", NULL},
    {"*", "*", "*", NULL},
    {"h:443", "h:443", "h:443", NULL},
};

static void test_targets(void **state)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct arena a;
        struct target got;
        arena_init(&a, NULL, 0, 1 << 20);
        assert_true(target_split(&a, slice_of(targets[i].target), &got));
        if (!slice_equals(got.path, slice_of(targets[i].path)))
            print_error("%s: %.*s\n", targets[i].target, SLICE_ARGS(got.path));
        assert_true(slice_equals(got.raw_path, slice_of(targets[i].raw_path)));
        assert_true(slice_equals(got.path, slice_of(targets[i].path)));
        assert_true(slice_equals(got.query, slice_of(targets[i].query)));
        assert_int_equal(got.query.ptr == NULL, targets[i].query == NULL);
        arena_fini(&a);
    }
}

static void test_target_with_nul(void **state)
{
    struct arena a;
    struct target got;
    arena_init(&a, NULL, 0, 1 << 20);
    assert_true(target_split(&a, SLICE("/a%00b"), &got));
    assert_true(slice_equals(got.path, SLICE("/a\0b")));
    arena_fini(&a);
    arena_init(&a, NULL, 0, 4);
    assert_false(target_split(&a, SLICE("/a%00b"), &got));
    arena_fini(&a);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        const char *name; /* NULL: none */
    } cases[] = {
        {"10.0.0.255", "10.0.0.255:0"},
        {" 10.0.0.1 ", "10.0.0.1:0"},
        {"10.0.0.1:99", "10.0.0.1:0"},
        {"::1", "[::1]:0"},
        {"[::1]", "[::1]:0"},
        {"[::1]:99", "[::1]:0"},
        {"::ffff:1.2.3.4", "1.2.3.4:0"},
        {"1::1.2.3.4", "[1::102:304]:0"},
        {"", NULL},
        {"unknown", NULL},
        {"10.0.0", NULL},
        {"10.0.0.256", NULL},
        {"10.0.0.1:65535", "10.0.0.1:0"},
        {"10.0.0.1:65536", NULL},
        {"10.0.0.1:", NULL},
        {"10.0.0.1:x", NULL},
        {"10.0.0.1:80:80", NULL},
        {"[10.0.0.1]", "10.0.0.1:0"},
        {"[::1", NULL},
        {"[::1]x", NULL},
        {"[::1]:", NULL},
        {"[::1]:x", NULL},
        {"[::1]:65536", NULL},
        {"[[::1]]", NULL},
        {"[]", NULL},
        {"[", NULL},
        {"::1%lo", NULL},
        {"fe80::1%eth0", NULL},
        {"010.0.0.1", NULL},
        {"0x7f.0.0.1", NULL},
        {"2130706433", NULL},
        {"10.0.0.1/8", NULL},
        {"\"10.0.0.1\"", NULL},
        {"for=10.0.0.1", NULL},
        {"10.0.0.1 x", NULL},
        {"01234567890123456789012345678901234567890123456789", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer p;
        char name[PROXY_NAME_MAX];
        bool ok = peer_parse(slice_of(cases[i].text), &p);
        if (ok != (cases[i].name != NULL))
            print_error("%s\n", cases[i].text);
        assert_int_equal(ok, cases[i].name != NULL);
        if (!ok)
            continue;
        assert_int_equal(peer_name(&p, name), strlen(cases[i].name));
        assert_string_equal(name, cases[i].name);
    }
}

static void test_networks(void **state)
{
    static const char *const items[] = {"10.0.0.0/9", "1.2.3.4", "2001:db8::/33",
                                        "4.4.4.4/33", "x/8",     "5.0.0.0/"};
    static const struct {
        const char *address;
        bool trusted;
    } cases[] = {
        {"10.127.1.1", true},     {"10.128.1.1", false},      {"1.2.3.4", true},
        {"1.2.3.5", false},       {"2001:db8:7fff::1", true}, {"2001:db8:8000::1", false},
        {"::ffff:1.2.3.4", true}, {"4.4.4.4", false},         {"5.0.0.0", false},
    };
    struct proxies *p = proxies_new(&(struct config_list){items, 6});
    assert_non_null(p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer;
        assert_true(peer_parse(slice_of(cases[i].address), &peer));
        assert_int_equal(proxies_trust(p, &peer), cases[i].trusted);
    }
    assert_true(proxies_trust(p, &(struct peer){.family = AF_UNIX}));
    proxies_free(p);
    static const char *const star[] = {"*"};
    p = proxies_new(&(struct config_list){star, 1});
    struct peer anybody;
    assert_true(peer_parse(SLICE("8.8.8.8"), &anybody));
    assert_true(proxies_trust(p, &anybody));
    proxies_free(p);
    proxies_free(NULL);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void test_reuse(void **state)
{
    struct tester t;
    tester_init(&t);
    tester_start(&t);
    struct http_service_private *home = t.service.private_data;
    struct turn *a = turn_new(home, NULL);
    struct turn *b = turn_new(home, NULL);
    assert_ptr_not_equal(a, b);
    assert_int_equal(home->turns, 2);
    assert_ptr_equal(a->r.context, &t);
    assert_ptr_equal(a->r.loop, t.loop);
    assert_non_null(arena_alloc(a->r.arena, 100000)); /* beyond its first block */
    request_hold(&a->r);
    request_release(&a->r);
    assert_int_equal(home->turns, 2);
    request_release(&a->r);
    assert_int_equal(home->turns, 1);
    struct turn *c = turn_new(home, NULL);
    assert_ptr_equal(c, a); /* reused, as new */
    assert_int_equal(c->r.arena->used_bytes, 0);
    assert_null(c->r.headers);
    turn_release(b);
    turn_release(c);
    assert_int_equal(home->turns, 0);
    tester_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),   cmocka_unit_test(test_header),
        cmocka_unit_test(test_targets),   cmocka_unit_test(test_target_with_nul),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_networks),
        cmocka_unit_test(test_reuse),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
