"""The audit log's file cannot be opened: at the very take-over of an upgrade, and at a start."""

import pytest

from harness.failing import ALWAYS
from harness.server import BINARY, FAST
from process.test_upgrade import Same, exe, install
from process.test_upgrade_trail import judge


def test_neither_program_can_open_it(serve, place, failing):
    """From the moment of the take-over on: back again, and the server is what it was."""
    (place / "bin").mkdir()
    now, new = (install(BINARY, place / "bin" / name) for name in ("colmeia-now", "colmeia-next"))
    server = serve(binary=now, env=failing.env, workers=1, config={**FAST, "log.audit": "./audit.log"}).await_served()
    same = Same(server)
    with failing.at("OPEN", error="EMFILE", times=ALWAYS, pid=same.pid, path="audit.log"):
        told = server.ctl("upgrade", "--binary", str(new), "--wait", code=1)
        assert "rolled back from" in told["error"] and "Too many open files" in told["error"], told
        judge(server, same)
    assert exe(same.pid) == str(now)
    server.ctl("upgrade", "--binary", str(new), "--wait")
    same.judge()
    assert exe(same.pid) == str(new)


@pytest.mark.parametrize("error, code", [("EMFILE", 70), ("ENOSPC", 70), ("EACCES", 78)])
def test_a_start_that_may_succeed_later(serve, failing, error, code):
    server = serve.make(env=failing.env, config={**FAST, "log.audit": "./audit.log"})
    with failing.at("OPEN", error=error, times=ALWAYS, path="audit.log"):
        server.spawn()
        assert server.wait() == code, server.log
    server.await_end_of_log()
    assert "[log] audit: cannot write to ./audit.log" in server.log
