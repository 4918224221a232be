"""What outlives a connection: sessions that any worker goes on with, also after an upgrade and a rotation of
their keys; certificates that are replaced under load; reloads, stops and recycling while TLS is spoken."""

import signal
import ssl
import threading

import pytest

from harness import tls
from harness.server import FAST, await_true
from harness.tls import SecureWire
from harness.wire import Wire

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
versions = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


@pytest.fixture
def secure(serve, place):
    made = tls.config(place)

    def start(workers=2, **config):
        return serve(workers=workers, config={**FAST, **made, **{k.replace("__", "."): v for k, v in config.items()}})
    return start


def totals(server):
    return server.status()["totals"]


def visit(server, context, session=None):
    """(was it resumed, the session to come back with)"""
    with SecureWire(server.tcp(), context, session) as wire:
        assert wire.get().status == 200      # with TLS 1.3 the ticket comes along
        return wire.was_resumed(), wire.session()


# ---- tickets ----

@versions
def test_another_worker_goes_on(secure, place, version):
    """The kernel wakes whom it likes, so that one worker might take all visits: they are replaced in between."""
    server = secure(workers=2)
    context = tls.context(place, low=version, high=version)
    resumed, session = visit(server, context)
    assert not resumed
    for _ in range(3):
        before = set(server.workers())
        server.ctl("recycle", "all")
        server.await_workers(2, without=before)
        resumed, session = visit(server, context, session)
        assert resumed
    assert (totals(server)["tls_handshakes"], totals(server)["tls_resumed"]) == (4, 3)


@versions
def test_over_an_upgrade(secure, place, version):
    server = secure()
    context = tls.context(place, low=version, high=version)
    _, session = visit(server, context)
    mark = server.mark()
    server.send_signal(signal.SIGUSR2)
    server.await_line(r"reload \d+: .* replaced", mark)
    assert visit(server, context, session)[0]


def test_keys_turn(secure, place):
    """A ticket outlives two turns of the keys; who comes in between gets one under the newest. Not more: and what
    cannot be opened any more is a full handshake, no failure."""
    server = secure(tls__ticket_rotation="1s")
    context = tls.context(place)
    _, first = visit(server, context)
    await_true("the first key is gone", lambda: not visit(server, context, first)[0])
    server.configure(tls__ticket_rotation="7d")
    server.reload()
    _, session = visit(server, context)
    resumed, session = visit(server, context, session)
    assert resumed and visit(server, context, session)[0]
    assert totals(server)["tls_failed"] == 0


def test_a_ticket_of_another_server(secure, serve, place):
    """Its key is not ours: a full handshake, no failure."""
    server = secure()
    context = tls.context(place)
    _, session = visit(server, context)
    server.restart()
    assert visit(server, context, session)[0] is False
    assert totals(server)["tls_failed"] == 0


# ---- reloads ----

class Visitors(threading.Thread):
    """Come again and again over new connections (turns: requests on each) until stop(); what went wrong is in
    .faults. A connection that ends is no fault if the answer before has said so."""

    def __init__(self, server, context, turns=1):
        super().__init__(daemon=True)
        self.address, self.context, self.turns = server.tcp(), context, turns
        self.faults, self.served, self.certificates, self.over = [], 0, set(), False
        self.start()

    def one_connection(self):
        with SecureWire(self.address, self.context) as wire:
            self.certificates.add(wire.socket.getpeercert()["serialNumber"])
            for _ in range(self.turns):
                answer = wire.get("/healthcheck")
                assert answer.status == 200
                self.served += 1
                if answer.header("connection") == "close":
                    assert wire.ends_well()
                    return

    def run(self):
        while not self.over:
            try:
                self.one_connection()
            except Exception as fault:      # noqa: BLE001 – all of them are what is looked for
                self.faults.append(repr(fault))

    def await_progress(self, count):
        goal = self.served + count
        await_true(f"{count} more answers", lambda: self.served >= goal or self.faults)

    def stop(self):
        self.over = True
        self.join(90)
        assert self.faults == []


def both_roots(place):
    """Trusts the first certificate and the second."""
    context = tls.context(place)
    context.load_verify_locations(str(place / "second.pem"))
    return context


def test_certificates_are_replaced_under_load(secure, place):
    """Nobody fails; newcomers get the new one; a bad one changes nothing."""
    tls.make_pair(place, "second")
    server = secure()
    context = both_roots(place)
    visitors = [Visitors(server, context), Visitors(server, context, turns=50)]
    for visitor in visitors:
        visitor.await_progress(5)
    for name in "pem", "key":
        (place / f"server.{name}").rename(place / f"first.{name}")
        (place / f"second.{name}").rename(place / f"server.{name}")
    server.reload()
    for visitor in visitors:
        visitor.await_progress(60)
    (place / "server.pem").rename(place / "good.pem")
    (place / "server.pem").write_text("no certificate")
    assert "holds no certificate" in server.ctl("reload", "--wait", code=1)["error"]
    before = set(server.workers())
    server.ctl("recycle", "all")        # who is replaced has the pair of the present configuration
    server.await_workers(2, without=before)
    for visitor in visitors:
        visitor.await_progress(60)
        visitor.stop()
        assert len(visitor.certificates) == 2
    assert totals(server)["tls_failed"] == 0


