"""The orders API before an upstream that fails: a clear answer in time, bounded memory, other routes
undisturbed, the circuit breaker, and clients, workers and servers that leave meanwhile."""

import os
import random
import signal
import subprocess
import threading

import pytest

from harness import orders
from harness.orders import KEY, KNOWN, Upstream, items_path, numbered
from harness.server import FAST, await_true
from harness.wire import Wire, request

FAILED = '{"message":"Falha de comunicação com o servidor remoto"}'
OPEN = '{"message":"Serviço temporariamente indisponível"}'
NOT_FOUND = '{"message":"Pedido não encontrado"}'


@pytest.fixture
def server(serve, upstream):
    server = serve(config=upstream.config(timeout="1h"), workers=1)
    server.secrets.add(KEY)
    return server


@pytest.fixture
def api(server):
    with server.api() as api:
        yield api


def breaker(server):
    return server.slots()[0]["upstream"]["breaker"]


def expect_failed(api, order=KNOWN):
    answer = api.get(items_path(order))
    assert (answer.status_code, answer.reason_phrase, answer.text) == (502, "Bad Gateway", FAILED)
    assert answer.headers["content-type"] == "application/json"
    assert api.get("/").status_code == 200


# ---- what it can answer ----

# Ways to fail with an answer, and how often a call is made for it.
ONCE = ["300", "redirect", "400", "401", "403", "429", "500", "501", "html", "empty", "notjson", "nopackages", "badid",
        "noquantity", "nodescription", "badcode", "gzip", "huge", "endless", "headers", "interim"]
THRICE = ["502", "503", "504", "short", "cut", "close", "reset", "garbage"]
OF_ITEMS = {"noquantity", "nodescription", "badcode"}


def test_every_way_to_fail(api, upstream, server):
    # so many good calls that the breaker stays closed
    assert len(api.get(items_path(numbered(100))).json()) == 100
    for mode, tries in [(m, 1) for m in ONCE] + [(m, 3) for m in THRICE]:
        match = "/packages/" if mode in OF_ITEMS else "/maestro/"
        upstream.set(mode=mode, match=match, zero=True)
        expect_failed(api, numbered(1))
        report = upstream.set(mode="ok")
        wanted = tries + (1 if mode in OF_ITEMS else 0)
        # a kept connection that ends without a byte is tried again by libcurl itself (RFC 9112, 9.3.1)
        assert report["calls"] == wanted or tries > 1 and report["calls"] > wanted, (mode, report)
        server.await_line(r"order 00000000-0000-4000-8000-000000000001: the upstream failed: /maestro.*502")
    assert breaker(server) == "closed"
    assert api.get(items_path(KNOWN)).status_code == 200


def test_tries_are_counted(api, upstream, server):
    upstream.set(mode="503")
    expect_failed(api)
    assert upstream.ask()["calls"] == 3
    totals = server.status()["totals"]
    assert (totals["upstream_calls"], totals["upstream_retries"], totals["upstream_failures"]) == (3, 2, 3)


def test_what_is_read_of_an_endless_answer(api, upstream):
    for mode in ("endless", "huge", "headers", "interim"):
        upstream.set(mode=mode)
        expect_failed(api)
    assert upstream.ask()["written"] < 40 << 20     # what sockets and their buffers hold of it


def test_longer_than_it_says(api, upstream):
    """Content-Length is believed; what comes behind it is no answer to anybody."""
    upstream.set(mode="long", match="/packages/")
    assert api.get(items_path(numbered(1))).text == "[]"
    upstream.set(mode="ok")
    assert api.get(items_path(numbered(1))).json()[0]["sku"] == "pkg0"


def test_one_package_fails_and_the_others_are_called_off(api, upstream):
    upstream.set(mode="404", match="000000000000/items", hold="000000000001/items")
    answer = api.get(items_path(numbered(2)))
    assert (answer.status_code, answer.text) == (404, NOT_FOUND)
    await_true("the other call is cancelled", lambda: upstream.ask()["cancelled"] == 1)


