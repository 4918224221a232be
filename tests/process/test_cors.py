"""[cors] allow_origins: pages of the origins on the list may call the API; nobody else learns anything from it."""

import pytest

from harness.server import run_verb, write_ini
from harness.wire import Wire

APP, LOCAL = "https://app.example.com", "http://localhost:3000"
EXPOSED = "retry-after, www-authenticate"
STRANGERS = ["https://app.example.com.evil.test", "http://app.example.com", "https://app.example.com:8443",
             "HTTPS://APP.EXAMPLE.COM", "https://app.example.com/", "https://evil.test, https://app.example.com",
             "null", "*", "", "https://example.com", "app.example.com"]
JSON = ("Content-Type", "application/json")


@pytest.fixture
def server(serve):
    return serve(config={"cors.allow_origins": [APP, LOCAL], "cors.max_age": "5m", "admin.bind": "127.0.0.1:0"},
                 workers=1)


def ask(server, method, path, origins=(), headers=(), body=None):
    with Wire(server.tcp()) as wire:
        rows = [("Origin", o) for o in origins] + list(headers)
        return wire.ask(method, path, rows, body).answer(head=method == "HEAD")


def cors(answer):
    return {n: v for n, v in answer.headers if n.startswith("access-control-")}


def preflight(server, path, origin=APP, method="PUT"):
    return ask(server, "OPTIONS", path, [origin], [("Access-Control-Request-Method", method),
                                                   ("Access-Control-Request-Headers", "authorization,content-type")])


# every kind of answer: of handlers, of errors, of pages, of the session itself
ASKED = [("GET", "/", 200, None), ("POST", "/users/", 422, b"{}"), ("GET", "/users/666", 404, None),
         ("DELETE", "/users/1", 401, None), ("GET", "/nowhere", 404, None), ("PATCH", "/users/", 405, None),
         ("GET", "/users", 307, None), ("HEAD", "/docs", 200, None), ("GET", "/openapi.json", 200, None),
         ("POST", "/users/", 413, b"x" * 70000)]


def test_answers_to_origins_on_the_list(server):
    for origin in (APP, LOCAL):
        for method, path, status, body in ASKED:
            answer = ask(server, method, path, [origin], [JSON] if body else [], body)
            assert answer.status == status
            assert cors(answer) == {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED}
            assert answer.header("vary") == "origin"


def test_answers_to_all_others(server):
    for origins in [[s] for s in STRANGERS] + [[], [APP, APP], [APP, "https://evil.test"]]:
        for method, path, status, body in ASKED[:4]:
            answer = ask(server, method, path, origins, [JSON] if body else [], body)
            assert (answer.status, cors(answer), answer.header("vary")) == (status, {}, "origin"), origins


def test_vary_is_on_every_answer(server):
    for method, path, status, body in ASKED:
        answer = ask(server, method, path, [], [JSON] if body else [], body)
        assert (answer.status, answer.header("vary"), cors(answer)) == (status, "origin", {})
    assert ask(server, "GET", "/" + "x" * 9000, [APP]).header("vary") == "origin"    # its headers were never read
    with Wire(server.tcp()) as wire:
        answer = wire.send(b"NONSENSE\r\n\r\n").answer()
    assert (answer.status, answer.header("vary")) == (400, "origin")
    page = ask(server, "GET", "/docs").body.decode()
    if "/docs/assets/" in page:    # they are what they are for every origin, but differ by another header
        asset = "/docs/assets/" + page.partition("/docs/assets/")[2].partition('"')[0]
        assert [v for n, v in ask(server, "GET", asset).headers if n == "vary"] == ["origin", "accept-encoding"]


def test_preflights(server):
    for path, methods in (("/users/", "POST, GET"), ("/users/1", "PUT, DELETE, GET"), ("/auth/token", "POST"),
                          ("/openapi.json", "GET, HEAD")):
        for asked in ("PUT", "TRACE", "nonsense"):
            answer = preflight(server, path, LOCAL, asked)
            assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "0")
            assert answer.header("vary") == "origin" and answer.header("content-type") is None
            assert cors(answer) == {
                "access-control-allow-methods": methods, "access-control-allow-origin": LOCAL,
                "access-control-allow-headers": "authorization, content-type", "access-control-max-age": "300",
                "access-control-expose-headers": EXPOSED}


def test_preflights_of_others(server):
    for origin in STRANGERS:
        answer = preflight(server, "/users/", origin)
        assert (answer.status, answer.body) == (403, b'{"detail":"Origin not allowed"}')
        assert (cors(answer), answer.header("vary")) == ({}, "origin")
    assert preflight(server, "/nowhere").status == 404
    answer = ask(server, "OPTIONS", "/users/", [APP])     # asks nothing
    assert (answer.status, answer.header("allow")) == (405, "POST")
    answer = ask(server, "OPTIONS", "/users/", [], [("Access-Control-Request-Method", "PUT")])
    assert (answer.status, cors(answer)) == (405, {})


def test_the_admin_listener_has_none(server):
    host, _, port = server.await_line(r"admin.* on http://(\S+)")[1].rpartition(":")
    with Wire((host, int(port))) as wire:
        answer = wire.ask("GET", "/livez", [("Origin", APP)]).answer()
    assert (answer.status, cors(answer), answer.header("vary")) == (200, {}, None)


def test_off_is_as_before(serve):
    server = serve(workers=1)
    answer = preflight(server, "/users/")
    assert (answer.status, answer.header("allow"), answer.body) == (405, "POST", b'{"detail":"Method Not Allowed"}')
    for method, path, status, body in ASKED[:4]:
        answer = ask(server, method, path, [APP], [JSON] if body else [], body)
        assert answer.status == status and not cors(answer) and answer.header("vary") is None


@pytest.mark.parametrize("origin, words", [
    ("*", "is not supported: name each origin"), ("null", "sandboxed"), ("app.example.com", "is no origin"),
    ("https://app.example.com/", "is no origin"), ("https://App.example.com", "lower case"),
    ("https://*.example.com", "is no origin"), ("https://app.example.com:443", "goes without saying"),
    ("http://app.example.com:80", "goes without saying"), ("ftp://app.example.com", "is no origin"),
    ("https://a@b.example.com", "is no origin"), ("https://a.example.com https://b.example.com", "is no origin")])
def test_what_is_no_origin_is_refused(place, origin, words):
    write_ini(place, {"cors.allow_origins": [LOCAL, origin]})
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and words in done.stderr, done.stderr
    for good in ("http://app.example.com:443", "https://app.example.com:80", "http://[::1]:3000"):
        write_ini(place, {"cors.allow_origins": good})
        assert run_verb(place, "check", "--config", "colmeia.ini").returncode == 0
