"""conftest.py: fixtures for tests of the real binary."""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from harness.failing import Failing
from harness.faults import Faults, are_built_in
from harness.orders import Upstream
from harness.server import Server

# A test run behind nohup(1) must not let programs inherit that a hang-up is ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def place():
    """An empty directory of the test's own, with a path short enough for unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="colmeia-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def faults(place):
    """Orders for fault points: see harness/faults.py. The server needs env=faults.env."""
    if not are_built_in():
        pytest.skip("this program was built without fault points")
    return Faults(place)


@pytest.fixture
def failing(place):
    """Library and system calls that fail: see harness/failing.py. The server needs env=failing.env."""
    return Failing(place)


@pytest.fixture
def upstream():
    """A stand-in for the orders' upstream: see harness/orders.py."""
    fake = Upstream()
    yield fake
    fake.stop()


class Servers:
    def __init__(self, place):
        self.place = place
        self.all = []

    def make(self, directory=None, **options):
        """A server that is not started yet; see harness/server.py."""
        server = Server(directory or self.place, **options)
        self.all.append(server)
        return server

    def __call__(self, directory=None, **options):
        """A server, all its workers ready."""
        return self.make(directory, **options).start()


@pytest.fixture
def serve(place, request):
    """serve(config=…, workers=…): a running server; it is stopped and judged when the test is over."""
    servers = Servers(place)
    yield servers
    try:
        if not getattr(request.node, "broken", False):
            for server in servers.all:
                server.finish()
    finally:
        for server in servers.all:
            server.kill()
            if server.process:
                print(f"---- log of the server in {server.directory}\n{server.log}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Tells the serve fixture that its test failed: then the judgement would only hide the cause."""
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.broken = True
