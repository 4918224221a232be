/* test_openapi.c: worker/api/openapi.c and site.c: that the document is made of the tables it is given:
 * routes and fields that exist nowhere else, what notes say, and what is not mounted. The API's own
 * document is compared with the original's in tests/contract. */
#include "worker/api/docs.h"
#include "worker/api/endpoint.h"
#include "worker/api/openapi.h"
#include "worker/api/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- a route and fields of the test's own ---- */

static const struct field bee_fields[] = {
    {.name = "wing_span", .kind = FIELD_INT, .required = true, .title = "Span", .min = 1, .max = 9},
    {.name = "mail", .kind = FIELD_EMAIL, .required = true},
    {.name = "nick", .kind = FIELD_STRING, .pattern = "^z$"},
    {.name = "hive", .kind = FIELD_STRING, .text_default = "main"},
    {.name = "extra", .kind = FIELD_ANY},
    {.name = "more", .kind = FIELD_OBJECT},
};
static const struct schema schema_bee = NAMED_SCHEMA("Bee", bee_fields);

static const struct field swarm_fields[] = {
    {.name = "bees", .kind = FIELD_LIST, .required = true, .items = &schema_bee},
};
static const struct schema schema_swarm = NAMED_SCHEMA("Swarm", swarm_fields);

static const struct field flight_fields[] = {
    {.name = "height", .kind = FIELD_INT, .min = -5, .max = 100, .int_default = 7},
};
static const struct schema schema_flight = SCHEMA(flight_fields);

static const struct field field_bee = {
    .name = "bee_id", .kind = FIELD_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX};

static const struct endpoint fly = {
    .path = &field_bee,
    .query = &schema_flight,
    .tag = "bees",
    .status = 202,
    .answer = &schema_swarm,
};
static const struct endpoint undescribed = {.status = 0};

static const struct route own_routes[] = {
    {HTTP_PATCH, "/bees/{bee_id}/fly-2", "let_fly", &fly, false},
    {HTTP_GET, "/page", "page", &undescribed, true},
};

static const char own_document[] =
    "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"FastAPI\",\"version\":\"0.1.0\"},\"paths\":{"
    "\"/bees/{bee_id}/fly-2\":{\"patch\":{\"tags\":[\"bees\"],\"summary\":\"Let Fly\","
    "\"operationId\":\"let_fly_bees__bee_id__fly_2_patch\",\"parameters\":["
    "{\"name\":\"bee_id\",\"in\":\"path\",\"required\":true,"
    "\"schema\":{\"type\":\"integer\",\"title\":\"Bee Id\"}},"
    "{\"name\":\"height\",\"in\":\"query\",\"required\":false,\"schema\":{\"type\":\"integer\","
    "\"maximum\":100,\"minimum\":-5,\"default\":7,\"title\":\"Height\"}}],"
    "\"responses\":{\"202\":{\"description\":\"Successful Response\",\"content\":{"
    "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Swarm\"}}}},"
    "\"422\":{\"description\":\"Validation Error\",\"content\":{\"application/json\":{\"schema\":{"
    "\"$ref\":\"#/components/schemas/HTTPValidationError\"}}}}}}}},"
    "\"components\":{\"schemas\":{"
    "\"Bee\":{\"properties\":{"
    "\"wing_span\":{\"type\":\"integer\",\"maximum\":9,\"minimum\":1,\"title\":\"Span\"},"
    "\"mail\":{\"type\":\"string\",\"format\":\"email\",\"title\":\"Mail\"},"
    "\"nick\":{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^z$\"},{\"type\":\"null\"}],"
    "\"title\":\"Nick\"},"
    "\"hive\":{\"type\":\"string\",\"title\":\"Hive\",\"default\":\"main\"},"
    "\"extra\":{\"title\":\"Extra\"},"
    "\"more\":{\"type\":\"object\",\"title\":\"More\"}},"
    "\"type\":\"object\",\"required\":[\"wing_span\",\"mail\"],\"title\":\"Bee\"},"
    "\"HTTPValidationError\":{\"properties\":{\"detail\":{\"items\":{\"$ref\":"
    "\"#/components/schemas/ValidationError\"},\"type\":\"array\",\"title\":\"Detail\"}},"
    "\"type\":\"object\",\"title\":\"HTTPValidationError\"},"
    "\"Swarm\":{\"properties\":{\"bees\":{\"items\":{\"$ref\":\"#/components/schemas/Bee\"},"
    "\"type\":\"array\",\"title\":\"Bees\"}},\"type\":\"object\",\"required\":[\"bees\"],"
    "\"title\":\"Swarm\"},"
    "\"ValidationError\":{\"properties\":{\"loc\":{\"items\":{\"anyOf\":[{\"type\":\"string\"},"
    "{\"type\":\"integer\"}]},\"type\":\"array\",\"title\":\"Location\"},"
    "\"msg\":{\"type\":\"string\",\"title\":\"Message\"},"
    "\"type\":{\"type\":\"string\",\"title\":\"Error Type\"},\"input\":{\"title\":\"Input\"},"
    "\"ctx\":{\"type\":\"object\",\"title\":\"Context\"}},\"type\":\"object\","
    "\"required\":[\"loc\",\"msg\",\"type\"],\"title\":\"ValidationError\"}}}}";

