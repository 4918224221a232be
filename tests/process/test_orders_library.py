"""libcurl, which workers load with the first order: not before, off the loop, and what is said when it is
not to be had."""

import json
import re

import pytest

from harness.orders import KEY, KNOWN, are_built_in, items_path
from harness.server import run_verb, write_ini

BROKEN = r"libcurl\.so\.4: file too short"


@pytest.fixture
def false_libcurl(place):
    """Where those who have *elsewhere* find libcurl first."""
    (place / "lib").mkdir()
    return place / "lib" / "libcurl.so.4"


@pytest.fixture
def elsewhere(false_libcurl):
    return {"LD_LIBRARY_PATH": str(false_libcurl.parent)}


@pytest.fixture
def broken(false_libcurl, elsewhere):
    """The environment of who finds a libcurl that is none."""
    false_libcurl.touch()
    return elsewhere


def missing(place):
    return f"[orders] upstream needs libcurl: {place}/lib/libcurl.so.4: file too short; install libcurl4"


def has_libcurl(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return "libcurl" in maps.read()


def test_it_is_loaded_with_the_first_order(serve, upstream):
    server = serve(config=upstream.config(), workers=1)
    server.secrets.add(KEY)
    worker = server.slots()[0]["pid"]
    with server.api() as api:
        assert api.get("/").status_code == 200
        assert not has_libcurl(worker) and not has_libcurl(server.process.pid)
        assert api.get(items_path(KNOWN)).status_code == 200
    assert has_libcurl(worker) and not has_libcurl(server.process.pid)
    assert server.slots()[0]["pid"] == worker


def test_a_libcurl_that_cannot_be_loaded_any_more(serve, upstream, false_libcurl, elsewhere):
    """Other routes are served; once it is there again, so are orders, by the same worker."""
    server = serve(config=upstream.config(), workers=1, env=elsewhere)
    server.secrets.add(KEY)
    worker = server.slots()[0]["pid"]
    false_libcurl.touch()
    with server.api() as api:
        assert api.get(items_path(KNOWN)).status_code == 502
        server.await_line("libcurl cannot be used: .*" + BROKEN)
        assert api.get("/").status_code == 200
        assert upstream.ask()["calls"] == 0
        false_libcurl.unlink()
        assert api.get(items_path(KNOWN)).status_code == 200
    assert server.slots()[0]["pid"] == worker


def test_check_doctor_and_reload_say_so(serve, upstream, place, broken):
    write_ini(place, upstream.config())
    done = run_verb(place, "check", "--config", "colmeia.ini", env=broken)
    assert (done.returncode, done.stdout) == (78, "") and done.stderr.startswith(missing(place)), done.stderr
    assert run_verb(place, "check", "--config", "colmeia.ini").returncode == 0
    found = json.loads(run_verb(place, "doctor", "--json", "--config", "colmeia.ini", env=broken).stdout)["findings"]
    (finding,) = [f for f in found if f["about"] == "libcurl"]
    assert finding["level"] == "fail" and "file too short" in finding["what"], finding
    found = json.loads(run_verb(place, "doctor", "--json", "--config", "colmeia.ini").stdout)["findings"]
    assert [f["level"] for f in found if f["about"] == "libcurl"] == ["ok"]


def test_a_start_that_needs_it_fails(serve, upstream, place, broken):
    """With the same line and code as the check, and before anything is opened or made."""
    server = serve.make(config=upstream.config(), env=broken)
    server.secrets.add(KEY)
    server.spawn()
    assert server.wait() == 78
    assert server.log.startswith(missing(place)) and len(server.log.splitlines()) == 1, server.log
    assert not [f.name for f in place.iterdir() if f.name.startswith(("database.db", "secret.key", "ctl.sock"))]


def test_an_upgrade_that_needs_it_is_refused(serve, upstream, place, broken):
    """In its rehearsal: what serves stays."""
    server = serve(workers=1, env=broken)
    server.secrets.add(KEY)
    before = server.slots()[0]["pid"]
    server.configure(**{name.replace(".", "__"): value for name, value in upstream.config().items()})
    assert server.run_ctl("upgrade", "--wait").returncode != 0
    server.await_line(re.escape(missing(place)))
    assert server.slots()[0]["pid"] == before


def test_a_reload_that_needs_it_is_refused(serve, upstream, broken):
    server = serve(workers=1, env=broken)
    server.secrets.add(KEY)
    before = server.slots()[0]["pid"]
    server.configure(**{name.replace(".", "__"): value for name, value in upstream.config().items()})
    assert server.run_ctl("reload", "--wait").returncode != 0
    server.await_line("upstream needs libcurl")
    assert server.slots()[0]["pid"] == before


@pytest.mark.skipif(are_built_in(), reason="this program was built with libcurl")
def test_a_program_that_was_built_without_it_says_so(place):
    write_ini(place, {"orders.upstream": "http://127.0.0.1:1", "orders.apikey": KEY})
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and "this program was built without libcurl (COLMEIA_CURL=OFF)" in done.stderr
