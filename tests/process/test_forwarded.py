"""Who asks, and over what: X-Forwarded-For, X-Forwarded-Proto and X-Request-Id count when the connection comes from
[server] trusted_proxies, or over a unix socket, and from nobody else. What the server believed stands in its access
log and in the location of a redirection."""

import re
import socket

import pytest

from harness.load import access_rows
from harness.server import await_true
from harness.wire import PATIENCE_S, Wire
from process.test_binds import needs_ipv6

PROXY, CLIENT = "127.0.0.9", "127.0.0.8"     # whence a connection comes
FOR, PROTO, ID = "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id"
TRUSTED = ["127.0.0.9", "10.0.0.0/8", "2001:db8:a::/48"]

# fields that a trusted proxy sends, and the address that is believed; None: the connection's own
CHAINS = {
    "one": ([(FOR, "192.0.2.1")], "192.0.2.1"),
    "one, of the client's own making before it": ([(FOR, "6.6.6.6, 192.0.2.1")], "192.0.2.1"),
    "the client names a trusted proxy": ([(FOR, "10.0.0.1, 192.0.2.1")], "192.0.2.1"),
    "through two proxies": ([(FOR, "192.0.2.1, 10.0.0.1")], "192.0.2.1"),
    "through three, and the client lies": ([(FOR, "6.6.6.6, 192.0.2.1, 10.0.0.1, 10.9.9.9")], "192.0.2.1"),
    "proxies only": ([(FOR, "10.0.0.3, 10.0.0.2, 10.0.0.1")], "10.0.0.3"),
    "two fields": ([(FOR, "6.6.6.6"), (FOR, "192.0.2.1")], "192.0.2.1"),
    "two fields, the proxy's own last": ([(FOR, "6.6.6.6, 192.0.2.1"), (FOR, "10.0.0.1")], "192.0.2.1"),
    "another field between them": ([(FOR, "192.0.2.1"), ("A", "b"), ("x-forwarded-FOR", "10.0.0.1")], "192.0.2.1"),
    "no blanks": ([(FOR, "6.6.6.6,192.0.2.1,10.0.0.1")], "192.0.2.1"),
    "blanks and tabs": ([(FOR, " 192.0.2.1\t ,\t10.0.0.1 ")], "192.0.2.1"),
    "a port": ([(FOR, "192.0.2.1:4711")], "192.0.2.1"),
    "ports in a chain": ([(FOR, "192.0.2.1:1, 10.0.0.1:2")], "192.0.2.1"),
    "IPv6": ([(FOR, "2001:db8::1")], "[2001:db8::1]"),
    "IPv6 in brackets": ([(FOR, "[2001:db8::1]")], "[2001:db8::1]"),
    "IPv6 with a port": ([(FOR, "[2001:db8::1]:4711")], "[2001:db8::1]"),
    "IPv6 through a trusted network": ([(FOR, "2001:db8::1, 2001:db8:a::2")], "[2001:db8::1]"),
    "IPv6 beside that network": ([(FOR, "2001:db8::1, 2001:db8:b::2")], "[2001:db8:b::2]"),
    "IPv6 that is IPv4": ([(FOR, "192.0.2.1, ::ffff:10.0.0.1")], "192.0.2.1"),
    "nothing": ([(FOR, "")], None),
    "a word": ([(FOR, "unknown")], None),
    "a word behind a trusted one": ([(FOR, "unknown, 10.0.0.1")], None),
    "a word before the client": ([(FOR, "unknown, 192.0.2.1")], "192.0.2.1"),
    "an empty element behind the client": ([(FOR, "192.0.2.1,")], None),
    "a name": ([(FOR, "client.example")], None),
    "an address that is none": ([(FOR, "192.0.2.256")], None),
    "too few numbers": ([(FOR, "192.0.2")], None),
    "one number": ([(FOR, "3221225985")], None),
    "octal": ([(FOR, "0300.0.2.1")], None),
    "a network": ([(FOR, "192.0.2.1/32")], None),
    "a zone": ([(FOR, "fe80::1%eth0")], None),
    "a bracket too few": ([(FOR, "[2001:db8::1")], None),
    "a port that is none": ([(FOR, "192.0.2.1:http")], None),
    "quotes": ([(FOR, '"192.0.2.1"')], None),
    "of another field": ([("Forwarded", "for=192.0.2.1"), ("X-Real-IP", "192.0.2.1"), ("True-Client-IP", "192.0.2.1"),
                          ("X-Client-IP", "192.0.2.1"), ("X-Forwarded", "192.0.2.1")], None),
    "four hundred proxies": ([(FOR, ", ".join(["192.0.2.1"] + 400 * ["10.0.0.1"]))], "192.0.2.1"),
}

