"""HTTP/1.1 on the wire: keep-alive, pipelining, bodies, Expect, slow and half-closed clients."""

import re

import pytest

from harness.wire import Wire, request

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
JSON = [("Content-Type", "application/json")]
MALFORMED = b"Invalid HTTP request received."


@pytest.fixture
def wire(serve):
    with Wire(serve(workers=1).tcp()) as wire:
        yield wire


def test_keep_alive(wire):
    for _ in range(50):
        answer = wire.get()
        assert answer.status == 200 and answer.header("connection") is None


def test_connection_close_is_echoed_last(wire):
    answer = wire.ask(headers=[("Connection", "close")]).answer()
    assert answer.names[-1] == "connection" and answer.header("connection") == "close"
    assert wire.is_closed()


def test_http_1_0_closes(wire):
    answer = wire.ask(version="HTTP/1.0").answer()
    assert (answer.version, answer.status, answer.header("connection")) == ("HTTP/1.1", 200, "close")
    assert wire.is_closed()


def test_http_1_0_needs_no_host(wire):
    assert wire.send(b"GET / HTTP/1.0\r\n\r\n").answer().status == 200


def test_pipelined_answers_come_in_order(wire):
    """Slow and fast ones mixed: the login hashes, the greeting does not."""
    login = b"username=nobody%40test.com&password=x"
    wire.send(request("POST", "/auth/token", FORM, login) + request() + request(target="/nope")
              + request("POST", "/auth/token", FORM, login) + request(target="/users/"))
    assert [wire.answer().status for _ in range(5)] == [401, 200, 404, 401, 200]


def test_many_pipelined_at_once(wire):
    wire.send(request() * 200)
    assert [wire.answer().status for _ in range(200)] == [200] * 200


def test_pipelined_after_close_are_not_answered(wire):
    wire.send(request(headers=[("Connection", "close")]) + request(target="/users/"))
    assert wire.answer().status == 200
    assert wire.is_closed()


def test_pipelined_body_is_not_taken_for_a_request(wire):
    inner = request(target="/nope")
    wire.send(request("POST", "/", body=inner) + request())
    assert [wire.answer().status for _ in range(2)] == [405, 200]


CHUNKED = [("Transfer-Encoding", "chunked")]
USER = b'{"username":"ana","email":"ana@test.com","password":"chunked-pw"}'


def chunks(body, size, extension=b"", trailer=b""):
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in parts) + b"0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize("body", [chunks(USER, 7), chunks(USER, 1000), chunks(USER, 1),
                                  chunks(USER, 10, b";name=value"), chunks(USER, 10, trailer=b"x-sum: 1\r\n")],
                         ids=["sevens", "one", "ones", "extension", "trailer"])
def test_chunked_body(wire, body):
    wire.ask("POST", "/users/", JSON + CHUNKED, body)
    assert wire.answer().body == b'{"id":1,"username":"ana","email":"ana@test.com"}'
    assert wire.get().status == 200


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefg\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n",
                                  b"3\r\nabc0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n"])
def test_malformed_chunks(wire, body):
    answer = wire.ask("POST", "/users/", JSON + CHUNKED, body).answer()
    assert answer.status in (400, 413) and answer.header("connection") == "close"
    assert wire.is_closed()


def test_expect_100_continue(wire):
    wire.ask("POST", "/users/", JSON + [("Expect", "100-continue"), ("Content-Length", str(len(USER)))])
    interim = wire.answer()
    assert (interim.status, interim.reason, interim.headers) == (100, "Continue", [])
    assert wire.send(USER).answer().status == 201


def test_no_100_when_the_body_is_already_there(wire):
    """RFC 9110 10.1.1: it may be omitted then; never two answers for one request."""
    wire.ask("POST", "/users/", JSON + [("Expect", "100-continue")], USER)
    first = wire.answer()
    assert (first if first.status == 201 else wire.answer()).status == 201
    assert wire.get().status == 200


def test_unknown_expectation(wire):
    answer = wire.ask("POST", "/users/", JSON + [("Expect", "the-unexpected")], USER).answer()
    assert (answer.status, answer.body) == (417, b'{"detail":"Expectation Failed"}')


