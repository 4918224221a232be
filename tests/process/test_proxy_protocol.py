"""Listeners with "proxy": the PROXY protocol, version 2, as HAProxy and others speak it; only from
trusted_proxies, and the client it names is the client for everything that follows."""

import os
import re
import signal
import socket
import struct

import pytest

from harness import proxies
from harness.activation import Holder, tcp, unix
from harness.proxies import free_port
from harness.server import FAST, await_true, run_verb, write_ini
from harness.wire import Wire

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ON = {**FAST, "server.bind": "127.0.0.1:0 proxy", "log.access": "on"}

def header(client="203.0.113.9", port=4711, tlvs=b"", command=1, length=None):
    family, kind = (socket.AF_INET6, 0x21) if ":" in client else (socket.AF_INET, 0x11)
    address = socket.inet_pton(family, client)
    body = address + address + struct.pack("!HH", port, 80) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, kind, len(body) if length is None else length) + body

def asked(server, first, path="/marked"):
    """The access line of a request behind these bytes."""
    mark = server.mark()
    with Wire(server.tcp()) as wire:
        wire.send(first)
        assert wire.get(path).status == 404
    return server.await_line(path, mark).string

@pytest.mark.parametrize("client,name", [("203.0.113.9", "203.0.113.9:4711"), ("2001:db8::7", "[2001:db8::7]:4711")])
def test_the_client_is_the_one_it_names(serve, client, name):
    server = serve(config=ON)
    assert f" {name} " in asked(server, header(client))
    assert f" {name} " in asked(server, header(client, tlvs=b"\x04\x00\x10" + 16 * b"x" + b"\x20\x00\x05" + 5 * b"\1"))
    assert f" {name} " in asked(server, header(client, tlvs=b"\x04" + struct.pack("!H", 3000) + 3000 * b"x"))

def test_what_it_says_of_itself(serve):
    """LOCAL, and families that are nobody's: the socket's own peer stands."""
    server = serve(config=ON)
    assert " 127.0.0.1:" in asked(server, header(command=0))
    assert " 127.0.0.1:" in asked(server, SIGNATURE + b"\x20\x00\x00\x00")
    assert " 127.0.0.1:" in asked(server, SIGNATURE + b"\x21\x00\x00\x00")

def test_forwarded_fields_are_the_clients(serve):
    """Once the client is known, X-Forwarded-For counts if that one is a trusted proxy itself."""
    server = serve(config={**ON, "server.trusted_proxies": "127.0.0.1, 203.0.113.9"})
    fields = [("X-Forwarded-For", "198.51.100.4")]
    for client, name in ("203.0.113.9", "198.51.100.4:0"), ("203.0.113.10", "203.0.113.10:4711"):
        mark = server.mark()
        with Wire(server.tcp()) as wire:
            wire.send(header(client))
            assert wire.ask("GET", "/forwarded", fields).answer().status == 404
        assert f" {name} " in server.await_line("/forwarded", mark).string

def test_byte_by_byte(serve):
    server = serve(config=ON)
    with Wire(server.tcp()) as wire:
        for byte in header(tlvs=b"\x04\x00\x01x") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
            wire.send(bytes([byte]))
        assert wire.answer().status == 200
        assert wire.get().status == 200

def refused(server, first):
    before = server.status()["totals"]["proxy_refused"]
    with Wire(server.tcp()) as wire:
        try:
            wire.send(first)
            assert wire.is_closed()
        except (ConnectionResetError, BrokenPipeError):
            pass
    server.await_status("it is counted", lambda s: s["totals"]["proxy_refused"] == before + 1)

@pytest.mark.parametrize("first,why", [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "does not begin with one"),
    (b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n", "version 1"),
    (header(length=5), "malformed"),
    (header(length=65535), "longer than"),
    (SIGNATURE + b"\x2f\x11\x00\x0c" + 12 * b"x", "malformed"),
    (b"\x16\x03\x01", "does not begin with one"),
], ids=["http", "old", "short", "long", "command", "tls"])
def test_garbage(serve, first, why):
    server = serve(config=ON, workers=1)
    refused(server, first)
    assert re.search(rf"WARN .*127\.0\.0\.1.* is refused: .*{why}", server.log)
    refused(server, first)
    assert len(re.findall("is refused", server.log)) == 1, "said now and then, not for each"
    assert " 203.0.113.9:4711 " in asked(server, header())

def test_strangers(serve):
    server = serve(config={**ON, "server.trusted_proxies": "192.0.2.0/24"}, workers=1)
    refused(server, header())
    assert "it is none of trusted_proxies" in server.log

def test_deadline(serve):
    """It counts from the accept, and bytes do not prolong it."""
    server = serve(config={**ON, "limits.header_timeout": "500ms", "limits.keepalive_timeout": "1h"})
    with Wire(server.tcp()) as silent, Wire(server.tcp()) as slow:
        slow.send(header()[:20])
        assert silent.is_closed() and slow.is_closed()
    server.await_status("two timeouts", lambda s: s["totals"]["timeouts"] == 2)

