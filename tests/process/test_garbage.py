"""Whatever bytes come, the worker lives: the same process answers afterwards."""

import random
import re

import pytest

from harness.wire import Closed, Wire, request

SEEDS = range(20)
JSON = [("Content-Type", "application/json")]


def survive(server, pids, streams):
    for stream in streams:
        with Wire(server.tcp()) as wire:
            try:
                wire.send(stream).send_end()
                rest = wire.rest()
            except ConnectionError:
                continue
            assert not re.search(rb"^HTTP/1\.1 5(?!0[135])", rest, re.MULTILINE), (stream, rest)
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert list(server.workers()) == pids


@pytest.fixture
def server(serve):
    return serve(workers=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bytes(server, seed):
    rng = random.Random(seed)
    survive(server, list(server.workers()), [rng.randbytes(rng.randrange(1, 5000)) for _ in range(30)])


WHOLE = [request(), request("POST", "/users/", JSON, b'{"username":"a","email":"a@b.com","password":"p"}'),
         request("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded")], b"username=a&password=b"),
         request("PUT", "/users/1", JSON + [("Authorization", "Bearer a.b.c")], b"{}"),
         request("POST", "/users/", JSON + [("Transfer-Encoding", "chunked")], b"5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"),
         request(target="/users/?offset=1&limit=2"), request(target="/users/%31%32")]


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randrange(1, 8)]
        elif kind == 2:
            data[at:at] = rng.choice([b"\0", b"\r", b"\n", b"\r\n", b" ", b":", b"%", b"\xff", b"{", b'"', b"\t"])
        elif kind == 3:
            data[at:at] = data[at:at + rng.randrange(1, 30)]
        else:
            data[at:at] = rng.choice(WHOLE)
        if not data:
            data = bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_requests(server, seed):
    rng = random.Random(1000 + seed)
    survive(server, list(server.workers()), [mutate(rng, rng.choice(WHOLE)) for _ in range(60)])


def test_clients_that_leave_at_any_point(server):
    """Connections dropped after each prefix of a request, without a word and with a reset."""
    import socket
    import struct
    pids = list(server.workers())
    data = WHOLE[1]
    for at in range(0, len(data) + 1, 3):
        for reset in (False, True):
            wire = Wire(server.tcp()).send(data[:at])
            if reset:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
    survive(server, pids, [])


def test_leaving_while_a_hash_is_going_on(serve):
    server = serve(workers=1, config={"auth.hash_memory": "16m", "auth.hash_iterations": "3", "auth.throttle": "no"})
    pids = list(server.workers())
    for _ in range(10):
        Wire(server.tcp()).send(WHOLE[2]).close()
    with Wire(server.tcp()) as wire:
        try:
            assert wire.send(WHOLE[2]).answer().status in (401, 503)
        except Closed:
            raise AssertionError("not answered") from None
    survive(server, pids, [])


@pytest.mark.long
def test_garbage_for_a_long_time(server):
    rng = random.Random()
    pids = list(server.workers())
    for _ in range(2000):
        survive(server, pids, [mutate(rng, rng.choice(WHOLE)) for _ in range(100)])
