"""test_vectors.py: the exchanges of vectors.py replayed in order, each file on an empty database, and
compared byte for byte except for what differences.py declares."""

import base64
import hashlib
import hmac
import json
import re
import sys
import time
import urllib.parse
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import differences
import vectors
from harness.orders import Upstream
from harness.server import ROOT, Server
from harness.wire import Wire

ORDERS = "api_pedidos"      # the file that needs an upstream
CAPTURED_HOST = "127.0.0.1:9013"
KEY = "4f1d7a0c9b8e6d5f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f"
ANY = "«any»"
PLACEHOLDER = re.compile("«(login|once|jwt) ([^»]*)»")
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")
EXCHANGES = [e for f in vectors.FILES for e in vectors.load(f)]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def make_token(text):
    """A signed token of 'HEADER PAYLOAD', both as they are but for NOW+n and NOW-n."""
    header, _, payload = re.sub(r"NOW([+-]\d+)", lambda m: str(int(time.time()) + int(m[1])), text).partition(" ")
    body = base64url(header.encode()) + b"." + base64url(payload.encode())
    return (body + b"." + base64url(hmac.new(KEY.encode(), body, hashlib.sha256).digest())).decode()


def log_in(address, text):
    email, _, password = text.partition(" ")
    form = urllib.parse.urlencode({"username": email, "password": password}).encode()
    with Wire(address) as wire:
        answer = wire.ask("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded")], form).answer()
    assert answer.status == 200, answer
    return json.loads(answer.body)["access_token"]


def send(address, exchange, kept=None):
    """One exchange over a connection of its own; the answer. *kept*: the tokens that stay the same."""
    kept = {} if kept is None else kept
    body = exchange.body
    if body is None and exchange.method in ("POST", "PUT", "PATCH"):
        body = b""    # as the client that captured them: Content-Length: 0
    fill = {"login": lambda text: log_in(address, text), "jwt": make_token,
            "once": lambda text: kept.get(text) or kept.setdefault(text, log_in(address, text))}
    headers = [(n, PLACEHOLDER.sub(lambda m: fill[m[1]](m[2]), v)) for n, v in exchange.headers]
    if "host" not in dict(headers):
        headers.insert(0, ("Host", "%s:%d" % address))
    with Wire(address) as wire:
        return wire.ask(exchange.method, exchange.target, headers, body).answer(head=exchange.method == "HEAD")


class Replays(dict):
    """{file: {exchange id: (answer, host)}}; a file is replayed when it is asked for."""

    def __init__(self, directories):
        super().__init__()
        self.directories = directories

    def __missing__(self, file):
        upstream = Upstream() if file == ORDERS else None
        answers, kept = self.setdefault(file, {}), {}
        config = {"auth.secret_key": KEY, **(upstream.config() if upstream else {})}
        server = Server(self.directories.mktemp(file), workers=2, config=config).start()
        try:
            for exchange in vectors.load(file):
                answers[exchange.id] = (send(server.tcp(), exchange, kept), "%s:%d" % server.tcp())
            server.finish()
        finally:
            server.kill()
            if upstream:
                upstream.stop()
        return answers


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    return Replays(tmp_path_factory)


def expectation(exchange, host):
    """Status, body and [(header, value)] in order that colmeia is to give, the differences applied;
    and the differences that mattered."""
    used = []
    theirs = exchange.answer_headers
    status, body = exchange.status, exchange.answer_body
    headers = {"server": "uvicorn", **theirs}
    for d in differences.DIFFERENCES:
        if d.file not in ("*", exchange.file) or not fnmatchcase(exchange.name, d.row):
            continue
        if d.field == "answer":
            code, _, text = d.ours.partition(" ")
            status, body = int(code), text.encode()
            kept = [n for n in ("server", "www-authenticate") if n in headers or (n != "server" and code == "401")]
            headers = {**{n: headers.get(n, "Bearer") for n in kept}, "content-length": str(len(body)),
                       "content-type": "application/json"}
            body = b"" if exchange.method == "HEAD" else body
        elif d.field == "status":
            status = int(d.ours)
        elif d.field == "body":
            body = d.ours.encode()
        elif d.field in headers:
            headers[d.field] = (headers[d.field].replace(CAPTURED_HOST, host) if d.ours == "{host}" else d.ours)
        else:
            continue
        used.append(d)
    order = ["server", "www-authenticate", "allow", "content-length", "content-type", "location", "connection"]
    return status, body, [(n, headers[n]) for n in order if n in headers], used


