"""The orders API before an upstream that works: what it answers, what it asks, and how many at once."""

import json
import threading

import pytest

from harness.orders import KEY, KNOWN, TENANT, items_path, numbered
from harness.server import run_verb
from harness.wire import Wire, request

NOT_FOUND = '{"message":"Pedido não encontrado"}'
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def server(serve, upstream):
    server = serve(config=upstream.config(), workers=1)
    server.secrets.add(KEY)
    return server


@pytest.fixture
def api(server):
    with server.api() as api:
        yield api


def in_background(action):
    """Runs it on a thread; a function that waits for its end and gives what it gave."""
    box = []
    thread = threading.Thread(target=lambda: box.append(action()), daemon=True)
    thread.start()

    def join():
        thread.join(90)
        assert box, "it has not ended"
        return box[0]
    return join


def test_items_of_an_order_to_the_byte(server):
    with Wire(server.tcp()) as wire:
        answer = wire.ask("GET", items_path(KNOWN)).answer()
    body = ('[{"sku":"229010200","description":"Descrição de 229010200","image_url":"http://img/229010200.jpg",'
            '"reference":"ref 229010200","quantity":1},{"sku":"db4afbh7jj","description":"Descrição de db4afbh7jj",'
            '"image_url":"http://img/db4afbh7jj.jpg","reference":"","quantity":1}]').encode()
    assert (answer.status, answer.reason, answer.body) == (200, "OK", body)
    assert answer.headers[1:] == [("server", "colmeia"), ("content-length", str(len(body))),
                                  ("content-type", "application/json")]


def test_any_spelling_is_canonical_upstream(api, upstream):
    for spelling in (KNOWN.upper(), KNOWN.replace("-", ""), "{%s}" % KNOWN, "urn:uuid:" + KNOWN.upper(),
                     "%7B" + KNOWN + "%7D"):
        upstream.set(zero=True)
        assert api.get(items_path(spelling)).status_code == 200
        assert upstream.ask()["paths"][0] == f"/maestro/v1/orders/{KNOWN}"


def test_no_uuid(api, upstream):
    for given, error in [("invalido", "invalid character: found `i` at 1"),
                         ("%20" + KNOWN, "invalid character: found ` ` at 1"),
                         (KNOWN[:-1], "invalid group length in group 4: expected 12, found 11"),
                         ("abc", "invalid length: expected length 32 for simple format, found 3")]:
        answer = api.get(items_path(given))
        assert (answer.status_code, answer.reason_phrase) == (422, "Unprocessable Content")
        assert answer.text == json.dumps({"detail": [{
            "type": "uuid_parsing", "loc": ["path", "identificacao_do_pedido"],
            "msg": "Input should be a valid UUID, " + error, "input": given.replace("%20", " "),
            "ctx": {"error": error}}]}, separators=(",", ":"))
    assert upstream.ask()["calls"] == 0


def test_no_order_no_packages_and_every_order_of_the_catalogue(api, upstream):
    answer = api.get(items_path("ea78b59b-885d-4e7b-9cd0-d54acadb4933"))
    assert (answer.status_code, answer.text) == (404, NOT_FOUND)
    assert api.get(items_path(numbered(0))).text == "[]"
    orders = upstream.ask()["orders"]
    items = [item for order in orders for item in api.get(items_path(order)).json()]
    assert (len(orders), len(items), sum(not i["reference"] for i in items)) == (20, 32, 13)


def test_what_routing_says(api, server):
    assert api.http.head(items_path(KNOWN)).status_code == 405
    answer = api.post(items_path(KNOWN))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    with server.api(headers={}) as plain:
        plain.http.follow_redirects = False
        answer = plain.get(items_path(KNOWN) + "/")
        assert (answer.status_code, answer.headers["location"]) == (307, server.url + items_path(KNOWN))
    assert api.get("/healthcheck").text == '{"status":"ok"}'


def test_not_mounted_without_an_upstream(serve):
    with serve().api() as api:
        answer = api.get(items_path(KNOWN))
        assert (answer.status_code, answer.text) == (404, '{"detail":"Not Found"}')
        assert api.server.slots()[0]["upstream"] is None


def test_headers_of_a_call(api, upstream):
    for trace in (TRACE[:-1], TRACE.upper(), TRACE.replace("-", "_"), TRACE + "x", "x" * 55):
        assert api.get(items_path(KNOWN), headers={"traceparent": trace}).status_code == 200
        assert "traceparent" not in upstream.ask()["last_headers"], "malformed, and passed on"
    api.get(items_path(KNOWN), headers={"traceparent": TRACE})
    sent = upstream.ask()["last_headers"]
    assert (sent["x-api-key"], sent["x-tenant-id"], sent["traceparent"]) == (KEY, TENANT, TRACE)
    assert sent["host"] == upstream.url.removeprefix("http://") and sent["accept"] == "*/*"
    assert "accept-encoding" not in sent


