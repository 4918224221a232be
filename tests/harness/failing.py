"""failing.py: the n-th library or system call of the server under test goes wrong: what tests/failing
preloads under it. Where faults.py strikes at a place in our sources, this strikes at a call, whoever
makes it.

    failing = Failing(place)
    server = serve(env=failing.env)
    with failing.at("MEMORY", skip=3, pid=pid):
        …
    failing.seen, failing.struck, failing.last"""

import ctypes
import errno
import mmap
import os
from contextlib import contextmanager
from pathlib import Path

from harness.server import BINARY

LIBRARY = Path(BINARY).resolve().parent / "tests" / "failing" / "failing.so"
PROCESSES_MAX, TEXT_LEN = 16384, 64
ALWAYS = 1 << 62
KINDS = {name: 1 << i for i, name in enumerate(
    ["MEMORY", "OPEN", "WRITE", "READ", "SYNC", "FILE", "PROCESS", "WAIT", "STDERR", "SOCKET", "LOCK", "EXEC"])}
VERBS = {name: i for i, name in enumerate(["error", "short", "kill", "kill-all"])}
MASTER = 0      # an ordinal: processes in the order in which they begin


class Page(ctypes.Structure):
    """As in tests/failing/failing.h."""
    _fields_ = [
        ("processes", ctypes.c_uint32), ("pids", ctypes.c_int32 * PROCESSES_MAX), ("armed", ctypes.c_uint32),
        ("pid", ctypes.c_int32), ("ordinal", ctypes.c_int32), ("kinds", ctypes.c_uint32),
        ("skip", ctypes.c_int64), ("times", ctypes.c_int64), ("verb", ctypes.c_uint32), ("value", ctypes.c_int32),
        ("path", ctypes.c_char * TEXT_LEN), ("thread", ctypes.c_char * TEXT_LEN),
        ("program", ctypes.c_char * TEXT_LEN),
        ("seen", ctypes.c_int64), ("struck", ctypes.c_int64), ("last", ctypes.c_char * TEXT_LEN)]


class Failing:
    def __init__(self, place):
        assert LIBRARY.is_file(), f"{LIBRARY} is not built: does PYTEST_TARGETS of tests/runner.py name this test?"
        directory = Path(place) / "faults"
        directory.mkdir(exist_ok=True)
        path = directory / "calls"
        path.write_bytes(bytes(ctypes.sizeof(Page)))
        with open(path, "r+b") as file:
            self.page = Page.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Page)))
        options = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:exitcode=86")
        self.env = {"COLMEIA_FAULTS": str(directory), "LD_PRELOAD": str(LIBRARY),
                    "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0"}

    def arm(self, kinds, error="ENOMEM", skip=0, times=1, short=None, kill=None, pid=0, ordinal=-1, path="",
            thread="", program=""):
        """From now on. kinds: names with | between; error: a name; short: so many bytes at most instead of an
        error; kill: "kill" or "kill-all" instead."""
        p = self.page
        p.armed = 0
        p.kinds = sum(KINDS[k] for k in kinds.split("|"))
        p.skip, p.times, p.pid, p.ordinal = skip, times, pid, ordinal
        p.path, p.thread, p.program = path.encode(), thread.encode(), program.encode()
        p.verb = VERBS[kill or ("error" if short is None else "short")]
        p.value = getattr(errno, error) if short is None else short
        p.seen = p.struck = 0
        p.last = b""
        p.armed = 1

    def count(self, kinds, do, **options):
        """How many such calls there are while do() runs."""
        with self.at(kinds, skip=ALWAYS, **options):
            do()
            return self.seen

    def disarm(self):
        self.page.armed = 0

    def start_anew(self):
        """For the next server in the same place: its master is the first process again."""
        self.disarm()
        self.page.processes = 0

    @property
    def begun(self):
        """So many processes: the ordinal of the next one."""
        return self.page.processes

    @contextmanager
    def at(self, kinds, **options):
        self.arm(kinds, **options)
        try:
            yield self
        finally:
            self.disarm()

    @property
    def seen(self):
        """Such calls since it was armed."""
        return self.page.seen

    @property
    def struck(self):
        return self.page.struck

    @property
    def last(self):
        """The function that was struck last."""
        return self.page.last.decode()