def test_a_second_try_that_succeeds(api, upstream):
    upstream.set(mode="503", match="000000000003/items", hold="000000000003/items")
    box = []
    thread = threading.Thread(target=lambda: box.append(api.get(items_path(numbered(4)))))
    thread.start()
    upstream.await_calls(1)
    upstream.set(hold="")
    await_true("it has failed", lambda: api.server.status()["totals"]["upstream_failures"] == 1)
    upstream.set(mode="ok")
    thread.join()
    assert len(box[0].json()) == 4


# ---- time ----

@pytest.mark.parametrize("trouble", [{"hold": "/maestro"}, {"mode": "drip"}, {"delay_ms": 3600000},
                                     {"hold": "/packages/"}])
def test_too_slow(serve, upstream, trouble):
    server = serve(config=upstream.config(timeout="300ms"), workers=1)
    upstream.set(**trouble)
    with server.api() as api:
        expect_failed(api)
        server.await_line("the upstream failed: .*(not answered within 300 ms|timed out).*answered with 502")
        assert server.status()["totals"]["upstream_timeouts"] == 1
    await_true("the call is cancelled", lambda: upstream.ask()["in_flight"] == 0)


# ---- no connection at all ----

def test_nobody_there(serve, upstream):
    server = serve(config=upstream.config(), workers=1)
    upstream.stop()
    with server.api() as api:
        expect_failed(api)


@orders.needed
def test_a_name_that_nobody_knows(serve):
    server = serve(config={"orders.upstream": "http://no-such-host.invalid", "orders.apikey": KEY})
    with server.api() as api:
        expect_failed(api)


def test_certificates(serve, place):
    pem = place / "fake.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", pem, "-out", place / "ca.pem"], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + (place / "ca.pem").read_bytes())
    fake = Upstream("--certificate", str(pem))
    try:
        server = serve(config={**FAST, **fake.config()}, workers=1)
        with server.api() as api:
            expect_failed(api)
            server.await_line("the upstream failed: .*SSL certificate problem.*502")
            assert fake.ask()["calls"] == 0
            server.configure(orders__ca_file=str(place / "ca.pem"))
            server.reload()
        with server.api() as api:
            assert api.get(items_path(KNOWN)).status_code == 200
    finally:
        fake.stop()


# ---- the circuit breaker ----

def test_the_circuit_opens_and_closes(serve, upstream):
    server = serve(config=upstream.config(circuit_timeout="1s"), workers=1)
    upstream.set(mode="500")
    with server.api() as api:
        for _ in range(10):
            expect_failed(api)
        assert breaker(server) == "closed"
        answer = api.get(items_path(KNOWN))
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, OPEN, "1")
        assert breaker(server) == "open"
        assert "circuit broken in 1 of 1 workers" in plain_status(server)
        server.await_line("the circuit is open")
        assert upstream.ask()["calls"] == 11

        def probed():
            """Refused until its time is over; then one call is made, fails, and it is open again."""
            answer = api.get(items_path(KNOWN))
            assert (answer.status_code, answer.text) == (503, OPEN)
            return upstream.ask()["calls"] == 12
        await_true("a probe", probed)
        assert breaker(server) == "open"
        upstream.set(mode="ok")
        await_true("the circuit is closed", lambda: api.get(items_path(KNOWN)).status_code == 200)
        assert breaker(server) == "closed"
        server.await_line("the circuit is closed")
        assert "circuit closed" in plain_status(server)
        totals = server.status()["totals"]
        assert totals["upstream_opened"] == 2 and totals["upstream_refused"] >= 1


def plain_status(server):
    """As a person sees it."""
    from harness.server import run_verb
    return run_verb(server.directory, "ctl", "--control", "ctl.sock", "status").stdout


def test_while_it_is_open_the_upstream_is_left_alone(serve, upstream):
    server = serve(config=upstream.config(), workers=1)
    upstream.set(mode="reset")
    with server.api() as api:
        seen = [api.get(items_path(KNOWN)) for _ in range(12)]
        calls = upstream.ask()["calls"]
        assert calls == 11      # three tries of three orders, then the second of the fourth
        assert [a.status_code for a in seen] == [502] * 3 + [503] * 9
        assert 50 <= int(seen[-1].headers["retry-after"]) <= 60
        assert api.get("/").status_code == 200


def test_unknown_orders_do_not_open_it(api, server):
    for _ in range(30):
        assert api.get(items_path("ea78b59b-885d-4e7b-9cd0-d54acadb4933")).status_code == 404
    assert breaker(server) == "closed"


