"""Request smuggling, behind a real nginx and a real HAProxy, as they are and as lenient as they can be made. Each
attack tries to have colmeia see a request that the proxy has not seen, so that somebody else gets its answer:
all go through one connection to colmeia, if the proxy keeps it. Whatever the proxy lets through, colmeia answers
what the proxy has counted, and everybody else gets their own answer."""

import json
import re
import select
from collections import Counter

import pytest

from harness import proxies
from harness.load import access_rows
from harness.proxies import free_port
from harness.server import await_true
from harness.wire import PATIENCE_S, Wire
from rules.vectors import repeat, unescape

# ⏎ is CR LF, § the request that nobody may see; the rest as in rules/vectors.py. OUTER is the target.
ATTACKS = """
CL.TE                      | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 51⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
TE.CL                      | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 4⏎Transfer-Encoding: chunked⏎⏎3b⏎§{x*13}⏎0⏎⏎
TE.CL, length first        | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎Content-Length: 3⏎⏎3⏎abc⏎0⏎⏎§
TE.TE, x second            | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎Transfer-Encoding: x⏎Content-Length: 5⏎⏎0⏎⏎§
TE.TE, x first             | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: x⏎Transfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
TE.TE, identity            | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked, identity⏎Content-Length: 5⏎⏎0⏎⏎§
TE.TE, identity first      | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: identity, chunked⏎⏎0⏎⏎§
TE.TE, twice               | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
TE.TE, twice in a list     | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked, chunked⏎⏎0⏎⏎§
xchunked                   | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: xchunked⏎Content-Length: 5⏎⏎0⏎⏎§
blank before the colon     | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding : chunked⏎Content-Length: 5⏎⏎0⏎⏎§
blank before the length    | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length : 46⏎⏎§
tab in place of the blank  | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding:\\tchunked⏎⏎0⏎⏎§
tab behind it              | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked\\t⏎⏎0⏎⏎§
vertical tab               | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: \\x0bchunked⏎Content-Length: 5⏎⏎0⏎⏎§
form feed behind it        | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked\\x0c⏎Content-Length: 5⏎⏎0⏎⏎§
NUL behind it              | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked\\x00⏎Content-Length: 5⏎⏎0⏎⏎§
quotes                     | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: "chunked"⏎Content-Length: 5⏎⏎0⏎⏎§
comma behind it            | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked,⏎⏎0⏎⏎§
capitals                   | POST OUTER HTTP/1.1⏎Host: t⏎tRANSFER-ENCODING: CHUNKED⏎⏎0⏎⏎§
underscore                 | POST OUTER HTTP/1.1⏎Host: t⏎Transfer_Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
underscore in the length   | POST OUTER HTTP/1.1⏎Host: t⏎Content_Length: 46⏎⏎§
folded                     | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding:⏎ chunked⏎Content-Length: 5⏎⏎0⏎⏎§
folded into another        | POST OUTER HTTP/1.1⏎Host: t⏎X: y⏎ Transfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
behind a bare LF           | POST OUTER HTTP/1.1⏎Host: t⏎X: y\\nTransfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
behind a bare CR           | POST OUTER HTTP/1.1⏎Host: t⏎X: y\\rTransfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
bare CR and a letter       | POST OUTER HTTP/1.1⏎Host: t⏎X: \\rxTransfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎§
bare LF everywhere         | POST OUTER HTTP/1.1\\nHost: t\\nTransfer-Encoding: chunked\\n\\n0\\n\\n§
two lengths                | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 0⏎Content-Length: 46⏎⏎§
two lengths, other order   | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 46⏎Content-Length: 0⏎⏎§
lengths in a list          | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 0, 46⏎⏎§
the same length twice      | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 5⏎Content-Length: 5⏎⏎hello§
length with a sign         | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: +46⏎⏎§
length in hexadecimal      | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 0x2e⏎⏎§
length beyond 64 bits      | POST OUTER HTTP/1.1⏎Host: t⏎Content-Length: 18446744073709551616⏎⏎§
CL.0                       | GET OUTER HTTP/1.1⏎Host: t⏎Content-Length: 46⏎⏎§
CL.0 on HEAD               | HEAD OUTER HTTP/1.1⏎Host: t⏎Content-Length: 46⏎⏎§
TE.0                       | GET OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎30⏎§{x*2}⏎0⏎⏎
0.CL with Expect           | POST OUTER HTTP/1.1⏎Host: t⏎Expect: 100-continue⏎Content-Length: 46⏎⏎§
0.CL with two Expects      | POST OUTER HTTP/1.1⏎Host: t⏎Expect: x 100-continue⏎Content-Length: 46⏎⏎§
Expect on a GET            | GET OUTER HTTP/1.1⏎Host: t⏎Expect: 100-continue⏎Content-Length: 46⏎⏎§
length named by Connection | POST OUTER HTTP/1.1⏎Host: t⏎Connection: content-length⏎Content-Length: 46⏎⏎§
coding named by Connection | POST OUTER HTTP/1.1⏎Host: t⏎Connection: transfer-encoding⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
1.0 with a coding          | POST OUTER HTTP/1.0⏎Host: t⏎Connection: keep-alive⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
extension ended by LF      | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2;\\nxx⏎45⏎0⏎⏎§{x*18}⏎0⏎⏎
extension with a bare CR   | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2;a\\rb⏎xx⏎0⏎⏎§
size ended by LF           | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2\\nxx⏎0⏎⏎§
size with a blank          | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2 ⏎xx⏎0⏎⏎§
size with a prefix         | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0x2⏎xx⏎0⏎⏎§
size beyond 64 bits        | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎10000000000000002⏎xx⏎0⏎⏎§
chunk without its end      | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2⏎xxyy0⏎⏎§
chunk ended by LF          | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎2⏎xx\\n0⏎⏎§
end with a bare LF         | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎\\n§
trailers with a bare LF    | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎A: b\\n⏎§
trailers ended by LF       | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎A: b⏎\\n§
length in the trailers     | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎Content-Length: 46⏎⏎§
a request as trailers      | POST OUTER HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎§
h2c                        | GET OUTER HTTP/1.1⏎Host: t⏎Connection: Upgrade, HTTP2-Settings⏎Upgrade: h2c⏎HTTP2-Settings: AAMAAABk⏎⏎§
a web socket that is none  | GET OUTER HTTP/1.1⏎Host: t⏎Connection: Upgrade⏎Upgrade: websocket⏎Sec-WebSocket-Version: 777⏎⏎§
a preface of HTTP/2        | PRI * HTTP/2.0⏎⏎SM⏎⏎§
CONNECT                    | CONNECT t:80 HTTP/1.1⏎Host: t⏎⏎§
CONNECT with a length      | CONNECT t:80 HTTP/1.1⏎Host: t⏎Content-Length: 46⏎⏎§
CONNECT with a coding      | CONNECT t:80 HTTP/1.1⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
absolute-form              | GET http://u/users/OUTER-AS-A-PATH HTTP/1.1⏎Host: t⏎⏎
another port in the Host   | GET OUTER HTTP/1.1⏎Host: t:x⏎⏎
two Hosts                  | GET OUTER HTTP/1.1⏎Host: t⏎Host: u⏎⏎
1.2                        | POST OUTER HTTP/1.2⏎Host: t⏎Transfer-Encoding: chunked⏎⏎0⏎⏎§
fragment                   | GET OUTER#§
a request in the target    | GET OUTER%20HTTP/1.1%0D%0AHost:%20t%0D%0A%0D%0A HTTP/1.1⏎Host: t⏎⏎
"""
INNER = "GET /users/smuggled-{i:04} HTTP/1.1⏎Host: t⏎⏎"      # 46 bytes, 0x2e: the rows count with that
MARK = re.compile(r"(outer|smuggled|victim)-\d+")
PACE_S = 0.05        # to let an attack be answered, so that its connection to colmeia is free for the next
VICTIMS = 2          # behind each attack
LAST = 9999          # the number of the last victim