static char *document(const struct route *routes, size_t routes_len)
{
    struct buf out = {0};
    openapi_write(&out, routes, routes_len);
    buf_append_char(&out, 0);
    assert_false(out.failed);
    return out.data;
}

static void test_a_route_and_fields_of_the_tests_own(void **state)
{
    char *text = document(own_routes, COUNT(own_routes));
    assert_string_equal(text, own_document);
    free(text);
}

static void test_nothing_to_describe(void **state)
{
    char *text = document(&own_routes[1], 1);
    assert_string_equal(text, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"FastAPI\",\"version\":"
                              "\"0.1.0\"},\"paths\":{}}");
    free(text);
}

/* ---- the original's other document ---- */

/* The rows of it in routes.def. */
static struct route order_routes[2];

static int find_order_routes(void **state)
{
    size_t found = 0;
    for (size_t i = 0; i < all_routes_len; i++)
        if (strcmp(all_routes[i].name, "healthcheck") == 0 || strcmp(all_routes[i].name, "listar_itens") == 0) {
            if (found == COUNT(order_routes))
                return -1;
            order_routes[found++] = all_routes[i];
        }
    return found == COUNT(order_routes) ? 0 : -1;
}

static void test_notes_give_the_document_of_the_orders_api(void **state)
{
    FILE *f = fopen("tests/contract/api_pedidos_v2_openapi.json", "re");
    char expected[4096] = "";
    assert_non_null(f);
    assert_true(fread(expected, 1, sizeof expected - 1, f) > 2000);
    fclose(f);
    char *text = document(order_routes, COUNT(order_routes));
    assert_string_equal(text, expected);
    free(text);
}

/* ---- what is mounted ---- */

static void test_routes_that_are_not_mounted_do_not_appear(void **state)
{
    struct config config = {.orders_upstream = "http://127.0.0.1:8080"};
    struct site *with = site_of(&config, order_routes, COUNT(order_routes));
    config.orders_upstream = NULL;
    struct site *without = site_of(&config, order_routes, COUNT(order_routes));
    assert_non_null(with);
    assert_non_null(without);
    assert_int_equal(with->routes_len, 2);
    assert_int_equal(without->routes_len, 1);
    assert_string_equal(without->routes[0].name, "healthcheck");
    char *alone = document(order_routes, 1), *both = document(order_routes, 2);
    struct buf *page = &without->pages[SITE_OPENAPI];
    assert_int_equal(page->len, strlen(alone));
    assert_memory_equal(page->data, alone, page->len);
    page = &with->pages[SITE_OPENAPI];
    assert_int_equal(page->len, strlen(both));
    assert_memory_equal(page->data, both, page->len);
    free(alone);
    free(both);
    site_free(with);
    site_free(without);
}

static void test_pages_are_made_of_the_routes(void **state)
{
    struct config config = {0};
    struct site *site = site_of(&config, own_routes, COUNT(own_routes));
    assert_non_null(site);
    struct buf *docs = &site->pages[SITE_DOCS];
    buf_append_char(docs, 0);
    if (assets_are_built_in())
        assert_non_null(strstr(docs->data, "SwaggerUIBundle"));
    else
        assert_non_null(strstr(docs->data, "<li><code>PATCH /bees/{bee_id}/fly-2</code> Let Fly</li>"));
    assert_null(strstr(docs->data, "/page"));
    site_free(site);
    site_free(NULL);
}

/* ---- memory ---- */

static void test_a_full_arena_is_a_failed_document(void **state)
{
    struct buf out = {.failed = true};
    openapi_write(&out, all_routes, all_routes_len);
    assert_true(out.failed);
    assert_null(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_route_and_fields_of_the_tests_own),
        cmocka_unit_test(test_nothing_to_describe),
        cmocka_unit_test(test_notes_give_the_document_of_the_orders_api),
        cmocka_unit_test(test_routes_that_are_not_mounted_do_not_appear),
        cmocka_unit_test(test_pages_are_made_of_the_routes),
        cmocka_unit_test(test_a_full_arena_is_a_failed_document),
    };
    return cmocka_run_group_tests(tests, find_order_routes, NULL);
}
