"""Limits and deadlines: their statuses, and that the worker goes on."""

import pytest

from harness.server import await_true
from harness.wire import Wire, request

JSON = [("Content-Type", "application/json")]
TIGHT = {"limits.header_timeout": "200ms", "limits.body_timeout": "300ms", "limits.keepalive_timeout": "100ms"}


def refusal(answer, status, detail):
    assert (answer.status, answer.body.decode()) == (status, f'{{"detail":"{detail}"}}')
    assert answer.header("content-type") == "application/json" and answer.header("connection") == "close"


@pytest.fixture
def server(serve):
    server = serve(workers=1)
    yield server
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert len(server.workers()) == 1


def test_body_too_large(server):
    with Wire(server.tcp()) as wire:
        refusal(wire.ask("POST", "/users/", JSON, b" " * (64 * 1024 + 1)).answer(), 413, "Content Too Large")
        assert wire.is_closed()


def test_largest_body(server):
    body = b'{"username":"a","email":"a@b.com","password":"p"}'
    with Wire(server.tcp()) as wire:
        assert wire.ask("POST", "/users/", JSON, body + b" " * (64 * 1024 - len(body))).answer().status == 201


def test_chunked_body_too_large(server):
    with Wire(server.tcp()) as wire:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        wire.ask("POST", "/users/", JSON + [("Transfer-Encoding", "chunked")])
        try:
            for _ in range(17):
                wire.send(chunk)
        except ConnectionError:
            pass
        refusal(wire.answer(), 413, "Content Too Large")


def test_target_too_long(server):
    with Wire(server.tcp()) as wire:
        refusal(wire.ask(target="/" + "a" * 8192).answer(), 414, "URI Too Long")


def test_longest_target(server):
    with Wire(server.tcp()) as wire:
        assert wire.ask(target="/" + "a" * 8191).answer().status == 404


def test_too_many_headers(server):
    with Wire(server.tcp()) as wire:
        refusal(wire.ask(headers=[(f"X-{i}", "1") for i in range(100)]).answer(), 431,
                "Request Header Fields Too Large")


def test_most_headers(server):
    with Wire(server.tcp()) as wire:
        assert wire.ask(headers=[(f"X-{i}", "1") for i in range(99)]).answer().status == 200


@pytest.mark.parametrize("header", [("A", "b" * 17000), ("A" * 17000, "b")], ids=["value", "name"])
def test_head_too_large(server, header):
    with Wire(server.tcp()) as wire:
        refusal(wire.ask(headers=[header]).answer(), 431, "Request Header Fields Too Large")


def test_endless_head_is_cut_off(server):
    """No line end ever comes: the refusal must not wait for one."""
    with Wire(server.tcp()) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: t\r\nA: ")
        try:
            for _ in range(40):
                wire.send(b"b" * 1000)
        except ConnectionError:
            pass
        assert wire.answer().status == 431


@pytest.mark.parametrize("coding, status", [("gzip, chunked", 501), ("identity", 400), ("gzip", 400)])
def test_unknown_transfer_coding(server, coding, status):
    """RFC 9112 6.1 and 6.3: where the body ends is clear, or it is not."""
    with Wire(server.tcp()) as wire:
        answer = wire.ask("POST", "/users/", JSON + [("Transfer-Encoding", coding)], b"0\r\n\r\n").answer()
        assert answer.status == status


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/3.0", "HTTP/0.9"])
def test_version_not_supported(server, version):
    with Wire(server.tcp()) as wire:
        answer = wire.ask(version=version).answer()
        assert answer.status in ((505,) if version in ("HTTP/2.0", "HTTP/3.0") else (505, 400, 200)), answer
        if answer.status == 505:
            refusal(answer, 505, "HTTP Version Not Supported")


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: t\r\n", b"GET / HTTP/1.1\r\nHost: t\r\nA: "],
                         ids=["byte", "line", "name"])
def test_head_that_does_not_come(serve, sent):
    server = serve(workers=1, config=TIGHT)
    with Wire(server.tcp()) as wire:
        refusal(wire.send(sent).answer(), 408, "Request Timeout")
        assert wire.is_closed()


def test_body_that_does_not_come(serve):
    server = serve(workers=1, config=TIGHT)
    with Wire(server.tcp()) as wire:
        refusal(wire.send(request("POST", "/users/", JSON, b"0123456789")[:-1]).answer(), 408, "Request Timeout")
        assert wire.is_closed()


def test_deadlines_are_absolute(serve):
    """A byte now and then does not extend them."""
    server = serve(workers=1, config=TIGHT)
    with Wire(server.tcp()) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: t\r\nA: ")
        wire.socket.settimeout(0.02)
        sent = 0
        while True:
            try:
                wire._more()
                break
            except TimeoutError:
                wire.send(b"b")     # again, as long as there is no answer
                sent += 1
                assert sent < 4000
        assert sent >= 1
        wire.socket.settimeout(90)
        refusal(wire.answer(), 408, "Request Timeout")


def test_idle_connection_is_closed_without_a_word(serve):
    server = serve(workers=1, config=TIGHT)
    with Wire(server.tcp()) as fresh, Wire(server.tcp()) as used:
        assert used.get().status == 200
        assert fresh.is_closed() and used.is_closed()


def test_slow_clients_do_not_stop_others(serve):
    """Two hundred half requests stand; a whole one is answered among them."""
    server = serve(workers=1)
    slow = [Wire(server.tcp()).send(b"POST /users/ HTTP/1.1\r\nHost: t\r\nContent-Le") for _ in range(200)]
    with Wire(server.tcp()) as wire:
        for _ in range(20):
            assert wire.get().status == 200
    for wire in slow:
        wire.close()


def test_full_worker_pauses_and_goes_on(serve):
    """Above 7/8 of max_connections it stops accepting, below 3/4 it goes on: nobody is refused."""
    server = serve(workers=1, config={"limits.max_connections": 16})
    wires = [Wire(server.tcp()) for _ in range(40)]
    for wire in wires:
        wire.ask()
    answered = 0
    for wire in wires:      # each connection that leaves makes room for one that waits
        assert wire.answer().status == 200
        wire.close()
        answered += 1
    assert answered == 40


def test_client_that_never_reads_is_cut(serve):
    """write_timeout: no progress. The worker's memory is not the client's to fill."""
    server = serve(workers=1, config={"limits.write_timeout": "200ms", "limits.max_body": "1m"})
    with server.api() as api:
        for i in range(12):
            assert api.sign_up("u" * 500_000 + str(i), f"u{i}@test.com").status_code == 201
        with Wire(server.tcp()) as wire:
            wire.send(request(target="/users/") * 4)
            def cut():
                try:
                    wire.send(b"G")
                    return False
                except ConnectionError:
                    return True
            await_true("the connection is cut", cut)
        assert api.get("/").status_code == 200
