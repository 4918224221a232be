"""Listeners with "tls": versions, ciphers, ALPN, what is refused and how; plain bytes, stalled and broken
handshakes; slow readers; sessions that another worker goes on with; what TLS changes in answers."""

import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness import tls
from harness.server import FAST, PATIENCE_S, await_true, run_verb, write_ini
from harness.tls import SecureWire
from harness.wire import Closed, Wire, request

HANDSHAKE = 22


@pytest.fixture
def secure(serve, place):
    """secure(**config): a server with one TLS listener; its certificate is server.pem."""
    made = tls.config(place)

    def start(workers=1, **config):
        return serve(workers=workers, config={**FAST, **made, **{k.replace("__", "."): v for k, v in config.items()}})
    return start


def totals(server):
    return server.status()["totals"]


# ---- what is agreed ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_versions(secure, place, version):
    server = secure()
    assert re.search(r"ready: 1 worker on https://127\.0\.0\.1:\d+ tls$", server.log, re.MULTILINE)
    with SecureWire(server.tcp(), tls.context(place, low=version, high=version)) as wire:
        assert wire.socket.version() == version.name.replace("_", ".")
        assert wire.socket.selected_alpn_protocol() == "http/1.1"
        assert wire.socket.compression() is None
        assert wire.get().status == 200
        assert wire.get("/healthcheck").status == 200
    assert (totals(server)["tls_handshakes"], totals(server)["tls_failed"]) == (1, 0)


