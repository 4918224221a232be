"""Upgrades while nobody can say who [server] user is: its name is gone, or who knows names does not answer."""

import os
import signal

import pytest

from harness.server import BINARY, FAST, await_true
from process.test_identity import NO_LEAKS, USER, home, is_users   # noqa: F401: a fixture
from process.test_upgrade import NEWER, Same, install, version

NOBODY_KNOWS = {"errno ENOENT": "there is no such user", "errno EIO": "Input/output error"}


class Homed:
    """A server of the user's, in his directory."""

    def __init__(self, serve, home, faults, **config):
        (home / "bin").mkdir()
        self.program = install(BINARY, home / "bin" / "colmeia")
        os.chmod(home, 0o755)
        self.server = serve(home, workers=1, binary=self.program, env={**NO_LEAKS, **faults.env},
                            config={**FAST, "server.user": USER, "log.audit": "./audit.log", **config})
        self.same = Same(self.server)

    def judge(self):
        self.same.judge()
        assert self.server.workers() == self.same.workers

    def upgrade(self):
        install(NEWER, self.program)
        self.server.ctl("upgrade", "--wait")
        self.same.judge()
        assert version(self.server) == "9.9.9"
        (pid,) = self.server.workers()
        assert is_users(pid)


@pytest.mark.parametrize("order", NOBODY_KNOWS)
def test_refused_while_nobody_knows(serve, home, faults, order):
    homed = Homed(serve, home, faults)
    faults.set("user_lookup", order)
    homed.server.send_signal(signal.SIGUSR2)
    line = homed.server.await_line("reload 1 failed: .*").group(0)
    assert "[server] user: " + USER in line and NOBODY_KNOWS[order] in line, line
    assert "handing over" not in homed.server.log
    homed.judge()
    faults.clear("user_lookup")
    homed.upgrade()


def test_the_way_back_needs_no_name(serve, home, faults):
    """And who is born after it is still the user's."""
    homed = Homed(serve, home, faults, **{"supervisor.boot_timeout": "3s"})
    install(NEWER, homed.program, "never_ready")
    homed.server.ctl("upgrade")
    homed.server.await_line("has taken over")
    faults.set("user_lookup", "errno EIO")
    homed.server.await_line("reload 1 failed: rolled back")
    await_true("only the old one is left", lambda: set(homed.server.children()) == set(homed.same.workers))
    homed.judge()
    (pid,) = homed.server.workers()
    os.kill(pid, signal.SIGKILL)
    (pid,) = homed.server.await_workers(1, without={pid})
    assert is_users(pid)
