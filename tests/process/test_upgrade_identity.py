"""Rights over an upgrade: the next program keeps the master's, its workers are the user's and restricted."""

import os

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