def attacks():
    """[(name, bytes)]: the i-th asks for outer-i, and hides smuggled-i."""
    found = []
    for i, row in enumerate(filter(None, ATTACKS.splitlines())):
        name, text = row.split(" | ")
        text = text.replace("OUTER", f"/users/?outer-{i:04}").replace("§", INNER.format(i=i))
        found.append((name.strip(), unescape(repeat(text).replace("⏎", "\r\n")).encode("latin-1")))
    return found


NGINX = """\
log_format short '$upstream_status $request';
access_log {place}/access.log short;
client_header_timeout 10s; client_body_timeout 10s;
upstream colmeia {{ server {address} max_fails=0; keepalive 1; }}
server {{
    listen 127.0.0.1:{port};
    {more}
    location / {{
        proxy_pass http://colmeia;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_next_upstream off;
    }}
}}
"""
NGINX_LENIENT = "ignore_invalid_headers off; underscores_in_headers on; merge_slashes off; proxy_request_buffering off;"

HAPROXY = """\
global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 60s
    http-reuse always
    retries 0
    no option redispatch
    {more}
frontend in
    bind 127.0.0.1:{port}
    log global
    log-format "%ST %tsc %B %HM %HU"
    default_backend colmeia
backend colmeia
    server one {address} pool-max-conn 1
"""
HAPROXY_LENIENT = "option accept-invalid-http-request"