def test_clients_that_leave(serve):
    server = serve(config=ON)
    Wire(server.tcp()).close()
    with Wire(server.tcp()) as wire:
        wire.send(header()[:7]).send_end()
        assert wire.is_closed()
    server.await_status("none is left", lambda s: sum(r["connections"] for r in s["slots"]) == 0)
    assert server.status()["totals"]["proxy_refused"] == 0

def test_reload_hands_them_over(serve):
    """A connection in the middle of its header, and one behind it, go on at the next workers."""
    server = serve(config=ON)
    whole = header()
    with Wire(server.tcp()) as half, Wire(server.tcp()) as idle, Wire(server.tcp()) as fresh:
        half.send(whole[:21])
        idle.send(whole)
        assert idle.get().status == 200
        server.await_status("all three are there", lambda s: sum(r["connections"] for r in s["slots"]) == 3)
        assert " 3 connections moved, 0 finished, 0 cut, " in server.reload()
        mark = server.mark()
        half.send(whole[21:])
        assert half.get("/half").status == 404
        assert idle.get("/idle").status == 404
        fresh.send(whole)
        assert fresh.get("/fresh").status == 404
        for path in "/half", "/idle", "/fresh":
            assert " 203.0.113.9:4711 " in server.await_line(path, mark).string

def test_words_change_with_a_reload(serve):
    """The same socket: what waits and what is open stay; newcomers are treated anew."""
    server = serve(config={**FAST, "log.access": "on"})
    address = "%s:%d" % server.tcp()
    with Wire(server.tcp()) as before:
        assert before.get().status == 200
        server.configure(server__bind=f"{address} proxy")
        server.reload()
        assert before.get().status == 200, "it has no header, and needs none"
        assert " 203.0.113.9:4711 " in asked(server, header())
        row = server.status()["listeners"][0]
        assert (row["address"], row["proxy"], row["tls"]) == (address, True, False)
        assert f"listener     {address} proxy (bind)" in run_verb(
            server.directory, "ctl", "--control", "ctl.sock", "status").stdout
    server.configure(server__bind=address)
    server.reload()
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200

def test_words_survive_an_upgrade(serve):
    server = serve(config=ON)
    assert re.search(r"ready: .* on http://127\.0\.0\.1:\d+ proxy", server.log)
    mark = server.mark()
    server.send_signal(signal.SIGUSR2)
    server.await_line(r"reload \d+: .* replaced", mark)
    assert " 203.0.113.9:4711 " in asked(server, header())
    assert server.status()["listeners"][0]["proxy"] is True

def test_activated(serve, place):
    """A socket that systemd gives has the words that stand behind its address in [server] bind."""
    path = place / "http.sock"
    with Holder(web=tcp(), local=unix(path)) as holder:
        server = serve(bind=[holder.address("web") + " proxy"], config={**FAST, "log.access": "on"},
                       activation=holder)
        assert " 203.0.113.9:4711 " in asked(server, header())
        with Wire(str(path)) as wire:
            assert wire.get().status == 200

def test_unix_socket_is_trusted(serve, place):
    server = serve(bind=f"unix:{place}/http.sock proxy",
                   config={**FAST, "server.trusted_proxies": "192.0.2.1", "log.access": "on"})
    mark = server.mark()
    with Wire(str(place / "http.sock")) as wire:
        wire.send(header())
        assert wire.get("/unix").status == 404
    assert " 203.0.113.9:4711 " in server.await_line("/unix", mark).string

@pytest.mark.parametrize("bind,why", [
    ("127.0.0.1:0 ssl", 'is no word that can stand behind an address: these are tls and proxy'),
    ("127.0.0.1:0 proxy proxy", "is there twice"),
    ("127.0.0.1:8000, 127.0.0.1:8000 proxy", "is listed twice"),
])
def test_errors(place, bind, why):
    write_ini(place, {"server.bind": bind})
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and re.search(rf"colmeia.ini:\d+: bind: .*{why}", done.stderr), done.stderr
    write_ini(place, {"admin.bind": "127.0.0.1:0 proxy"})
    assert run_verb(place, "check", "--config", "colmeia.ini").returncode == 78

HAPROXY = """\
global
    nbthread 1
defaults
    mode {mode}
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    retries 0
frontend in
    bind 127.0.0.1:{port}
    default_backend colmeia
backend colmeia
    server one {address} send-proxy-v2 check inter 200ms check-send-proxy
"""

@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_behind_haproxy(serve, place, mode):
    """The client's own address reaches the log, over reloads, and health checks (LOCAL) pass."""
    port = free_port()
    server = serve(config=ON)
    proxy = proxies.haproxy(place, port, HAPROXY.format(mode=mode, port=port, address="%s:%d" % server.tcp()))
    try:
        with Wire(("127.0.0.1", port)) as wire:
            name = "127.0.0.1:%d" % wire.socket.getsockname()[1]
            for path in "/one", "/two":
                assert wire.get(path).status == 404
                assert f" {name} " in server.await_line(path).string
                server.reload()
    finally:
        proxy.stop()
    assert server.status()["totals"]["proxy_refused"] == 0