SCHEMES = {
    "https": ([(PROTO, "https")], "https"),
    "http": ([(PROTO, "http")], "http"),
    "in capitals": ([(PROTO, "HTTPS")], "http"),
    "of another scheme": ([(PROTO, "javascript")], "http"),
    "a list": ([(PROTO, "https, http")], "http"),
    "two fields": ([(PROTO, "http"), (PROTO, "https")], "https"),
    "two fields, the other way round": ([(PROTO, "https"), (PROTO, "http")], "http"),
    "of other fields": ([("X-Forwarded-Ssl", "on"), ("Front-End-Https", "on"), ("X-Url-Scheme", "https"),
                         ("X-Forwarded-Scheme", "https"), ("Forwarded", "proto=https")], "http"),
    "nothing of the host": ([("X-Forwarded-Host", "evil"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/x"),
                             (PROTO, "https")], "https"),
}


def connect_from(source, address):
    """A Wire whose other side sees that source."""
    wire = Wire.__new__(Wire)
    wire.socket = socket.create_connection(address, timeout=PATIENCE_S, source_address=(source, 0))
    wire.buffer = b""
    return wire


def peers(server, count):
    """Of the access log: the addresses without their ports, in order."""
    rows = await_true(f"{count} rows", lambda: len(access_rows(server)) >= count and access_rows(server))
    return [re.sub(r":\d+$", "", row["peer"]) for row in rows]


@pytest.fixture
def server(serve):
    return serve(workers=1, config={"server.trusted_proxies": TRUSTED})


def ask_all(server, source, cases):
    """The location that each case is answered with."""
    with connect_from(source, server.tcp()) as wire:
        return [wire.ask(target="/users", headers=fields).answer().header("location") for fields, _ in cases]


def test_chains_of_trusted_proxies(server):
    ask_all(server, PROXY, CHAINS.values())
    found = dict(zip(CHAINS, peers(server, len(CHAINS))))
    assert found == {name: believed or PROXY for name, (_, believed) in CHAINS.items()}


def test_nobody_else_is_believed(server):
    locations = ask_all(server, CLIENT, [*CHAINS.values(), *SCHEMES.values()])
    assert peers(server, len(locations)) == [CLIENT] * len(locations)
    assert set(locations) == {"http://test/users/"}


def test_schemes_of_trusted_proxies(server):
    locations = ask_all(server, PROXY, SCHEMES.values())
    assert dict(zip(SCHEMES, locations)) == {name: f"{s}://test/users/" for name, (_, s) in SCHEMES.items()}


@pytest.mark.parametrize("source, believed", [(PROXY, True), (CLIENT, False)], ids=["proxy", "client"])
def test_request_id(server, source, believed):
    with connect_from(source, server.tcp()) as wire:
        wire.ask(headers=[(ID, "given-1")]).answer()
    (row,) = await_true("its row", lambda: access_rows(server))
    assert (row["id"] == "given-1") == believed


def test_trust_follows_a_reload(serve):
    """Connections that are open are judged by what was in force when they came to their worker."""
    server = serve(workers=1, config={"server.trusted_proxies": PROXY})
    case = [([(FOR, "192.0.2.1")], None)]
    ask_all(server, PROXY, case)
    ask_all(server, CLIENT, case)
    server.configure(server__trusted_proxies=CLIENT, supervisor__settle="50ms", supervisor__min_ready="50ms")
    server.reload()
    ask_all(server, PROXY, case)
    ask_all(server, CLIENT, case)
    assert peers(server, 4) == ["192.0.2.1", CLIENT, PROXY, "192.0.2.1"]


def test_trusting_nobody(serve):
    """Not even this machine."""
    server = serve(workers=1, config={"server.trusted_proxies": ""})
    ask_all(server, "127.0.0.1", [([(FOR, "192.0.2.1")], None)])
    assert peers(server, 1) == ["127.0.0.1"]


def test_by_default_this_machine_is_trusted(serve):
    server = serve(workers=1)
    for source in ("127.0.0.1", "127.0.0.2"):
        ask_all(server, source, [([(FOR, "192.0.2.1")], None)])
    assert peers(server, 2) == ["192.0.2.1", "127.0.0.2"]


@needs_ipv6
def test_ipv6_proxy(serve):
    server = serve(workers=1, bind="[::1]:0", config={"server.trusted_proxies": "::1"})
    with Wire(server.tcp()) as wire:
        wire.ask(headers=[(FOR, "192.0.2.1")]).answer()
    assert peers(server, 1) == ["192.0.2.1"]


def test_unix_socket(serve, place):
    """Who may open it was let in by its mode: whoever it is speaks for others, whatever trusted_proxies says."""
    server = serve(workers=1, bind="unix:http.sock", config={"server.trusted_proxies": ""})
    with Wire(str(place / "http.sock")) as wire:
        wire.ask().answer()
        answer = wire.ask(target="/users", headers=[(FOR, "6.6.6.6, 192.0.2.1"), (PROTO, "https")]).answer()
    assert answer.header("location") == "https://test/users/"
    assert peers(server, 2) == ["unix", "192.0.2.1"]
