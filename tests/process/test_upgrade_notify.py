"""Upgrades of a service: what its manager hears meanwhile, in which order and from whom, and the sockets that it
was given."""

import re
import signal

import pytest

from harness.load import Load
from harness.server import FAST
from harness.wire import Wire
from process.test_activation import inode, listeners, sockets_of, web    # noqa: F401
from process.test_notify import Manager, told_by
from process.test_upgrade import BINARY, LAYOUT, NEWER, Same, install, program    # noqa: F401

# A datagram in a word: what it tells beside the status, which may come at any time.
WORDS = ["READY", "RELOADING", "STOPPING", "WATCHDOG"]


@pytest.fixture
def manager(place):
    return Manager(place / "notify")


def story(manager, after=0):
    """Those words, in their order, from there on; who asks for time only is not mentioned."""
    manager.mark()
    told = [tuple(word for word in WORDS if word in told) for _, told in manager.heard[after:]]
    return [words for words in told if words]


@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
def test_upgrades_there_and_back(serve, manager, program, source):
    """RELOADING once, by the program before; READY once, by the one that has taken over, or, after a failure, by the
    one before again. All by the same process."""
    server = told_by(manager, serve, workers=2, config=FAST, binary=program).start()
    manager.await_state("READY")
    for conduct, outcome in [(None, "ok"), ("boot_crash", "failed"), ("adopt_crash", "failed"), (None, "ok")]:
        mark = manager.mark()
        install(source, program, conduct)
        server.ctl("upgrade", "--wait", code=1 if conduct else 0)
        ready = manager.await_state("READY", mark)
        assert story(manager, mark) == [("RELOADING",), ("READY",)], conduct
        assert re.match(rf"ready 2/2 gen \d+ .* last reload {outcome}$", ready["STATUS"])
        reloading = manager.await_state("RELOADING", mark)
        assert reloading["STATUS"].startswith("reloading 2/2 ") and int(reloading["MONOTONIC_USEC"]) > 0
    server.stop()
    assert story(manager)[-1] == ("STOPPING",)
    assert {pid for pid, _ in manager.heard} == {server.process.pid}


def test_refused_upgrade(serve, manager, program):
    """It was a reload that failed, and is over."""
    server = told_by(manager, serve, workers=1, config=FAST, binary=program).start()
    manager.await_state("READY")
    mark = manager.mark()
    install("/bin/true", program)
    server.ctl("reload", "--wait", code=1)
    manager.await_state("READY", mark)
    assert story(manager, mark) == [("RELOADING",), ("READY",)]


def test_stop_during_an_upgrade(serve, manager, program):
    """STOPPING is the last word."""
    server = told_by(manager, serve, workers=1, config={**FAST, "supervisor.settle": "1m"}, binary=program).start()
    install(NEWER, program)
    server.send_signal(signal.SIGHUP)
    server.await_line("has taken over")
    server.stop()
    assert story(manager) == [("READY",), ("RELOADING",), ("STOPPING",)]


def test_watchdog_goes_on(serve, manager, program):
    """The new program knows how often, though nobody has told it in its environment."""
    server = serve.make(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"}, binary=program, config=FAST)
    server.start()
    for source in NEWER, BINARY:
        install(source, program)
        server.reload()
        for _ in range(3):
            manager.await_state("WATCHDOG", manager.mark())
    assert {pid for pid, _ in manager.heard} == {server.process.pid}


def test_activated_service(serve, manager, program, web):
    """The sockets stay systemd's: found again, never closed, and not shut down at the end."""
    server = serve.make(bind=None, activation=web, env={"NOTIFY_SOCKET": manager.name}, binary=program, config=FAST)
    server.start()
    same, held = Same(server), inode(web.sockets["web"])
    with Load(server, slow=4) as load:
        load.await_progress(2)
        for source, conduct in [(NEWER, None), (LAYOUT, "boot_crash"), (LAYOUT, None), (BINARY, None)]:
            mark = manager.mark()
            install(source, program, conduct)
            server.ctl("reload", "--wait", code=1 if conduct else 0)
            manager.await_state("READY", mark)
            assert story(manager, mark) == [("RELOADING",), ("READY",)]
            assert listeners(server) == {web.address("web"): "systemd web"}
            assert all(held in sockets_of(pid) for pid in [same.pid, *server.workers()])
            load.await_progress(2)
    same.judge()
    load.judge()
    wire = Wire(web.sockets["web"].getsockname()).ask()       # waits for the next start
    server.spawn().await_ready(server.mark())
    assert wire.answer().status == 200
