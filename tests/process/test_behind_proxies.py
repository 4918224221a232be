"""Behind a real nginx and a real HAProxy, their own retries off and their connections kept alive: reloads,
scaling and recycling leave no 502, 503 or 504 in their logs, and with a socket that systemd holds neither do
restarts. (Without that, between the end of one server and the start of the next on the same port, a proxy
without retries must answer 502.)"""

import re

import pytest

from harness import proxies
from harness.activation import Holder, tcp
from harness.load import Load
from harness.proxies import free_port
from harness.server import FAST, await_true

CLIENTS = dict(keepalive=8, connect=6, slow=3)


NGINX = """\
log_format short '$status $upstream_status $request $upstream_addr id=$http_x_request_id';
access_log {place}/access.log short;
upstream colmeia {{ server {address} max_fails=0; keepalive 32; }}
server {{
    listen 127.0.0.1:{port} backlog=512;
    keepalive_requests 1000000;
    location / {{
        proxy_pass http://colmeia;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_next_upstream off;
    }}
}}
"""

HAPROXY = """\
global
    maxconn 1000
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "%ST %tsc %HM %HU id=%[capture.req.hdr(0)]"
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
    http-reuse always
    retries 0
    no option redispatch
frontend in
    bind 127.0.0.1:{port}
    declare capture request len 64
    http-request capture req.hdr(X-Request-Id) id 0
    default_backend colmeia
backend colmeia
    server one {address} pool-max-conn 32
"""


def start_nginx(server, place):
    port = free_port()
    http = NGINX.format(place=place, port=port, address="%s:%d" % server.tcp())
    return proxies.nginx(place, port, http, log=place / "access.log")


def start_haproxy(server, place):
    port = free_port()
    return proxies.haproxy(place, port, HAPROXY.format(port=port, address="%s:%d" % server.tcp()))


both = pytest.mark.parametrize("start_proxy", [start_nginx, start_haproxy], ids=["nginx", "haproxy"])


@pytest.fixture
def behind(start_proxy, serve, place):
    """(server, proxy): the proxy goes first, so that the server's end is not its fault."""
    yield from stand_behind(start_proxy, serve(workers=2, config=FAST), place)


@pytest.fixture
def activated_behind(start_proxy, serve, place):
    with Holder(web=tcp()) as holder:
        yield from stand_behind(start_proxy, serve(workers=2, config=FAST, bind=None, activation=holder), place)


def stand_behind(start_proxy, server, place):
    proxy = start_proxy(server, place)
    yield server, proxy
    print(f"---- what the proxy said\n{proxy.log()[-3000:]}")
    proxy.stop()


def judge(server, proxy, load):
    """The proxy has seen every request, and none failed."""
    proxy.stop()
    rows = re.findall(r"^(\d{3}) \S+ .*\bid=(\w+-\S+)$", proxy.log(), re.MULTILINE)
    bad = [row for row in rows if row[0] not in ("200", "201")]
    assert bad == []
    assert sorted(name for _, name in rows if name.startswith("r-")) == sorted(load.report["sent"])
    load.judge()


@both
@pytest.mark.parametrize("turns", [20])
def test_reloads(behind, turns):
    server, proxy = behind
    with Load(server, address=("127.0.0.1", proxy.port), **CLIENTS) as load:
        load.await_progress(5)
        for _ in range(turns):
            assert ", 0 cut, " in server.reload()
            load.await_progress(1)
    assert server.status()["totals"]["connections_taken_over"] > 0, "the proxy's connections were kept"
    judge(server, proxy, load)


@both
def test_scaling_and_recycling(behind):
    server, proxy = behind
    with Load(server, address=("127.0.0.1", proxy.port), **CLIENTS) as load:
        load.await_progress(5)
        for target in (4, 1, 3, 2):
            server.ctl("scale", str(target))
            server.await_workers(target)
            load.await_progress(1)
        before = list(server.workers())
        server.ctl("recycle", "all")
        await_true("all are replaced", lambda: not set(before) & set(server.children()))
        load.await_progress(1)
    judge(server, proxy, load)


@both
@pytest.mark.parametrize("turns", [3])
def test_restarts(activated_behind, turns):
    """Many connections of the proxy's lie idle when the stop begins, and are used up while it goes on."""
    server, proxy = activated_behind
    address = ("127.0.0.1", proxy.port)
    with Load(server, address=address, **CLIENTS) as load:
        for turn in range(turns):
            with Load(server, address=address, name=f"burst{turn}", keepalive=24) as burst:
                burst.await_progress(3)
            assert burst.stop()["faults"] == []
            load.await_progress(5)
            server.restart()
        load.await_progress(5)
    judge(server, proxy, load)
