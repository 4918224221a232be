"""The write-ahead log stays short, however long writers and readers overlap."""

import sqlite3
import threading
from contextlib import contextmanager

import pytest

from harness.wire import Wire

BOUND = 40 << 20    # bytes: a checkpoint is due each 4 MiB, and one that waits for readers at 16 and at 32
PAD = "n" * 20_000      # in two indices and a row: each sign-up is a dozen pages of the log
WRITERS, READERS = 8, 4


def one_writer(server, who, count, failed):
    try:
        with Wire(server.tcp()) as wire:
            for i in range(count):
                body = f'{{"username":"{PAD}{who}.{i}","email":"{who}.{i}@test.com","password":"pw"}}'.encode()
                answer = wire.ask("POST", "/users/", [("Content-Type", "application/json")], body).answer()
                assert answer.status == 201, answer
    except Exception as error:
        failed.append(error)


def one_reader(server, stop, failed):
    try:
        with Wire(server.tcp()) as wire:
            while not stop.is_set():
                answer = wire.get("/users/?limit=3")
                assert answer.status == 200, answer
    except Exception as error:
        failed.append(error)


def storm(server, place, sign_ups):
    """The largest size the log had, bytes."""
    stop, failed, sizes = threading.Event(), [], []
    readers = [threading.Thread(target=one_reader, args=(server, stop, failed)) for _ in range(READERS)]
    writers = [threading.Thread(target=one_writer, args=(server, who, sign_ups // WRITERS, failed))
               for who in range(WRITERS)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        while thread.is_alive():
            sizes.append((place / "database.db-wal").stat().st_size)
            thread.join(0.02)
    stop.set()
    for thread in readers:
        thread.join()
    assert not failed, failed[0]
    with server.api() as api:
        assert len(api.get(f"/users/?limit={sign_ups + 1}&offset={sign_ups - 10}").json()["users"]) == 10
    return max(sizes)


def written(sign_ups):
    """What all of it came to at the least, bytes: the log would be longer than that."""
    return sign_ups * 2 * len(PAD)


def test_log_is_bounded(serve, place):
    server = serve(workers=2)
    longest = storm(server, place, 1200)
    assert longest < BOUND < written(1200), longest


def one_look(database):
    """Begins to read, and goes on until told."""
    database.execute("BEGIN")
    database.execute("SELECT count(*) FROM users").fetchone()


@contextmanager
def somebody_always_reads(path, each):
    """Other programs that read, two by turns, EACH seconds: one begins before the other ends, so that there is no
    moment without."""
    stop = threading.Event()

    def read():
        pair = [sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None) for _ in range(2)]
        one_look(pair[0])
        while not stop.wait(each / 2):
            one_look(pair[1])
            pair[0].execute("COMMIT")
            pair.reverse()
        for database in pair:
            database.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


def test_readers_that_overlap_do_not_make_it_grow(serve, place):
    server = serve(workers=2)
    with somebody_always_reads(place / "database.db", each=0.02):
        longest = storm(server, place, 1200)
    assert longest < BOUND < written(1200), longest


@pytest.mark.long
def test_log_is_bounded_for_long(serve, place):
    server = serve(workers=4)
    longest = storm(server, place, 80_000)
    assert longest < BOUND < written(80_000), longest
