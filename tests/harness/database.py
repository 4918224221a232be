"""database.py: what another program may do to a server's database."""

import fcntl
import os
from contextlib import contextmanager


def await_writes(api, count, **options):
    """Waits until so many writes are in the queue of a server that has one worker. A read that was counted with
    them is over before one that comes behind it."""
    for _ in range(2):
        api.server.await_status(f"{count} writes wait", lambda status: sum(
            slot["store_queued"] for slot in status["slots"]) == count)
        assert api.get("/users/9223372036854775807", **options).status_code == 404


@contextmanager
def writer_locked_out(place):
    """Another process has the writer lock and keeps it: whoever wants to write waits."""
    fd = os.open(place / "database.db.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)
