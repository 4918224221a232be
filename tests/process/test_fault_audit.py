"""The audit log on a disk that takes nothing."""

from harness.server import await_true
from process.test_audit import audited      # noqa: F401: a fixture


def test_a_full_disk_blocks_nobody_and_is_told(audited, faults):
    """Lines that cannot be written are counted, by the metrics and by the next line that can be."""
    server, trail = audited(env=faults.env, log__audit="./audit.log")
    with server.api() as api:
        faults.set("audit_write", "errno ENOSPC")
        for i in range(3):
            assert api.try_login(f"lost{i}@test.com", "wrong-4711").status_code == 401
        await_true("three are counted", lambda: server.status()["totals"]["audit_dropped"] == 3)
        faults.clear("audit_write")
        api.try_login("kept@test.com", "wrong-4711")
    trail.one("login", "failed", who="kept@test.com")
    assert trail.one("lines lost", "failed")["count"] == 3
    assert not [row for row in trail.rows() if row.get("who", "").startswith("lost")]
