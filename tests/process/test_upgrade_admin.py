"""The admin listener over upgrades in place."""

import json
from pathlib import Path

import pytest

from harness.server import BINARY, FAST, await_true
from process.test_admin import ADMIN, Admin, counters, grow
from process.test_upgrade import LAYOUT, NEWER, install


@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
def test_upgrade(serve, place, source):
    """The child is the new program's, on the same door; and no counter goes backwards, not even into
    another layout of the shared memory."""
    (place / "bin").mkdir()
    program = install(BINARY, place / "bin" / "colmeia")
    server = serve(binary=program, workers=1, config={**FAST, **ADMIN})
    admin = Admin(server).await_ready()
    pid, inode = admin.pid(), Path(admin.address).stat().st_ino
    with server.api() as api:
        for _ in range(20):
            assert api.get("/users/").status_code == 200
    seen = counters(admin.metrics())
    assert seen['colmeia_request_duration_seconds_count{method="GET",route="/users/",class="2xx"}'] >= 20
    install(source, program)
    server.ctl("upgrade", "--wait")
    await_true("another one serves", lambda: admin.pid() not in (pid, None))
    await_true("it is the new program's", lambda: json.loads(admin.ask("/status.json").body)["status"]["version"] == "9.9.9")
    grow(seen, counters(admin.metrics()))
    assert Path(admin.address).stat().st_ino == inode
    assert admin.ready()[0] == 200


def test_upgrade_that_goes_back(serve, place):
    (place / "bin").mkdir()
    program = install(BINARY, place / "bin" / "colmeia")
    server = serve(binary=program, workers=1, config={**FAST, **ADMIN})
    admin = Admin(server).await_ready()
    seen = counters(admin.metrics())
    install(NEWER, program, "boot_crash")
    server.ctl("upgrade", "--wait", code=1)
    await_true("one serves", admin.pid)
    admin.await_ready()
    grow(seen, counters(admin.metrics()))
    assert json.loads(admin.ask("/status.json").body)["status"]["version"] != "9.9.9"
    install(BINARY, program)