def test_present_pair_survives_an_upgrade(secure, place):
    """With the files gone the next program cannot open its configuration, and goes back: the old one goes on, and
    workers that it must replace have the pair that they had."""
    server = secure(workers=1)
    context = tls.context(place)
    (place / "server.key").rename(place / "elsewhere")
    mark = server.mark()
    server.send_signal(signal.SIGUSR2)
    server.await_line(r"reload \d+ failed: .*", mark)
    before = set(server.workers())
    server.ctl("recycle", "all")
    server.await_workers(1, without=before)
    assert visit(server, context)[0] is False


def test_reload_of_the_word(secure, serve, place):
    """The same port: plain connections stay plain, newcomers speak TLS; and back."""
    server = secure(server__bind="127.0.0.1:0")
    address = "%s:%d" % server.tcp()
    context = tls.context(place)
    with Wire(server.tcp()) as plain:
        assert plain.get().status == 200
        server.configure(server__bind=f"{address} tls")
        server.reload()
        assert plain.get().status == 200, "handed over as it was"
        assert visit(server, context)[0] is False
        assert server.status()["listeners"][0]["tls"] is True
    with SecureWire(server.tcp(), context) as wire:
        assert wire.get().status == 200
        server.configure(server__bind=address)
        server.reload()
        with Wire(server.tcp()) as plain:
            assert plain.get().status == 200


def test_reload_says_goodbye(secure, place):
    """TLS cannot be handed over: one that is idle is closed in peace after a quiet time, a fresh one may still ask
    once, a busy one is answered; each is told."""
    server = secure(workers=1, limits__keepalive_timeout="1h")
    context = tls.context(place)
    with SecureWire(server.tcp(), context) as idle, SecureWire(server.tcp(), context) as fresh, \
            tls.raw(server) as silent, SecureWire(server.tcp(), context) as half:
        assert idle.get().status == 200
        half.send(b"GET /half HTTP/1.1\r\n")
        server.await_status("all are there", lambda s: sum(row["connections"] for row in s["slots"]) == 4
                            and s["slots"][0]["busy"] == 1)
        answer = {}
        reload = threading.Thread(target=lambda: answer.update(server.ctl("reload", "--wait")))
        reload.start()
        await_true("the old worker leaves", lambda: [t for t in server.children().values() if "[draining]" in t])
        half.send(b"Host: a\r\n\r\n")
        assert half.answer().header("connection") == "close" and half.ends_well()
        answered = fresh.get()
        assert (answered.status, answered.header("connection")) == (200, "close") and fresh.ends_well()
        assert idle.ends_well()
        assert silent.recv(1) == b""
        reload.join(90)
    assert " 0 connections moved, 4 finished, 0 cut, " in answer["text"]


def test_stop_answers_what_was_begun(secure, place):
    server = secure(workers=1)
    context = tls.context(place)
    with SecureWire(server.tcp(), context) as busy, SecureWire(server.tcp(), context) as idle:
        assert idle.get().status == 200
        busy.send(b"GET / HTTP/1.1\r\n")
        server.await_status("it is busy", lambda s: s["slots"][0]["busy"] == 1)
        server.send_signal(signal.SIGTERM)
        await_true("the worker knows", lambda: [t for t in server.children().values() if "[draining]" in t])
        busy.send(b"Host: a\r\n\r\n")
        assert busy.answer().header("connection") == "close"
        assert busy.ends_well() and idle.ends_well()
    assert server.wait() == 0


def areas(pid):
    """{what is mapped: [flags]} of a process."""
    found, name = {}, ""
    for line in open(f"/proc/{pid}/smaps"):
        if line.startswith("VmFlags:"):
            found.setdefault(name, []).append(line.split()[1:])
        elif "-" in line.split(" ")[0]:
            name = line.split(None, 5)[5].strip() if len(line.split(None, 5)) > 5 else ""
    return found


def test_keys_stay_out_of_core_dumps(secure):
    """Those of tickets, in all processes; dd is MADV_DONTDUMP."""
    server = secure(workers=1)
    for pid in server.process.pid, *server.workers():
        flags, = [flags for name, flags in areas(pid).items() if "colmeia-tls-keys" in name]
        assert all("dd" in each for each in flags), pid
