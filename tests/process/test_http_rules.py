"""RFC 9110 and 9112 rule by rule: the tables of tests/rules over real sockets, each request whole, byte by byte, and
in two pieces, split at every byte. Whatever way it comes, the answers are the same, and they are well-formed."""

import json
import re
import time
from email.utils import parsedate_to_datetime

import pytest

from harness.conform import conform
from harness.server import await_true
from harness.tables import rows
from harness.wire import Closed, Wire, request
from rules.vectors import FILES, load

VECTORS = {file: load(file) for file in FILES}
PROBE = request(target="/healthcheck")
SPLITS_MAX = 120         # places at which a long request is split
ACCEPTED_A_TURN = 16     # by a worker: see worker/net/listener.h
QUIET = {"log.access": "off", "log.level": "info"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from harness.server import Server
    server = Server(tmp_path_factory.mktemp("s"), workers=1, config=QUIET).start()
    yield server
    try:
        server.finish()
    finally:
        server.kill()


def send(wire, data):
    """A server that has refused what came before may have closed."""
    try:
        wire.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def compare(what, got, wanted):
    if wanted is not None and got != wanted:
        raise AssertionError(f"{what} {got!r} instead of {wanted!r}")


def check_answer(answer, expected):
    compare("status", answer.status, expected.status)
    conform(answer)
    compare("allow", answer.header("allow"), expected.allow)
    compare("location", answer.header("location"), expected.location)
    if expected.input is not None:
        compare("input", json.loads(answer.body)["detail"][0]["input"], expected.input)


def take(wire, expected):
    """The next answer that is expected; an optional one that did not come is left out."""
    answer = wire.answer(head=expected[0].head)
    while expected[0].optional and answer.status != expected[0].status:
        expected.pop(0)
    check_answer(answer, expected.pop(0))
    return answer


def check_end(wire, end, last):
    assert last is None or last.status < 200 or (last.header("connection") == "close") == (end == "close"), last
    if end == "open":
        answer = wire.send(PROBE).answer()
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}'), answer
    if end != "close":
        wire.send_end()
    assert wire.is_closed(), "more than was expected"


def check(wire, vector, how):
    """Everything was sent: does the verdict hold?"""
    expected, last = list(vector.answers), None
    try:
        while expected:
            last = take(wire, expected)
        check_end(wire, vector.end, last)
    except (AssertionError, Closed, TimeoutError) as e:
        raise AssertionError(f"{vector.title}, {how}: {type(e).__name__} {e}") from None
    finally:
        wire.close()


def await_read(beat, connections):
    """When this is over the worker has accepted so many connections and read what had been sent on them."""
    for _ in range(connections // ACCEPTED_A_TURN + 3):
        assert beat.send(PROBE).answer().status == 200


def collect(problems, function, *args):
    try:
        function(*args)
    except AssertionError as e:
        problems.append(str(e))


def judge(problems):
    assert not problems, f"{len(problems)} wrong:\n" + "\n".join(problems[:40])


@pytest.mark.parametrize("file", FILES)
def test_whole(server, file):
    problems = []
    for vector in VECTORS[file]:
        wire = Wire(server.tcp())
        send(wire, vector.data)
        collect(problems, check, wire, vector, "whole")
    judge(problems)


def split_at(data):
    """Every place, or many of them: at its ends they lie close."""
    places = range(1, len(data))
    if len(places) <= SPLITS_MAX:
        return list(places)
    step = len(places) // (SPLITS_MAX // 2)
    return sorted({*places[:SPLITS_MAX // 4], *places[-SPLITS_MAX // 4:], *places[::step]})


@pytest.mark.parametrize("phase", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("file", FILES)
def test_split_at_every_byte(server, file, phase):
    """At every third in each phase; the first phase takes another third of each row. (The unit tests of guard,
    parser and chunked split theirs at every byte.)"""
    problems = []
    with Wire(server.tcp()) as beat:
        for row, vector in enumerate(VECTORS[file]):
            wires = [(place, Wire(server.tcp())) for place in split_at(vector.data)[(row + phase) % 3::3]]
            for place, wire in wires:
                wire.send(vector.data[:place])
            await_read(beat, len(wires))
            for place, wire in wires:
                send(wire, vector.data[place:])
            for place, wire in wires:
                collect(problems, check, wire, vector, f"split at {place}")
    judge(problems)


@pytest.mark.parametrize("file", FILES)
def test_byte_by_byte(server, file):
    """All requests of a table side by side, a byte of each at a time; long ones in larger pieces."""
    wires = [(vector, Wire(server.tcp())) for vector in VECTORS[file]]
    problems = []
    with Wire(server.tcp()) as beat:
        await_read(beat, len(wires))
        for at in range(max(min(len(v.data), SPLITS_MAX) for v, _ in wires)):
            for vector, wire in wires:
                piece = -(-len(vector.data) // SPLITS_MAX)
                if at * piece < len(vector.data):
                    send(wire, vector.data[at * piece:(at + 1) * piece])
            await_read(beat, 0)
    for vector, wire in wires:
        collect(problems, check, wire, vector, "byte by byte")
    judge(problems)


# ---- answers ----

def test_date_is_now_and_goes_on(server):
    """RFC 9110 6.6.1: the time at which the answer was made, each second anew."""
    with Wire(server.tcp()) as wire:
        def date():
            before = int(time.time())
            got = parsedate_to_datetime(wire.get().header("date")).timestamp()
            assert before - 1 <= got <= time.time(), "not the time of the answer"
            return got
        first = date()
        await_true("another second", lambda: date() > first)


def test_no_status_without_content(server):
    """RFC 9110 8.6 and 15.3.5: a 204 or 1xx has no Content-Length, a 304 has that of another answer. None of them
    goes through worker/http/response.c: who adds one to the table must teach it."""
    codes = {int(code) for code, *_ in rows("worker/http/status.def", "STATUS")}
    assert not codes & {101, 102, 103, 204, 205, 304} and {100, 200, 405} <= codes


def paths():
    """Of every route and page, with something in the place of parameters; one slash more, and nobody's."""
    named = [row[1] for row in rows("worker/api/routes.def", "ROUTE")]
    named += [row[0] for row in rows("worker/api/routes.def", "PAGE")]
    plain = {re.sub(r"\{\w+\}", value, path) for path in named for value in ("1", "x")}
    return sorted(plain | {path + "/" for path in plain} | {"/nope"})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_every_path_and_method(server, method):
    """Whatever is asked of whichever path: one well-formed answer, and the connection goes on."""
    with Wire(server.tcp()) as wire:
        for path in paths():
            conform(wire.ask(method, path, body=b"{}").answer(head=method == "HEAD"))
        assert wire.get("/healthcheck").body == b'{"status":"ok"}'
