"""test_mutated.py: every exchange again, with something wrong in it: whatever it is, it is answered, and
never by a 500; the same workers are there afterwards."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import readers
import test_vectors
import vectors
from harness.server import Server
from harness.wire import Closed, Wire, request

BITS = [b"\x00", b"\r\n", b"\xff", b"%", b"{", b'"', b"\\", b"&", b"=", b"+", b"\xed\xa0\x80", b"[" * 50, b"1" * 20, b"@", b"<", b"--",
        b"\t", b"/", b"?", b" "]
REFUSALS = {501, 503, 505}    # by name: what HTTP knows and colmeia does not, or not now


def wrong(rng, exchange):
    """The bytes of the exchange's request with a change or two in its target, a header or its body."""
    body = exchange.body or b""
    target = exchange.target.encode("latin-1")
    headers = [(n, test_vectors.PLACEHOLDER.sub("x.y.z", v)) for n, v in exchange.headers]
    where = rng.randrange(4)
    if where == 0:
        target = readers.mutated(rng, target, BITS)
    elif where == 1 and headers:
        at = rng.randrange(len(headers))
        value = readers.mutated(rng, headers[at][1].encode("latin-1"), BITS)
        headers[at] = (headers[at][0], value.decode("latin-1"))
    else:
        body = readers.mutated(rng, body, BITS)
    return request(exchange.method, target.decode("latin-1"), [("Host", "h"), ("Connection", "close"), *(
        (n, v) for n, v in headers if n not in ("host", "connection"))], body)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mutated"), workers=2, config={"auth.secret_key": test_vectors.KEY}).start()
    yield server
    server.finish()
    server.kill()


@pytest.mark.parametrize("file", vectors.FILES)
def test_mutated_exchanges(server, file):
    rng, workers = random.Random(file), list(server.workers())
    for exchange in vectors.load(file):
        data = wrong(rng, exchange)
        with Wire(server.tcp()) as wire:
            try:
                wire.send(data).send_end()
                answer = wire.answer(head=exchange.method == "HEAD")
            except (Closed, ConnectionError) as error:
                raise AssertionError(f"{exchange.id}: no answer to {data!r}: {error}") from None
        assert answer.status < 500 or answer.status in REFUSALS, (exchange.id, data, answer)
    assert list(server.workers()) == workers
