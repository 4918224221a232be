"""Upgrades without the audit log's file: refused while that can be known, survived when it goes amid one."""

import shutil
import signal

import pytest

from harness.server import FAST, await_true
from process.test_audit import Trail
from process.test_upgrade import NEWER, Same, install, program, version    # noqa: F401: a fixture

AUDITED = {**FAST, "log.audit": "./aud/audit.log", "log.format": "json"}


@pytest.fixture
def aud(place):
    (place / "aud").mkdir()
    return place / "aud"


def judge(server, same):
    """The same master and workers serve."""
    assert server.process.poll() is None, server.log
    same.judge()
    assert server.workers() == same.workers


def test_no_upgrade_without_its_file(serve, aud, program):
    """Nobody leaves for a program that could not write it; when the directory is back, so is the way there."""
    server = serve(binary=program, workers=1, config=AUDITED)
    same = Same(server)
    shutil.rmtree(aud)
    server.send_signal(signal.SIGUSR2)
    line = server.await_line("reload 1 failed: .*").group(0)
    assert "[log] audit: cannot write to ./aud/audit.log: No such file" in line, line
    assert "handing over" not in server.log
    judge(server, same)
    last = server.status()["last_reload"]
    assert last["result"] == "failed" and "[log] audit" in last["text"], last
    aud.mkdir()
    install(NEWER, program)
    server.ctl("upgrade", "--wait")
    same.judge()
    assert version(server) == "9.9.9"


def test_another_file_is_what_counts(serve, place, aud, program):
    """The present one is gone for good: an upgrade to a configuration that names another one is done."""
    server = serve(binary=program, workers=1, config=AUDITED)
    same = Same(server)
    shutil.rmtree(aud)
    server.configure(log__audit="./other.log")
    install(NEWER, program)
    server.ctl("upgrade", "--wait")
    same.judge()
    assert version(server) == "9.9.9"
    server.ctl("scale", "1")
    Trail(server, place / "other.log").one("control", "ok", what="scale 1")


def test_it_is_gone_on_the_way_back(serve, aud, program):
    """After the new program has opened it, and before that fails: the old one serves on without, and says so;
    USR1 opens it again, and what was lost is told."""
    server = serve(binary=program, workers=1, config={**AUDITED, "supervisor.boot_timeout": "3s"})
    same = Same(server)
    install(NEWER, program, "never_ready")
    server.ctl("upgrade")
    server.await_line("has taken over")
    await_true("its worker starts", lambda: len(server.children()) > 1)
    shutil.rmtree(aud)
    server.await_line("reload 1 failed: rolled back")
    await_true("only the old one is left", lambda: set(server.children()) == set(same.workers))
    judge(server, same)
    server.await_line("No such file or directory; what the master does is not recorded until a reload or SIGUSR1")
    server.ctl("scale", "1")
    mark = server.mark()
    server.send_signal(signal.SIGUSR1)
    server.await_line("what belongs there is lost until then", after=mark)
    aud.mkdir()
    server.send_signal(signal.SIGUSR1)
    server.await_line("SIGUSR1: the audit log's file was opened anew", after=mark)
    server.ctl("scale", "1")
    trail = Trail(server, aud / "audit.log")
    trail.one("control", "ok", what="scale 1")
    assert trail.one("lines lost", "failed")["count"] == 3, "a command and two signals"
