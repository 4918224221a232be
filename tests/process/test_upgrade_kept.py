"""What needs a restart is left as it is by upgrades, too: there and back, whatever the files say by then."""

import os
import signal

import pytest

from harness.server import BINARY, FAST, await_true, open_files, run_verb
from process.test_upgrade import LAYOUT, NEWER, install, own_version, program, version    # noqa: F401: a fixture
from process.test_upgrade_fails import PATIENT

LEFT = r"WARN .*database\.url: .*other\.db.*restart and is left as it is"


def databases(server):
    """{name} of the database files that workers have open."""
    return {os.path.basename(name) for pid in server.workers() for name in open_files(pid).values()
            if name.endswith(".db")}


def replaced(server, count):
    """Each worker dies from outside, and another has come for it."""
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.await_workers(count, without=before)


@pytest.fixture
def other(place):
    """A database that could be used at once."""
    assert run_verb(place, "migrate", env={"DATABASE_URL": "sqlite:///other.db"}).returncode == 0
    return "sqlite:///other.db"


def name_other(server, other):
    """A reload leaves the database as it is, and takes what the file says for read."""
    server.configure(database__url=other)
    server.reload()
    server.await_line(LEFT)
    assert databases(server) == {"database.db"}


@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
def test_upgrade_leaves_it(serve, program, other, source):
    server = serve(binary=program, workers=2, config=FAST)
    name_other(server, other)
    install(source, program)
    before = server.mark()
    assert "configuration unchanged, program 9.9.9" in server.reload()
    assert databases(server) == {"database.db"}
    server.await_line(LEFT, after=before)
    replaced(server, 2)
    assert databases(server) == {"database.db"}
    before = server.mark()
    server.send_signal(signal.SIGUSR2)
    server.await_line(r"reload 3: 2 workers replaced", after=before)
    assert databases(server) == {"database.db"}, "kept for the next one after it"
    server.await_line(LEFT, after=before)
    server.restart()
    assert databases(server) == {"other.db"}, "it was a restart"


def test_said_and_upgraded_at_once(serve, program, other):
    server = serve(binary=program, workers=2, config=FAST)
    server.configure(database__url=other)
    install(NEWER, program)
    assert "configuration changed, program 9.9.9" in server.reload()
    server.await_line(LEFT)
    replaced(server, 2)
    assert databases(server) == {"database.db"}


@pytest.mark.parametrize("conduct", ["boot_crash", "adopt_crash"])
def test_way_back_leaves_it(serve, place, program, other, conduct):
    server = serve(binary=program, workers=2, config=PATIENT)
    name_other(server, other)
    bad = install(NEWER, place / "bin" / "bad", conduct)
    assert "rolled back from" in server.ctl("upgrade", "--binary", str(bad), "--wait", code=1)["error"]
    assert version(server) == own_version()
    assert databases(server) == {"database.db"}
    replaced(server, 2)
    assert databases(server) == {"database.db"}, "as those that were there all along"


def test_worker_born_in_between(serve, place, program, other):
    """An old worker dies while the new program is there, before that has workers of its own that serve."""
    server = serve(binary=program, workers=2, config=PATIENT)
    name_other(server, other)
    old = server.workers()
    bad = install(NEWER, place / "bin" / "bad", "late_crash")
    server.ctl("upgrade", "--binary", str(bad))
    server.await_line("has taken over")
    os.kill(list(old)[0], signal.SIGKILL)
    server.await_line("reload 2 failed: rolled back")
    await_true("two workers serve", lambda: len(server.workers()) == 2)
    assert databases(server) == {"database.db"}


def test_key_of_another_version(serve, place, other):
    """It cannot be kept, which is said; all others are."""
    (place / "bin").mkdir()
    program = install(NEWER, place / "bin" / "colmeia", "own_key")
    server = serve(binary=program, workers=1, config=FAST)
    name_other(server, other)
    install(BINARY, program)
    assert "(was 9.9.9)" in server.reload()
    server.await_line(r"WARN .*server\.shoe_size: its present value is not kept")
    assert databases(server) == {"database.db"} and version(server) == own_version()


def test_value_of_another_version(serve, place):
    """Not another database in its stead: the upgrade is refused, before anything happens."""
    (place / "bin").mkdir()
    program = install(NEWER, place / "bin" / "colmeia", "own_value")
    server = serve(binary=program, workers=1, config=FAST)
    before = server.workers()
    install(BINARY, program)
    told = server.ctl("reload", "--wait", code=1)
    assert "database.url: its present value: \"clay\" databases are not supported" in told["error"], told
    assert "this needs a restart" in told["error"]
    assert server.workers() == before and version(server) == "9.9.9"
    assert "handing over" not in server.log