def test_expect_on_a_too_large_body_is_refused_before_it_is_sent(wire):
    wire.ask("POST", "/users/", JSON + [("Expect", "100-continue"), ("Content-Length", "1000000")])
    assert wire.answer().status == 413


def test_one_byte_at_a_time(wire):
    for byte in request("POST", "/users/", JSON, USER):
        wire.send(bytes([byte]))
    assert wire.answer().status == 201


@pytest.mark.parametrize("cut", range(1, 60, 4))
def test_split_anywhere(wire, cut):
    data = request("POST", "/users/", JSON, USER)
    at = len(data) * cut // 60
    wire.send(data[:at])
    wire.send(data[at:])
    assert wire.answer().status == 201


def test_half_closed_client_gets_its_answers(wire):
    wire.send(request() + request(target="/users/")).send_end()
    assert [wire.answer().status for _ in range(2)] == [200, 200]
    assert wire.is_closed()


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: t\r\n", request("POST", "/", body=b"12345")[:-2]])
def test_half_closed_in_mid_request_is_closed(wire, sent):
    wire.send(sent).send_end()
    rest = wire.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400 "), rest


def test_answers_survive_unread_bytes(serve):
    """A refusal reaches the client although it is still sending (SUPERVISOR T7: lingering close)."""
    server = serve(workers=1)
    for _ in range(20):
        with Wire(server.tcp()) as wire:
            wire.send(request("POST", "/users/", JSON + [("Content-Length", "99999999")]))
            try:
                wire.send(b"x" * 60000)
            except ConnectionError:
                pass
            assert wire.answer().status == 413


def test_large_answer_to_a_slow_reader(serve):
    """Back-pressure: the answer is larger than what sockets buffer."""
    server = serve(workers=1, config={"limits.max_body": "1m"})
    with server.api() as api, Wire(server.tcp()) as slow:
        for i in range(12):
            assert api.sign_up("u" * 500_000 + str(i), f"u{i}@test.com").status_code == 201
        slow.ask(target="/users/")
        for _ in range(3):
            assert api.get("/").status_code == 200, "others are served meanwhile"
        answer = slow.answer()
        assert answer.status == 200 and len(answer.body) > 6_000_000
        assert slow.get().status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_head_and_body_are_one_segment(serve, method):
    """What a client waits for must not be held back by Nagle and delayed acknowledgements: one send."""
    server = serve(workers=1)
    with Wire(server.tcp()) as wire:
        wire.ask(method, "/", body=b"" if method == "POST" else None)
        got = wire.socket.recv(65536)
    assert got.endswith(b"}")


@pytest.mark.parametrize("target", ["http://test/users/", "http://other:81/users/?limit=1"])
def test_absolute_form(wire, target):
    """RFC 9112 3.2.2."""
    assert wire.ask(target=target).answer().body == b'{"users":[]}'


def test_date_is_now(wire):
    from email.utils import parsedate_to_datetime
    import datetime
    date = parsedate_to_datetime(wire.get().header("date"))
    assert abs(date - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)


def test_head_keeps_the_length(wire):
    answer = wire.ask("HEAD", "/").answer(head=True)
    assert (answer.status, answer.header("content-length"), answer.header("allow")) == (405, "31", "GET")
    assert wire.get().status == 200


@pytest.mark.parametrize("path, location", [
    ("/users", "http://example.org:81/users/"), ("/users?a=%20b&c", "http://example.org:81/users/?a=%20b&c"),
    ("/users/1/", "http://example.org:81/users/1"), ("/users?", "http://example.org:81/users/"),
    ("/auth/token/", "http://example.org:81/auth/token"), ("/us%65rs", "http://example.org:81/us%65rs/"),
    ("/users/1%2F", "http://example.org:81/users/1")])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_slash_redirect(wire, method, path, location):
    answer = wire.ask(method, path, [("Host", "example.org:81")], b"" if method == "PATCH" else None).answer()
    assert (answer.status, answer.reason, answer.body) == (307, "Temporary Redirect", b"")
    assert answer.names == ["date", "server", "content-length", "location"]
    assert answer.header("location") == location