@pytest.mark.parametrize("mode", ["nopackages", "huge"])
def test_an_order_that_nobody_can_use_does_not_open_it(api, upstream, server, mode):
    """The upstream answers; who asks for that one order again and again does not take the others along."""
    upstream.set(mode=mode, match="/maestro/")
    for _ in range(15):
        expect_failed(api)
    assert breaker(server) == "closed"
    upstream.set(mode="ok")
    assert api.get(items_path(KNOWN)).status_code == 200
    assert server.status()["totals"]["upstream_failures"] == 15


# ---- leaving ----

def test_a_client_that_leaves_calls_off_its_calls(api, upstream, server):
    upstream.set(hold="/packages/")
    with Wire(server.tcp()) as wire:
        wire.send(request("GET", items_path(numbered(10))))
        upstream.await_calls(10)
    report = upstream.await_calls(0)
    assert report["cancelled"] == 10
    upstream.set(hold="")
    assert api.get(items_path(KNOWN)).status_code == 200
    assert breaker(server) == "closed"


def test_storms_of_clients_that_leave(serve, upstream):
    server = serve(config=upstream.config(max_calls=30), workers=2)
    chance = random.Random(8)
    upstream.set(delay_ms=5, fail_rate=2)
    for _ in range(400):
        wires = [Wire(server.tcp()) for _ in range(chance.randrange(1, 4))]
        for wire in wires:
            wire.send(request("GET", items_path(numbered(chance.randrange(12)))))
        if chance.random() < 0.3:
            wires[0].answer()
        for wire in wires:
            wire.close()
    upstream.set(delay_ms=0, fail_rate=0)
    upstream.await_calls(0)
    server.await_status("nothing is left", lambda s: all(
        (slot["upstream"]["busy"], slot["upstream"]["waiting"], slot["busy"]) == (0, 0, 0) for slot in s["slots"]))


def held_orders(server, upstream, count):
    """So many clients whose orders wait upstream."""
    wires = [Wire(server.tcp()) for _ in range(count)]
    for wire in wires:
        wire.send(request("GET", items_path(numbered(2))))
    upstream.await_calls(2 * count)
    return wires


def test_a_reload_with_orders_in_flight_loses_none(serve, upstream):
    server = serve(config={**FAST, **upstream.config(timeout="1h")}, workers=2)
    upstream.set(hold="/packages/")
    wires = held_orders(server, upstream, 20)
    old = set(server.workers())
    server.send_signal(signal.SIGHUP)
    server.await_workers(2, without=old)
    server.await_status("the old ones are leaving",     # one of them may have had no order, and have left
                        lambda s: any(slot["state"] == "draining" for slot in s["slots"]))
    upstream.set(hold="")
    for wire in wires:
        assert wire.answer().status == 200
        assert wire.get(items_path(KNOWN)).status == 200     # by a new worker, on the same connection
        wire.close()


def test_a_stop_with_orders_in_flight_loses_none(serve, upstream):
    server = serve(config=upstream.config(timeout="1h"), workers=2)
    upstream.set(hold="/packages/")
    wires = held_orders(server, upstream, 20)
    server.send_signal(signal.SIGTERM)
    server.await_line("stop")
    upstream.set(hold="")
    assert [wire.answer().status for wire in wires] == [200] * 20
    for wire in wires:
        wire.close()
    assert server.wait() == 0


def test_a_quick_stop_cuts_orders_in_flight(serve, upstream):
    server = serve(config=upstream.config(timeout="1h"), workers=1)
    upstream.set(hold="/packages/")
    wires = held_orders(server, upstream, 20)
    server.send_signal(signal.SIGQUIT)
    assert server.wait() == 5
    for wire in wires:
        wire.close()


def test_a_worker_that_is_killed(serve, upstream):
    server = serve(config=upstream.config(), workers=1).await_served()
    upstream.set(hold="/packages/")
    wires = held_orders(server, upstream, 3)
    (pid,) = server.workers()
    os.kill(pid, signal.SIGKILL)
    server.await_workers(1, without=[pid])
    upstream.set(hold="")
    with server.api() as api:
        assert api.get(items_path(KNOWN)).status_code == 200
    for wire in wires:
        wire.close()
