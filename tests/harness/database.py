"""database.py: what another program may do to a server's database."""

import fcntl
import os
from contextlib import contextmanager


@contextmanager
def writer_locked_out(place):
    """Another process has the writer lock and keeps it: whoever wants to write waits."""
    fd = os.open(place / "database.db.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)
