"""faults.py: orders for the fault points of the server under test (shared/fault.h): a directory of files,
one per point.

    faults = Faults(place)
    server = serve(env=faults.env)
    faults.set("reload_bind", "once signal TERM")
    faults.await_struck("reload_bind")"""

import os
import re
import signal
from pathlib import Path

from harness.server import BINARY, ROOT, await_true

ROW = re.compile(r'^(POINT|CALL)\((\w+), "([^"]+)"\)$', re.MULTILINE)


def table():
    """{name: "POINT" or "CALL"} of every fault point, in the table's order."""
    return {name: kind for kind, name, _ in ROW.findall((ROOT / "shared" / "fault.def").read_text())}


def are_built_in():
    """Whether the program under test has fault points: presets say so (CMakePresets.json), and a test
    that they do."""
    return b"COLMEIA_FAULTS" in Path(BINARY).read_bytes()


class Faults:
    def __init__(self, place):
        self.directory = Path(place) / "faults"
        self.directory.mkdir()
        self.known = table()

    @property
    def env(self):
        return {"COLMEIA_FAULTS": str(self.directory)}

    def file(self, point):
        assert point in self.known, point
        return self.directory / point

    def set(self, point, order):
        """From now on; nobody ever sees half of it."""
        new = self.directory / ".new"
        new.write_text(order + "\n")
        os.rename(new, self.file(point))

    def clear(self, point):
        self.file(point).unlink(missing_ok=True)

    def is_struck(self, point):
        """Whether an order that happens once has happened."""
        return not self.file(point).exists()

    def await_struck(self, point):
        await_true(f"somebody came to {point}", lambda: self.is_struck(point))


def await_held(pid):
    """Waits until a process stands still at a point where it was sent STOP."""
    def held():
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    await_true(f"process {pid} is stopped", held)


def go_on(pid):
    os.kill(pid, signal.SIGCONT)
