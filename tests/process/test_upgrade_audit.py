"""An audit log's file that cannot be opened any more: an upgrade is refused, and one that has begun goes on."""

import shutil

import pytest

from harness.failing import ALWAYS, Failing
from harness.server import BINARY, FAST
from harness.wire import Wire
from process.test_upgrade import NEWER, Same, install, own_version, program, version    # noqa: F401: a fixture


@pytest.fixture
def trail(place):
    (place / "audit").mkdir()
    return place / "audit" / "audit.log"


def test_file_that_is_gone_refuses_it(serve, program, trail):
    server = serve(binary=program, workers=2, config={**FAST, "log.audit": str(trail)})
    same = Same(server)
    shutil.rmtree(trail.parent)
    install(NEWER, program)
    told = server.ctl("reload", "--wait", code=1)
    assert told["error"].startswith("reload 1 failed: ") and "audit.log: No such file" in told["error"], told
    same.judge()
    assert server.workers() == same.workers and version(server) == own_version()
    trail.parent.mkdir()
    assert " program 9.9.9 " in server.reload()
    server.ctl("debug", "on")
    assert 'what="debug on"' in trail.read_text()


def test_another_file_is_what_counts(serve, place, program, trail):
    """The present one is gone for good: an upgrade to a configuration that names another one is done."""
    server = serve(binary=program, workers=2, config={**FAST, "log.audit": str(trail)})
    same = Same(server)
    shutil.rmtree(trail.parent)
    server.configure(log__audit="./other.log")
    install(NEWER, program)
    server.ctl("upgrade", "--wait")
    same.judge()
    assert version(server) == "9.9.9"
    server.ctl("debug", "on")
    assert 'what="debug on"' in (place / "other.log").read_text()


def test_file_that_goes_at_the_last_moment(serve, place, trail):
    """The next program finds it gone when it has taken the master's place, and so does the one before when it is
    back: that serves on, and the log has the lines."""
    (place / "bin").mkdir()
    now = install(BINARY, place / "bin/colmeia-now")
    failing = Failing(place)
    server = serve(binary=now, workers=1, env=failing.env, config={**FAST, "log.audit": str(trail)}).await_served()
    same = Same(server)
    install(NEWER, now)
    with failing.at("OPEN", error="EACCES", pid=same.pid, path="audit.log", times=ALWAYS):
        told = server.ctl("reload", "--wait", code=1)
    assert "rolled back" in told["error"] and "audit.log: Permission denied" in told["error"], told
    same.judge()
    server.await_line("audit.log: Permission denied; until a reload finds it, audit lines go to the log")
    with Wire(server.tcp()) as wire:
        assert wire.get("/").status == 200
    server.ctl("debug", "on")
    server.await_line('AUDIT .*event="control" .*what="debug on"')
    assert " program 9.9.9 " in server.reload()
    server.ctl("debug", "off")
    assert 'what="debug off"' in trail.read_text()
