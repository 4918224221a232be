/* test_router.c: worker/http/router.c: the contract's routing rows. */
#include "worker/http/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static const struct route routes[] = {
    {HTTP_POST, "/users/", "create_user", NULL, false},
    {HTTP_GET, "/users/", "read_users", NULL, false},
    {HTTP_PUT, "/users/{user_id}", "update_user", NULL, false},
    {HTTP_DELETE, "/users/{user_id}", "delete_user", NULL, false},
    {HTTP_GET, "/users/{user_id}", "read_user", NULL, false},
    {HTTP_POST, "/auth/token", "token", NULL, false},
    {HTTP_GET, "/", "root", NULL, false},
    {HTTP_GET, "/openapi.json", "openapi", NULL, false},
    {HTTP_GET, "/orders/{id}/items", "items", NULL, false},
    {HTTP_GET, "/a/{x}/b/{y}/", "two", NULL, false},
    {HTTP_GET, "/page", "page", NULL, true},
};

struct router_case {
    enum http_method method;
    const char *path;
    enum router_result expected;
    const char *name; /* of FOUND, and of BAD_METHOD the one that Allow names */
    const char *params[2];
};

static const struct router_case cases[] = {
    {HTTP_GET, "/", ROUTER_FOUND, "root", {0}},
    {HTTP_HEAD, "/", ROUTER_BAD_METHOD, "root", {0}},
    {HTTP_POST, "/", ROUTER_BAD_METHOD, "root", {0}},
    {HTTP_GET, "/users/", ROUTER_FOUND, "read_users", {0}},
    {HTTP_POST, "/users/", ROUTER_FOUND, "create_user", {0}},
    {HTTP_DELETE, "/users/", ROUTER_BAD_METHOD, "create_user", {0}},
    {HTTP_OPTIONS, "/users/", ROUTER_BAD_METHOD, "create_user", {0}},
    {HTTP_OTHER, "/users/", ROUTER_BAD_METHOD, "create_user", {0}},
    {HTTP_GET, "/users/1", ROUTER_FOUND, "read_user", {"1"}},
    {HTTP_DELETE, "/users/abc def", ROUTER_FOUND, "delete_user", {"abc def"}},
    {HTTP_PATCH, "/users/1", ROUTER_BAD_METHOD, "update_user", {0}},
    {HTTP_GET, "/orders/7/items", ROUTER_FOUND, "items", {"7"}},
    {HTTP_GET, "/a/1/b/2/", ROUTER_FOUND, "two", {"1", "2"}},
    {HTTP_GET, "/openapi.json", ROUTER_FOUND, "openapi", {0}},
    {HTTP_GET, "/page", ROUTER_FOUND, "page", {0}},
    {HTTP_HEAD, "/page", ROUTER_FOUND, "page", {0}},
    {HTTP_POST, "/page", ROUTER_BAD_METHOD, "page", {0}},
    {HTTP_GET, "/openapiXjson", ROUTER_NOT_FOUND, NULL, {0}},

    {HTTP_GET, "/users", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_PATCH, "/users", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_GET, "/users/1/", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_POST, "/auth/token/", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_GET, "/openapi.json/", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_GET, "/orders/7/items/", ROUTER_REDIRECT, NULL, {0}},
    {HTTP_GET, "/a/1/b/2", ROUTER_REDIRECT, NULL, {0}},

    {HTTP_GET, "/users//", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/users/1//", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/users/1/2", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/users/1/2/", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/Users/", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/nope", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/nope/", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/auth", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "//", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "//users/", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_OPTIONS, "*", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_OTHER, "host:443", ROUTER_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/orders//items", ROUTER_NOT_FOUND, NULL, {0}},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct router_case *c = &cases[i];
        struct router_match m;
        enum router_result got =
            router_match(routes, sizeof routes / sizeof *routes, c->method, slice_of(c->path), &m);
        if (got != c->expected)
            print_error("%s: %d instead of %d\n", c->path, got, c->expected);
        assert_int_equal(got, c->expected);
        if (c->name)
            assert_string_equal(m.route->name, c->name);
        size_t params = got != ROUTER_FOUND || !c->params[0] ? 0 : c->params[1] ? 2 : 1;
        assert_int_equal(m.params_len, params);
        for (size_t p = 0; p < params; p++)
            assert_true(slice_equals(m.params[p], slice_of(c->params[p])));
    }
}

/* A NUL that was percent-encoded is a byte like any other. */
static void test_nul(void **state)
{
    struct router_match m;
    assert_int_equal(router_match(routes, 10, HTTP_GET, SLICE("/\0"), &m), ROUTER_NOT_FOUND);
    assert_int_equal(router_match(routes, 10, HTTP_GET, SLICE("/users/\0"), &m), ROUTER_FOUND);
    assert_int_equal(m.params[0].len, 1);
}

static void test_allow(void **state)
{
    assert_true(slice_equals(router_allow(&routes[0]), SLICE("POST")));
    assert_true(slice_equals(router_allow(&routes[10]), SLICE("HEAD, GET")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_allow),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
