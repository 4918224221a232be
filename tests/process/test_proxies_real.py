"""What a real nginx and a real HAProxy say of their clients, over TLS that they end, and over unix sockets: believed
from trusted_proxies and unix sockets, and from nobody else, whatever the client itself has said."""

import re

import pytest

from harness import proxies, tls
from harness.proxies import free_port
from harness.server import FAST
from process.test_forwarded import connect_from

CLIENT = "127.0.0.8"
FORGED = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "http"), ("Forwarded", "for=6.6.6.6;proto=http")]

NGINX = """\
access_log off;
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {place}/server.pem;
    ssl_certificate_key {place}/server.key;
    location / {{
        proxy_pass http://{nginx};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    retries 0
frontend in
    bind 127.0.0.1:{port} ssl crt {place}/both.pem
    {fields}
    default_backend colmeia
backend colmeia
    server one {haproxy} {words}
"""
FIELDS = """option forwardfor
    http-request set-header X-Forwarded-Proto https"""


def start(kind, place, address, words=""):
    """*address*: "unix:PATH" or "HOST:PORT", of the server."""
    port = free_port()
    (place / "both.pem").write_text((place / "server.pem").read_text() + (place / "server.key").read_text())
    fill = dict(place=place, port=port, words=words, fields="" if words else FIELDS,
                nginx=f"{address}:/" if address.startswith("unix:") else address,
                haproxy=address.replace("unix:", "unix@"))
    starter, config = {"nginx": (proxies.nginx, NGINX), "haproxy": (proxies.haproxy, HAPROXY)}[kind]
    return starter(place, port, config.format(**fill))


@pytest.fixture
def behind(serve, place):
    """behind(kind, bind): (server, an asker): a client's request by way of the proxy; the access line of the
    server, and the scheme of where it was redirected to."""
    proxies = []
    tls.make_pair(place)

    def make(kind, bind="127.0.0.1:0", words="", **config):
        server = serve(bind=bind, workers=1, config={**FAST, "log.access": "on", **config})
        address = bind.split()[0] if bind.startswith("unix:") else "%s:%d" % server.tcp()
        proxies.append(start(kind, place, address, words))

        def ask(fields=()):
            mark = server.mark()
            wire = connect_from(CLIENT, ("127.0.0.1", proxies[-1].port))
            port = wire.socket.getsockname()[1]
            wire.socket = tls.context(place).wrap_socket(wire.socket, server_hostname="localhost")
            with wire:
                answer = wire.ask("GET", "/users?limit=1", list(fields)).answer()
            assert answer.status == 307
            scheme = re.match(r"(https?)://[^/]+/users/\?limit=1$", answer.header("location"))[1]
            return server.await_line(r"/users\?limit=1", mark).string, scheme, port
        return server, ask
    yield make
    for proxy in proxies:
        print(f"---- what the proxy said\n{proxy.log()[-3000:]}")
        proxy.stop()


both = pytest.mark.parametrize("kind", ["nginx", "haproxy"])


@both
@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_trusted(behind, place, kind, over):
    """The client's address is what the proxy added, not what the client wrote before it. A unix socket needs no
    row in trusted_proxies."""
    bind, trusted = ("127.0.0.1:0", "127.0.0.1") if over == "tcp" else (f"unix:{place}/http.sock", "192.0.2.1")
    _, ask = behind(kind, bind, **{"server.trusted_proxies": trusted})
    for fields in (), FORGED:
        line, scheme, _ = ask(fields)
        assert (f" {CLIENT}:0 " in line, scheme) == (True, "https"), line


@both
def test_not_trusted(behind, kind):
    """Then it is a client as any other."""
    _, ask = behind(kind, **{"server.trusted_proxies": "192.0.2.1"})
    line, scheme, _ = ask(FORGED)
    assert re.search(r" 127\.0\.0\.1:[1-9]\d* ", line) and scheme == "http", line


@pytest.mark.parametrize("words", ["send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_proxy_protocol_over_a_unix_socket(behind, place, words):
    """Address and port of the client, with and without what HAProxy tells of its TLS; and the client's own fields
    count for nothing: it is none of trusted_proxies."""
    server, ask = behind("haproxy", f"unix:{place}/http.sock proxy", words, **{"server.trusted_proxies": "192.0.2.1"})
    line, scheme, port = ask(FORGED)
    assert f" {CLIENT}:{port} " in line and scheme == "http"
    assert server.status()["totals"]["proxy_refused"] == 0