def reason_of(status):
    """As Python has it since 3.13."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, HTTPStatus(status).phrase)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.id)
def test_exchange(replayed, exchange):
    answer, host = replayed[exchange.file][exchange.id]
    status, body, headers, _ = expectation(exchange, host)
    shown = answer.body.decode()
    if ANY in body.decode():
        assert re.fullmatch(re.escape(body.decode()).replace(ANY, ".+"), shown)
        headers = [(n, str(len(answer.body)) if v == ANY else v) for n, v in headers]
        shown = body.decode()
    assert (answer.status, shown) == (status, body.decode())
    assert answer.reason == reason_of(status)
    assert answer.names[0] == "date" and DATE.match(answer.headers[0][1])
    assert answer.headers[1:] == headers
    assert answer.version == "HTTP/1.1"


def test_every_header_of_the_vectors_has_its_place_in_the_order():
    named = {name for e in EXCHANGES for name in e.answer_headers}
    assert named == {"allow", "connection", "content-length", "content-type", "location", "www-authenticate"}


def test_every_declared_difference_is_needed():
    used = {d for e in EXCHANGES for d in expectation(e, "host:1")[3]}
    assert set(differences.DIFFERENCES) - used == set()


def test_every_declared_difference_differs():
    """A row that says what the original says is no difference."""
    for e in EXCHANGES:
        for d in expectation(e, "host:1")[3]:
            theirs = {"answer": f"{e.status} {e.answer_body.decode()}", "status": str(e.status),
                      "body": e.answer_body.decode(), "server": "uvicorn"}
            assert theirs.get(d.field, e.answer_headers.get(d.field)) != d.ours, d


def test_readme_shows_the_differences():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"<!-- differences:begin -->\n(.*?)<!-- differences:end -->", readme, re.DOTALL)
    assert match, "the README has no differences:begin … differences:end"
    assert match[1].strip() == differences.markdown().strip(), \
        "print the table with: python3 tests/contract/differences.py"


def test_parser_reads_every_part_of_a_row():
    row = "### a 'b'\n> POST /x?y=1 {'content-type': 'a/b; c'} b'{\"k\": \"\\xff\"}'\n" \
          "< 201 {\"content-length\": \"2\"}\n< é\n"
    (e,) = vectors.parse(row, "f")
    assert (e.name, e.method, e.target) == ("a 'b'", "POST", "/x?y=1")
    assert e.headers == [("content-type", "a/b; c")] and e.body == b'{"k": "\xff"}'
    assert (e.status, e.answer_headers, e.answer_body) == (201, {"content-length": "2"}, "é".encode())


def test_parser_counts_every_row():
    for file in vectors.FILES:
        text = (vectors.HERE / f"{file}.txt").read_text(encoding="utf-8")
        assert len(vectors.load(file)) == len(re.findall(r"^### ", text, re.MULTILINE)) > 20
        assert len({e.id for e in vectors.load(file)}) == len(vectors.load(file))


@pytest.mark.parametrize("text", ["### a\n> GET\n< 200 {}\n< ", "### a\n> GET / \n< x {}\n< ",
                                  "### a\n> GET / \n< 200 {}\nbody"])
def test_parser_refuses_what_it_does_not_understand(text):
    with pytest.raises(ValueError):
        vectors.parse(text)


def test_bodies_have_the_length_that_they_declare():
    """The data itself: a row cut by a copy would show here."""
    for e in EXCHANGES:
        if e.method != "HEAD":
            assert e.answer_headers["content-length"] in (ANY, str(len(e.answer_body))), e.id
            if e.answer_headers.get("content-type") == "application/json":
                json.loads(e.answer_body)
