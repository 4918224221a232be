"""orders.py: the stand-in for the orders' upstream (upstream.py) as tests use it: a process of its own
on a port of its own, told and asked over HTTP."""

import select
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from harness.server import BINARY, PATIENCE_S, await_true
from harness.upstream import KEY, KNOWN, TENANT

PROGRAM = Path(__file__).with_name("upstream.py")


def are_built_in():
    """Whether the program under test can ask an upstream; one that cannot says in its messages why."""
    return not Path(BINARY).exists() or b"COLMEIA_CURL=OFF" not in Path(BINARY).read_bytes()


needed = pytest.mark.skipif(not are_built_in(), reason="this program was built without libcurl")    # @orders.needed


def numbered(packages):
    """An order of so many packages."""
    return f"00000000-0000-4000-8000-{packages:012}"


def items_path(order):
    return f"/orders/{order}/items"


class Upstream:
    """Of a program that cannot ask one, all that is tested with it is skipped."""

    def __init__(self, *args, port=0):
        if not are_built_in():
            pytest.skip("this program was built without libcurl")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", str(PROGRAM), "--port", str(port), *args],
            stdout=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if ready else ""
        assert line.startswith("listening on "), line
        self.url = line.removeprefix("listening on ").strip()
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False, verify=False)

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def set(self, **settings):
        """Changes what it does; see upstream.py."""
        return self.http.put("/fake", json=settings).json()

    def ask(self):
        return self.http.get("/fake").json()

    def await_calls(self, in_flight):
        """Waits until so many calls are in flight; the report."""
        def enough():
            report = self.ask()
            return report if report["in_flight"] == in_flight else None
        return await_true(f"{in_flight} calls in flight", enough)

    def stop(self):
        self.http.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def config(self, **changes):
        """[orders] for a server that calls it."""
        values = {"upstream": self.url, "apikey": KEY, **changes}
        return {f"orders.{name}": value for name, value in values.items() if value is not None}


__all__ = ["KEY", "KNOWN", "TENANT", "Upstream", "items_path", "numbered"]
