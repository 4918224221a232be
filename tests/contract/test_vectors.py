"""test_vectors.py: the captured exchanges replayed in order, each file on an empty database, and
compared byte for byte except for what differences.py declares."""

import json
import re
import sys
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
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")
EXCHANGES = [e for f in vectors.FILES for e in vectors.load(f)]


def send(address, exchange):
    """One exchange over a connection of its own; the answer."""
    body = exchange.body
    if body is None and exchange.method in ("POST", "PUT", "PATCH"):
        body = b""    # as the client that captured them: Content-Length: 0
    headers = [("Host", "%s:%d" % address), *exchange.headers]
    with Wire(address) as wire:
        return wire.ask(exchange.method, exchange.target, headers, body).answer(head=exchange.method == "HEAD")


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """{exchange id: (answer, host)} of all files."""
    answers = {}
    for file in vectors.FILES:
        upstream = Upstream() if file == ORDERS else None
        server = Server(tmp_path_factory.mktemp("vectors"), workers=2, config=upstream.config() if upstream else {})
        server.start()
        try:
            for exchange in vectors.load(file):
                answers[exchange.id] = (send(server.tcp(), exchange), "%s:%d" % server.tcp())
            server.finish()
        finally:
            server.kill()
            if upstream:
                upstream.stop()
    return answers


def expectation(exchange, host):
    """Status, body and [(header, value)] in order that colmeia is to give, the differences applied;
    and the differences that mattered."""
    used = []
    theirs = exchange.answer_headers
    status, body = exchange.status, exchange.answer_body
    headers = {"server": "uvicorn", **theirs}
    for d in differences.DIFFERENCES:
        if d.file not in ("*", exchange.file) or d.row not in ("*", exchange.name):
            continue
        if d.field == "answer":
            code, _, text = d.ours.partition(" ")
            status, body = int(code), text.encode()
            headers = {"server": headers["server"], "content-length": str(len(body)),
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
    order = ["server", "www-authenticate", "allow", "content-length", "content-type", "location"]
    return status, body, [(n, headers[n]) for n in order if n in headers], used


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.id)
def test_exchange(replayed, exchange):
    answer, host = replayed[exchange.id]
    status, body, headers, _ = expectation(exchange, host)
    assert (answer.status, answer.body.decode()) == (status, body.decode())
    assert answer.names[0] == "date" and DATE.match(answer.headers[0][1])
    assert answer.headers[1:] == headers
    assert answer.version == "HTTP/1.1"


def test_every_header_of_the_vectors_has_its_place_in_the_order():
    named = {name for e in EXCHANGES for name in e.answer_headers}
    assert named == {"allow", "content-length", "content-type", "location"}


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
            assert len(e.answer_body) == int(e.answer_headers["content-length"]), e.id
            if e.answer_headers.get("content-type") == "application/json":
                json.loads(e.answer_body)
