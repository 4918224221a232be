"""Rights over an upgrade: the next program keeps the master's, its workers are the user's and restricted."""

import os
import signal

from harness.server import BINARY, FAST
from process.test_identity import NO_LEAKS, USER, credentials, home, is_users   # noqa: F401: a fixture
from process.test_upgrade import NEWER, Same, install, own_version, version


def test_upgrade_in_place_keeps_it(serve, home):
    (home / "bin").mkdir()
    program = install(BINARY, home / "bin" / "colmeia")
    os.chmod(home, 0o755)
    server = serve(home, workers=1, binary=program, config={**FAST, "server.user": USER, "server.seccomp": "yes"},
                   env=NO_LEAKS)
    same = Same(server)
    assert version(server) == own_version()
    install(NEWER, program)
    server.ctl("upgrade", "--wait")
    same.judge()
    assert version(server) == "9.9.9" and credentials(server.process.pid)["Uid"] == ["0"] * 4
    (pid,) = server.workers()
    assert is_users(pid) and credentials(pid)["Seccomp"] == ["2"]


def test_another_user_waits_for_a_restart(serve, home):
    """Also one that a reload has read and left alone, and at a worker's death."""
    (home / "bin").mkdir()
    program = install(BINARY, home / "bin" / "colmeia")
    os.chmod(home, 0o755)
    server = serve(home, workers=1, binary=program, config={**FAST, "server.user": USER}, env=NO_LEAKS)
    server.configure(server__user="daemon", server__group="daemon")
    server.reload()
    install(NEWER, program)
    before = server.mark()
    assert "configuration unchanged, program 9.9.9" in server.reload()
    (pid,) = server.workers()
    assert is_users(pid)
    server.await_line(r"server\.user: nobody -> daemon .*left as it is", after=before)
    server.await_line(r"server\.group: unset -> daemon .*left as it is", after=before)
    os.kill(pid, signal.SIGKILL)
    (pid,) = server.await_workers(1, without=[pid])
    assert is_users(pid)