@pytest.mark.parametrize("words,why", [
    (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "alert protocol version|unsupported protocol"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "alert handshake failure"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:AES128-GCM-SHA256"], "alert handshake failure"),
    (["-groups", "ffdhe8192"], "alert handshake failure"),
    (["-groups", "P-521:X448"], "alert handshake failure"),
    (["-alpn", "h2"], "alert no application protocol"),
    (["-alpn", "h2", "-tls1_2"], "alert no application protocol"),
], ids=["old", "cbc", "no-forward-secrecy", "dear-group", "curves", "alpn", "alpn-1.2"])
def test_refused(secure, words, why):
    server = secure()
    assert re.search(why, tls.s_client(server, *words))
    server.await_status("it is counted", lambda s: s["totals"]["tls_failed"] == 1)
    assert totals(server)["tls_handshakes"] == 0


@pytest.mark.parametrize("alpn", [(), ("h2", "http/1.1")], ids=["none", "among-others"])
def test_protocol(secure, place, alpn):
    server = secure()
    with SecureWire(server.tcp(), tls.context(place, alpn=alpn)) as wire:
        assert wire.socket.selected_alpn_protocol() == ("http/1.1" if alpn else None)
        assert wire.get().status == 200


def test_no_renegotiation(secure):
    server = secure()
    said = tls.s_client(server, "-tls1_2", text=b"R\n")
    assert re.search("no.renegotiation", said, re.IGNORECASE) or "RENEGOTIATING" in said
    assert totals(server)["tls_handshakes"] == 1


def test_new_keys(secure):
    with tls.Typed(secure(), "-tls1_3") as client:
        for _ in range(20):
            assert client.type(b"K\n") and client.await_line(b"KEYUPDATE")
        assert client.type(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") and client.await_line(b"HTTP/1.1 200 OK")


def test_new_keys_without_end(secure, place):
    """Each costs the worker far more than its sender: who does nothing else is cut off."""
    server = secure()
    with tls.Typed(server, "-tls1_3") as client:
        done, end = 0, time.monotonic() + PATIENCE_S
        while client.type(b"K\n") and client.await_line(b"KEYUPDATE"):
            done += 1
            assert time.monotonic() < end, f"{done} times"
        assert done >= 32
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().status == 200


# ---- the end ----

def sealed_whole(server, place, text):
    """Sends *text* and close_notify behind it in one piece; what is answered until the server closes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = tls.context(place).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with tls.raw(server) as client:
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65536))
        client.sendall(outgoing.read())
        server.await_status("the handshake is over", lambda s: s["totals"]["tls_handshakes"] > 0)
        secured.write(text)
        try:
            secured.unwrap()
        except ssl.SSLWantReadError:
            pass
        client.sendall(outgoing.read())
        while received := client.recv(65536):
            incoming.write(received)
    answers = b""
    try:
        while plain := secured.read(65536):
            answers += plain
    except ssl.SSLZeroReturnError:
        pass
    return re.findall(rb"HTTP/1\.1 (\d+)", answers)


GET, BAD_POST = request(target="/users/1"), request("POST", "/users/", body=b"{")     # no such user


@pytest.mark.parametrize("text,answers", [
    (GET * 40, [b"404"] * 40), (GET + BAD_POST + GET, [b"404", b"422", b"404"]),
    (GET + BAD_POST * 3, [b"404"] + [b"422"] * 3), (GET * 20 + GET[:-2], [b"404"] * 20),
    (GET * 17 + BAD_POST[:-1], [b"404"] * 17), (GET, [b"404"])],
    ids=["many", "behind-a-post", "posts", "half-a-head", "half-a-body", "one"])
def test_end_behind_requests(secure, place, text, answers):
    """All that came before close_notify is answered, as before a plain connection's end."""
    assert sealed_whole(secure(), place, text) == answers
    with Wire(secure(server__bind="127.0.0.1:0").tcp()) as wire:
        assert re.findall(rb"HTTP/1\.1 (\d+)", wire.send(text).send_end().rest()) == answers


# ---- what is no TLS ----

def test_plain_http(secure):
    server = secure()
    with Wire(server.tcp()) as wire:
        answer = wire.get()
        assert (answer.status, answer.body) == (400, b"Plain HTTP on a port for HTTPS; use https://\n")
        assert wire.is_closed()
    assert totals(server)["tls_failed"] == 1 and totals(server)["requests"] == 0


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + 3 * b"x",
                                     b"\x15\x03\x03\x00\x02\x02\x28", b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x00\x02"],
                         ids=["zeros", "no-hello", "too-long", "alert", "ssh", "sslv2"])
def test_garbage(secure, place, garbage):
    """An alert or nothing; the worker lives."""
    server = secure()
    with tls.raw(server) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().status == 200
    assert totals(server)["workers_died"] == 0


def test_garbage_behind_the_handshake(secure, place):
    """A record that cannot be opened: an alert, and the end."""
    server = secure()
    wire = SecureWire(server.tcp(), tls.context(place))
    assert wire.get().status == 200
    with socket.socket(fileno=wire.socket.detach()) as client:
        client.settimeout(90)
        client.sendall(b"\x17\x03\x03\x00\x20" + 32 * b"x")
        while client.recv(4096):
            pass
    server.await_status("nobody is left", lambda s: sum(row["connections"] for row in s["slots"]) == 0)


def test_stalled_handshake(secure, place):
    """Silent from the beginning, and in the middle: header_timeout from the accept."""
    server = secure(limits__header_timeout="500ms", limits__keepalive_timeout="1h")
    with tls.raw(server) as silent, tls.raw(server) as slow:
        slow.sendall(b"\x16\x03\x01\x01\x00")
        assert silent.recv(1) == b"" and slow.recv(1) == b""
    server.await_status("two timeouts", lambda s: s["totals"]["timeouts"] == 2)
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().status == 200, "the deadline is over with the handshake"


def hello(place):
    """A ClientHello as Python's client begins."""
    out = ssl.MemoryBIO()
    client = tls.context(place).wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def test_clients_that_leave_in_the_middle(secure, place):
    server = secure()
    first = hello(place)
    for cut in 0, 1, 5, 50, len(first):
        with tls.raw(server) as client:
            client.sendall(first[:cut])
            if cut % 2:     # a reset
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.await_status("nobody is left", lambda s: s["totals"]["connections_closed"] == 5)
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().status == 200


def test_byte_by_byte(secure, place):
    """Both the handshake and requests, in pieces as small as can be."""
    server = secure()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context(place).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with tls.raw(server) as wire:
        def run(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        wire.sendall(bytes([byte]))
                    incoming.write(wire.recv(65536))
        run(client.do_handshake)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.write(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 2 or not got.endswith(b"}"):
            got += run(lambda: client.read(65536))


# ---- bytes ----


class Sender(threading.Thread):
    """Sends requests in batches of *depth* as long as the server takes them."""

    def __init__(self, client, batches, depth):
        super().__init__(daemon=True)
        self.client, self.batches, self.depth, self.sent = client, batches, depth, 0
        self.start()

    def run(self):
        for _ in range(self.batches):
            self.client.sendall(self.depth * b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
            self.sent += 1


def test_slow_reader(secure, place):
    """More answers than any buffer takes, pipelined, to a client that does not read: once it does it gets all of
    them, whole and in order."""
    server = secure(workers=1)
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        length = len(wire.get("/openapi.json").body)
    depth = 16
    batches = 10_000_000 // (depth * length) + 1
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    plain.settimeout(90)
    plain.connect(server.tcp())
    with tls.context(place).wrap_socket(plain, server_hostname="localhost") as client:
        sender, seen = Sender(client, batches, depth), []
        await_true("the server is held up", lambda: seen.append((sender.sent, totals(server)["requests"])) or
                   len(seen) > 5 and seen[-1][1] > 1 and len(set(seen[-5:])) == 1)
        assert seen[-1][1] < batches * depth
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        reader = client.makefile("rb")
        for _ in range(batches * depth):
            head = []
            while (line := reader.readline()) != b"\r\n":
                head.append(line)
            assert head[0] == b"HTTP/1.1 200 OK\r\n" and b"content-length: %d\r\n" % length in head
            body = reader.read(length)
            assert body.startswith(b'{"openapi"') and body.endswith(b"}") and len(body) == length
        sender.join(90)
        reader.close()      # else the socket stays open
    server.await_status("nobody is left", lambda s: sum(row["connections"] for row in s["slots"]) == 0)


def test_a_reader_that_stops_is_cut(secure, place):
    server = secure(limits__write_timeout="300ms")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(90)
    plain.connect(server.tcp())
    with tls.context(place).wrap_socket(plain, server_hostname="localhost") as client:
        for _ in range(400):    # more than the kernel's buffers take on the way
            try:
                client.sendall(16 * b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
            except (ConnectionError, ssl.SSLError):
                break
            if totals(server)["connections_cut"]:
                break
        server.await_status("it is cut", lambda s: s["totals"]["connections_cut"] == 1)


def test_large_bodies(secure, place):
    """To us, in many records."""
    server = secure(limits__max_body="1m")
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        wire.ask("POST", "/users/", [("Content-Type", "application/json")], b'{"username":"' + 300_000 * b"x" + b'"}')
        assert wire.answer().status == 422
        assert wire.get().status == 200


def test_both_ends_say_goodbye(secure, place):
    server = secure()
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        wire.ask("GET", "/", [("Connection", "close")])
        assert wire.answer().status == 200
        assert wire.ends_well()
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().status == 200
        wire.socket.unwrap()    # ours, and theirs
    server.await_status("nobody is left", lambda s: sum(row["connections"] for row in s["slots"]) == 0)


# ---- HTTP ----

def test_scheme_and_hsts(secure, place):
    server = secure(tls__hsts="180d", server__bind="127.0.0.1:0 tls, 127.0.0.1:0")
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        answer = wire.get("/users?limit=1")
        host = "%s:%d" % server.tcp()
        assert answer.header("location") == "https://test/users/?limit=1", host
        assert answer.header("strict-transport-security") == "max-age=15552000"
        assert wire.get("/nowhere").header("strict-transport-security") == "max-age=15552000"
    with Wire(server.tcp(1)) as wire:
        assert wire.get().header("strict-transport-security") is None
        for proto, said in ("https", "max-age=15552000"), ("http", None):
            answer = wire.ask("GET", "/", [("X-Forwarded-Proto", proto)]).answer()
            assert answer.header("strict-transport-security") == said


def test_hsts_is_off(secure, place):
    server = secure()
    with SecureWire(server.tcp(), tls.context(place)) as wire:
        assert wire.get().header("strict-transport-security") is None


def test_behind_the_proxy_protocol(serve, place):
    """The header in the clear, then TLS: in one piece with it, or byte by byte."""
    from process.test_proxy_protocol import header
    server = serve(workers=1, config={**FAST, **tls.config(place, "127.0.0.1:0 proxy tls"), "log.access": "on"})
    assert re.search(r"ready: .* on https://\S+ proxy tls$", server.log, re.MULTILINE)
    with SecureWire(server.tcp(), tls.context(place), first=header()) as wire:
        assert wire.get("/one").status == 404
        assert " 203.0.113.9:4711 " in server.await_line("/one").string
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context(place).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with tls.raw(server) as wire:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        together = header() + outgoing.read()
        wire.sendall(together[:20])
        wire.sendall(together[20:])
        incoming.write(wire.recv(65536))
        client.do_handshake()
        client.write(b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.sendall(outgoing.read())
        assert " 203.0.113.9:4711 " in server.await_line("/two").string
    with Wire(server.tcp()) as wire:
        wire.send(hello(place))
        with pytest.raises((Closed, ConnectionResetError)):
            wire.answer()
    assert totals(server)["proxy_refused"] == 1


# ---- configuration ----

def pair(place, what):
    """Makes server.pem and server.key with something wrong; what is said about it."""
    tls.make_pair(place)
    key, certificate = place / "server.key", place / "server.pem"
    if what == "mismatch":
        tls.make_pair(place, "other")
        (place / "other.key").rename(key)
        return r"\[tls\] key server.key: it is not the key of the certificate server.pem"
    if what == "encrypted":
        subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:abcd", "-out", place / "new"],
                       check=True, capture_output=True)
        (place / "new").rename(key)
        key.chmod(0o600)
        return r"\[tls\] key server.key: it is encrypted.*openssl pkey"
    if what == "open":
        key.chmod(0o644)
        return r"\[tls\] key server.key: others may read or change it \(mode 0644\).*chmod 640 server.key"
    if what == "missing":
        key.unlink()
        return r"\[tls\] key server.key: cannot read it: No such file"
    if what == "no-certificate":
        certificate.write_text("hello\n")
        return r"\[tls\] certificate server.pem: it holds no certificate in PEM"
    if what == "cut-chain":
        certificate.write_text(certificate.read_text() + certificate.read_text()[:200])
        return r"\[tls\] certificate server.pem: its chain is damaged"
    if what == "key-is-certificate":
        key.write_text(certificate.read_text())
        return r"\[tls\] key server.key: it holds no private key in PEM"
    if what == "directory":
        certificate.unlink()
        certificate.mkdir()
        return r"\[tls\] certificate server.pem: cannot read it: it is no regular file"
    raise AssertionError(what)


WRONG = ["mismatch", "encrypted", "open", "missing", "no-certificate", "cut-chain", "key-is-certificate", "directory"]


def test_wrong_pairs(serve, place):
    """Said by the check and by a reload, which changes nothing then."""
    server = serve(workers=1, config={**FAST, **tls.config(place)})
    for number, what in enumerate(WRONG, 1):
        if number > 1:
            (place / "server.pem").unlink()
        why = pair(place, what)
        done = run_verb(place, "check", "--config", "colmeia.ini")
        assert done.returncode == 78 and re.search(why, done.stderr), done.stderr
        mark = server.mark()
        answer = server.ctl("reload", "--wait", code=1)
        assert re.search(why, answer["error"]), answer
        server.await_line(rf"reload {number} failed: .*; the old workers go on", mark)
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 400


@pytest.mark.parametrize("what", ["mismatch", "open"])
def test_start_with_a_wrong_pair(serve, place, what):
    """What workers find wrong, and what the master does: exit 78."""
    config = tls.config(place)
    why = pair(place, what)
    server = serve.make(workers=1, config={**FAST, **config}).spawn()
    assert server.wait() == 78
    server.await_end_of_log()
    assert re.search(rf"ERROR .*{why}", server.log)


def test_expired(serve, place):
    """Wrong in a check and in a reload; a start says so and goes on: other listeners may be there."""
    config = tls.config(place, days=-1)
    write_ini(place, config)
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and "server.pem: it has expired" in done.stderr
    server = serve(workers=1, config={**FAST, **config})
    assert re.search(r"ERROR .*server\.pem: it has expired; clients will not accept it", server.log)
    assert "it has expired" in server.ctl("reload", "--wait", code=1)["error"]


@pytest.mark.parametrize("config,why", [
    ({"server.bind": "127.0.0.1:0 tls"}, r'colmeia.ini:\d+: bind: "tls" needs a certificate; set \[tls\] certificate'),
    ({"server.bind": "127.0.0.1:0 tls", "tls.certificate": "server.pem"},
     r"colmeia.ini:\d+: certificate: it needs its private key; set \[tls\] key"),
])
def test_incomplete(place, config, why):
    write_ini(place, config)
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and re.search(why, done.stderr), done.stderr


def test_files_are_not_read_without_need(place):
    write_ini(place, {"server.bind": "127.0.0.1:0", "tls.certificate": "nowhere.pem", "tls.key": "nowhere.key"})
    assert run_verb(place, "check", "--config", "colmeia.ini").returncode == 0


def test_credentials(serve, place):
    """A relative name is found among systemd's credentials."""
    config = tls.config(place)
    (place / "credentials").mkdir()
    for name in "server.pem", "server.key":
        (place / name).rename(place / "credentials" / name)
    server = serve(workers=1, config={**FAST, **config}, env={"CREDENTIALS_DIRECTORY": str(place / "credentials")})
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 400


def test_nothing_of_it_without_a_listener(serve, place):
    """libssl is loaded by workers that need it, and by nobody else."""
    server = serve(workers=1, config={**FAST, **tls.config(place)})
    loaded = {pid: "libssl.so" in open(f"/proc/{pid}/maps").read() for pid in [server.process.pid, *server.workers()]}
    assert list(loaded.values()) == [False, True]
    server.configure(server__bind="127.0.0.1:0")
    server.reload()
    worker, = server.await_workers(1)
    assert "libssl.so" not in open(f"/proc/{worker}/maps").read()