@pytest.mark.parametrize("path", ["/users//", "//users", "/users/1/2/", "/Users/", "/users/1%2F2", "/auth", "/nope"])
def test_not_found(wire, path):
    answer = wire.ask(target=path).answer()
    assert (answer.status, answer.body) == (404, b'{"detail":"Not Found"}')


@pytest.mark.parametrize("method, path, allow", [
    ("PUT", "/", "GET"), ("OPTIONS", "/users/", "POST"), ("PATCH", "/users/1", "PUT"), ("POST", "/users/1", "PUT"),
    ("GET", "/auth/token", "POST"), ("DELETE", "/auth/refresh_token", "POST"), ("POST", "/healthcheck", "GET")])
def test_method_not_allowed(wire, method, path, allow):
    answer = wire.ask(method, path, body=b"" if method in ("PUT", "POST", "PATCH") else None).answer()
    assert (answer.status, answer.body) == (405, b'{"detail":"Method Not Allowed"}')
    assert answer.names == ["date", "server", "allow", "content-length", "content-type"]
    assert answer.header("allow") == allow


@pytest.mark.parametrize("proxies, scheme", [(None, "https"), ("127.0.0.1", "https"), ("192.0.2.0/24", "http")])
def test_forwarded_scheme_is_believed_of_trusted_proxies(serve, proxies, scheme):
    server = serve(workers=1, config={"server.trusted_proxies": proxies} if proxies else {})
    with Wire(server.tcp()) as wire:
        answer = wire.ask(target="/users", headers=[("X-Forwarded-Proto", "https"), ("Host", "h")]).answer()
    assert answer.header("location") == f"{scheme}://h/users/"


MALFORMED_REQUESTS = {
    "no version": b"GET /\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: t\r\n\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: t\r\n\r\n",
    "control byte in target": b"GET /\x01 HTTP/1.1\r\nHost: t\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : t\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: t\r\nnonsense\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: t\r\nA: b\x00c\r\n\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\nHost: t\r\nA: b\rc\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length list": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1, 1\r\n\r\na",
    "negative length": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +1\r\n\r\na",
    "length beyond 64 bits": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "length and chunked": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED_REQUESTS, ids=lambda n: n.replace(" ", "-").replace("/", "-"))
def test_malformed(wire, name):
    answer = wire.send(MALFORMED_REQUESTS[name]).answer()
    if name in ("http/2 preface",) and answer.status == 505:
        return
    if name == "length beyond 64 bits" and answer.status == 413:
        return
    if name == "chunked is not last" and answer.status == 501:
        return
    assert (answer.status, answer.reason, answer.body) == (400, "Bad Request", MALFORMED)
    assert answer.names[0] == "date"
    assert answer.headers[1:] == [("server", "colmeia"), ("content-type", "text/plain; charset=utf-8"),
                                  ("content-length", "30"), ("connection", "close")]
    assert wire.is_closed()


def test_bare_lf_line_ends_are_not_accepted_silently(wire):
    """RFC 9112 2.2 lets a server choose; what it must not do is to see another request than a proxy."""
    wire.send(b"GET / HTTP/1.1\nHost: t\n\n")
    assert wire.answer().status == 400
    assert wire.is_closed()


def test_leading_empty_line_is_ignored(wire):
    """RFC 9112 2.2."""
    assert wire.send(b"\r\n" + request()).answer().status == 200


def test_interim_and_final_never_mix_up(wire):
    """Expect, then pipelined: 100, 201, 200 in this order."""
    wire.ask("POST", "/users/", JSON + [("Expect", "100-continue"), ("Content-Length", str(len(USER)))])
    assert wire.answer().status == 100
    wire.send(USER + request())
    assert [wire.answer().status for _ in range(2)] == [201, 200]


def test_server_header_names_no_version(wire):
    assert re.fullmatch(r"colmeia", wire.get().header("server"))
