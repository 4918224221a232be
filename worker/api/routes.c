/* routes.c: routes.def as the tables of endpoint.h. */
#include "worker/api/exchange.h"

const struct route_notes notes_login = {
    .answers = {{429, "Too many logins have failed: Retry-After says when the next may be tried",
                 &schema_detail}},
};

const struct route_notes notes_healthcheck = {
    .summary = "Integridade do sistema",
    .description = "Checa se o servidor está online",
};

static bool orders_are_configured(const struct config *config)
{
    return config->orders_upstream;
}

const struct route_notes notes_listar_itens = {
    .mounted = orders_are_configured,
    .summary = "Itens de um pedido",
    .description = "Retorna todos os itens de um determinado pedido",
    .is_list = true,
    .answers =
        {
            {404, "Pedido não encontrado", &schema_error},
            {502, "Falha de comunicação com o servidor remoto", &schema_error},
        },
};

static const struct endpoint endpoints[] = {
#define ROUTE(method, path, name, credentials, body, path_field, query, schema, tag, status, answer,  \
              notes)                                                                                  \
    {CREDENTIALS_##credentials, BODY_TYPE_##body, path_field, query, schema, api_##name, tag, status, \
     answer, notes, NULL},
#define PAGE(path, name) {.handler = api_##name},
#include "worker/api/routes.def"
#undef ROUTE
#undef PAGE
};

enum {
#define ROUTE(method, path, name, ...) ROW_##name,
#define PAGE(path, name) ROW_##name,
#include "worker/api/routes.def"
#undef ROUTE
#undef PAGE
};

const struct route all_routes[] = {
#define ROUTE(method, path, name, ...) {HTTP_##method, path, #name, &endpoints[ROW_##name], false},
#define PAGE(path, name) {HTTP_GET, path, #name, &endpoints[ROW_##name], true},
#include "worker/api/routes.def"
#undef ROUTE
#undef PAGE
};
const size_t all_routes_len = sizeof all_routes / sizeof *all_routes;