def start_nginx(server, place, more):
    port = free_port()
    http = NGINX.format(place=place, port=port, more=more, address="%s:%d" % server.tcp())
    return proxies.nginx(place, port, http, "crit", place / "access.log")


def start_haproxy(server, place, more):
    port = free_port()
    return proxies.haproxy(place, port, HAPROXY.format(port=port, more=more, address="%s:%d" % server.tcp()))


# What a row of its log begins with when the proxy has refused the request by itself.
REFUSED = {start_nginx: r"- ", start_haproxy: r"\S+ PR"}


@pytest.fixture(params=[(start_nginx, ""), (start_nginx, NGINX_LENIENT), (start_haproxy, ""),
                        (start_haproxy, HAPROXY_LENIENT)],
                ids=["nginx", "nginx-lenient", "haproxy", "haproxy-lenient"])
def behind(request, serve, place):
    """(server, proxy, rows): rows() are those of the proxy's log that were for colmeia; it stops the proxy."""
    start, more = request.param
    server = serve(workers=1)
    proxy = start(server, place, more)

    def passed_on(last):
        await_true("the proxy's last row", lambda: last in proxy.log())
        proxy.stop()
        return [row for row in proxy.log().splitlines() if not re.match(REFUSED[start], row)]
    yield server, proxy, passed_on
    print(f"---- what the proxy said\n{proxy.log()[-3000:]}")
    proxy.stop()


def attack(proxy, data):
    """The attacker's connection, left open: what it is answered is its own affair."""
    wire = Wire(("127.0.0.1", proxy.port))
    wire.send(data)
    select.select([wire.socket], [], [], PACE_S)
    return wire


def await_reply(wire):
    """Whatever it is. A proxy that waits for more gives up."""
    ready, _, _ = select.select([wire.socket], [], [], PATIENCE_S)
    assert ready, "neither an answer nor an end"
    wire.close()


def be_a_victim(wire, serial, name):
    answer = wire.get(f"/users/victim-{serial:04}")
    assert answer.status == 422 and json.loads(answer.body)["detail"][0]["input"] == f"victim-{serial:04}", \
        f"behind {name}: {answer}"


def marks(rows):
    return Counter(match[0] for match in map(MARK.search, rows) if match)


def test_nobody_else_is_answered(behind):
    server, proxy, passed_on = behind
    attackers = []
    with Wire(("127.0.0.1", proxy.port)) as steady:
        for i, (name, data) in enumerate(attacks()):
            attackers.append(attack(proxy, data))
            for turn in range(VICTIMS):
                be_a_victim(steady, i * 10 + turn, name)
            with Wire(("127.0.0.1", proxy.port)) as fresh:
                be_a_victim(fresh, i * 10 + VICTIMS, name)
    for wire in attackers:
        await_reply(wire)
    with Wire(("127.0.0.1", proxy.port)) as fresh:
        be_a_victim(fresh, LAST, "all of them")
    counted = passed_on(f"victim-{LAST:04}")
    server.stop()
    server.await_end_of_log()
    seen = access_rows(server)
    assert not marks(row["target"] for row in seen) - marks(counted), "colmeia saw requests that the proxy did not"
    assert len(seen) <= len(counted), "answers without a request"
    assert sum(mark.startswith("outer") for mark in marks(row["target"] for row in seen)) >= 10, "nothing got through"


def test_directly(serve):
    """Without a proxy in between: what is not sound is refused, and nothing behind it is looked at."""
    server = serve(workers=1)
    for name, data in attacks():
        with Wire(server.tcp()) as wire:
            wire.send(data).send_end()
            text = wire.rest()
        statuses = re.findall(rb"^HTTP/1\.1 (\d{3}) ", text, re.MULTILINE)
        refused = [at for at, status in enumerate(statuses) if status in (b"400", b"413", b"417", b"501", b"505")]
        assert refused in ([], [len(statuses) - 1]), (name, text)
        assert statuses[:1] != [b"400"] or b"smuggled" not in text, (name, text)
    server.stop()
    server.await_end_of_log()
    seen = marks(row["target"] for row in access_rows(server))
    refused = {i for i in range(len(attacks())) if f"smuggled-{i:04}" not in seen}
    assert max(seen.values()) == 1 and len(refused) > 40, seen