def test_settings_of_the_original_and_the_key_is_a_secret(serve, upstream, place):
    config = upstream.config(apikey=None)
    server = serve(config=config, env={"APIKEY": KEY, "TENANT_ID": TENANT})
    server.secrets.add(KEY)
    with server.api() as api:
        assert api.get(items_path(KNOWN)).status_code == 200
    shown = run_verb(place, "config", "--origin", "--config", "colmeia.ini", env={"APIKEY": KEY}).stdout
    assert "apikey" in shown and KEY not in shown
    for words in (["status"], ["events"], ["dump", "0"], ["reload", "--dry-run"]):
        assert KEY not in server.run_ctl(*words).stdout


def test_another_key_and_tenant(serve, upstream):
    server = serve(config=upstream.config(apikey="wrong-key-of-ours", tenant_id="nobody"))
    server.secrets.add("wrong-key-of-ours")
    with server.api() as api:
        assert api.get(items_path(KNOWN)).status_code == 502
    sent = upstream.ask()["last_headers"]
    assert (sent["x-api-key"], sent["x-tenant-id"]) == ("wrong-key-of-ours", "nobody")


@pytest.mark.parametrize("values, words", [
    ({"upstream": "ftp://x"}, "is no http(s)://host[:port]"), ({"upstream": "http://x/path"}, "is no http"),
    ({"upstream": "http://user:secret@x"}, "a user or password"), ({"upstream": "http://x:99999"}, "is no http"),
    ({"upstream": "http://"}, "is no http"), ({"upstream": "http://[::1"}, "is no http"),
    ({"apikey": None}, "it needs a key")])
def test_configurations_that_are_refused(serve, upstream, values, words):
    server = serve.make(config=upstream.config(**values))
    server.spawn()
    assert server.wait() == 78
    server.await_line(words.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[").replace("]", r"\]"))
    assert "secret" not in server.log
    server.process = None


# ---- many at once ----

def test_ten_packages_are_in_flight_at_the_same_moment(api, upstream):
    upstream.set(hold="/packages/")
    join = in_background(lambda: api.get(items_path(numbered(10))))
    assert upstream.await_calls(10)["calls"] == 11
    upstream.set(hold="")
    assert [i["sku"] for i in join().json()] == [f"pkg{k}" for k in range(10)]
    assert upstream.ask()["most_in_flight"] == 10


def test_items_come_in_the_order_of_the_packages(api, upstream):
    upstream.set(hold="000000000000/items")
    join = in_background(lambda: api.get(items_path(numbered(5))))
    upstream.await_calls(1)
    upstream.set(hold="")
    assert [i["sku"] for i in join().json()] == [f"pkg{k}" for k in range(5)]


def test_a_connection_is_used_again(api, upstream):
    for _ in range(20):
        assert api.get(items_path(numbered(1))).status_code == 200
    report = upstream.ask()
    assert (report["calls"], report["connections"]) == (40, 1)


def test_more_than_may_be_at_once_take_their_turns(serve, upstream):
    server = serve(config=upstream.config(max_calls=4), workers=1)
    upstream.set(hold="/packages/")
    with server.api() as api:
        join = in_background(lambda: api.get(items_path(numbered(30))))
        upstream.await_calls(4)
        assert server.slots()[0]["upstream"]["waiting"] == 26
        upstream.set(hold="")
        assert len(join().json()) == 30
    assert upstream.ask()["most_in_flight"] == 4


def test_no_more_calls_than_descriptors_allow(serve, upstream):
    server = serve.make(config=upstream.config(), workers=1).start(prefix=["prlimit", "--nofile=500:500"])
    server.await_line("max_calls is 25 here, not 512")
    upstream.set(hold="/packages/")
    with server.api() as api:
        join = in_background(lambda: api.get(items_path(numbered(60))))
        upstream.await_calls(25)
        upstream.set(hold="")
        assert len(join().json()) == 60


def test_a_thousand_slow_orders_disturb_nobody_else(serve, upstream):
    """Counted, not timed: while not one of them can be answered, all others are."""
    server = serve(config=upstream.config(max_calls=50, timeout="1h"), workers=2)
    upstream.set(hold="/maestro")
    wires = [Wire(server.tcp()) for _ in range(1000)]
    for wire in wires:
        wire.send(request("GET", items_path(numbered(1))))
    upstream.await_calls(100)
    with server.api() as api:
        for _ in range(100):
            assert api.get("/").status_code == 200
            assert api.get("/users/").json() == {"users": []}
            assert api.get("/healthcheck").status_code == 200
        status = server.status()
        assert sum(s["busy"] for s in status["slots"]) >= 1000
        upstreams = [s["upstream"] for s in status["slots"]]
        assert sum(u["busy"] for u in upstreams) == 100 and sum(u["waiting"] for u in upstreams) == 900
        assert upstream.ask()["calls"] == 100
    upstream.set(hold="")
    assert {wire.answer().status for wire in wires} == {200}
    assert upstream.ask()["most_in_flight"] == 100
    for wire in wires:
        wire.close()
