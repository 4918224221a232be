"""The Debian package: what is in it, and its life in a throw-away machine with a real systemd: installed, upgraded
under load to a version that works and to one that does not, removed, purged; and the same without systemd."""

import re
import shutil
import subprocess

import pytest

from harness.load import Load
from harness.machine import Machine, machine, why_not    # noqa: F401
from harness.package import Service, nothing_lost, other_version, output_of, package, whole_package    # noqa: F401
from harness.server import ROOT

CLIENTS = dict(slow=4)


def fields(package):
    rows = output_of("dpkg-deb", "--field", package)
    return dict(row.split(": ", 1) for row in rows.splitlines() if re.match("[A-Z]", row))


def contents(package):
    """{path: (mode, owner)}"""
    rows = [row.split(None, 5) for row in output_of("dpkg-deb", "--contents", package).splitlines()]
    return {row[5][1:]: (row[0], row[1]) for row in rows}


# ---- as a file ----

def test_fields(package):
    """Version and maintainer from the tree."""
    found = fields(package)
    version = re.search(r"project\(colmeia VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert (found["Package"], found["Version"], found["Section"], found["Priority"]) == \
        ("colmeia", version, "web", "optional")
    assert found["Architecture"] == output_of("dpkg", "--print-architecture").strip()
    changelog = (ROOT / "etc/debian/changelog").read_text()
    assert re.search(r"^ -- (.*>)  ", changelog, re.MULTILINE)[1] == found["Maintainer"]
    assert "systemd | systemd-standalone-sysusers" in found["Depends"]


def test_contents(package, place):
    """All in its conventional place and root's; what is below /etc may be changed, and only that."""
    found = contents(package)
    files = {path for path in found if not path.endswith("/")}
    for path in ["/usr/bin/colmeia", "/etc/colmeia/colmeia.ini", "/etc/logrotate.d/colmeia",
                 *(f"/usr/lib/systemd/system/{unit}" for unit in ["colmeia.service", "colmeia.socket",
                                                                  "colmeia@.service", "colmeia@.socket"]),
                 "/usr/lib/sysusers.d/colmeia.conf", "/usr/lib/tmpfiles.d/colmeia.conf",
                 "/usr/share/doc/colmeia/changelog.gz", "/usr/share/doc/colmeia/copyright"]:
        assert path in files
    output_of("dpkg-deb", "--control", package, place / "control")
    conffiles = (place / "control/conffiles").read_text().split()
    assert sorted(conffiles) == sorted(path for path in files if path.startswith("/etc/"))
    for path, (mode, owner) in found.items():
        program = path.endswith("/") or path == "/usr/bin/colmeia"
        assert (mode[1:], owner) == ("rwxr-xr-x" if program else "rw-r--r--", "root/root"), path


@pytest.mark.long
def test_libraries(whole_package):
    """As the program needs them."""
    depends = fields(whole_package)["Depends"]
    for library in "libc6 (>= ", "libev4 (>= ", "libsqlite3-0 (>= ", "libsodium23 (>= ", "libjwt0 (>= ":
        assert library in depends


@pytest.mark.long
def test_lintian(whole_package):
    """Debian's own judge has nothing to say; what is overridden, and why: etc/debian/overrides."""
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    done = subprocess.run(["lintian", "--no-cfg", "--allow-root", str(whole_package)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


# ---- in a machine ----

@pytest.fixture
def service(machine):
    return Service(machine)


def started(service):
    """The master's time of start: it is still that very process."""
    return service.machine.run("ps", "-o", "pid=,lstart=", "-p", str(service.pid()))


def owner_of(machine, path):
    return machine.run("stat", "-c", "%U:%G %a", path).strip()


def test_life(service, machine, package, place):
    service.install(package)
    assert service.is_active() and service.systemctl("is-enabled").strip() == "enabled"
    assert "disabled" in machine.run("systemctl", "is-enabled", "colmeia.socket", code=1)
    assert service.get("/healthcheck") == 200
    assert owner_of(machine, "/etc/colmeia") == "root:colmeia 750"
    assert owner_of(machine, "/var/lib/colmeia/database.db").startswith("colmeia:colmeia ")
    with open(machine.root / "etc/colmeia/colmeia.ini", "a") as file:
        file.write("\n# an administrator was here\n")
    before = started(service)

    newer = other_version(package, place, "9.9.9")
    broken = other_version(package, place, "9.9.10", conduct="boot_crash")
    with machine.network(), Load(service, **CLIENTS) as load:
        load.await_progress(3)
        said = service.install(newer)
        assert "was not upgraded" not in said
        assert service.status()["version"] == "9.9.9"
        load.await_progress(3)
        said = service.install(broken)
        assert re.search(r"colmeia\.service was not upgraded: the version before goes on serving", said), said
        assert re.search(r"reload 2 failed: rolled back from .*killed by signal 6", said), said
        load.await_progress(3)
        service.install(package)        # and on to one that works: the file is another again
        assert service.status()["version"] == fields(package)["Version"]
        load.await_progress(3)
    assert started(service) == before, "all the while the same process"
    assert "an administrator was here" in (machine.root / "etc/colmeia/colmeia.ini").read_text()
    assert nothing_lost(load)["created"]

    machine.run("dpkg", "--remove", "colmeia")
    assert not service.is_active()
    assert not (machine.root / "usr/bin/colmeia").exists()
    for path in "var/lib/colmeia/database.db", "var/lib/colmeia/secret.key", "etc/colmeia/colmeia.ini":
        assert (machine.root / path).exists(), "a removal keeps it"

    service.install(package)
    assert service.is_active(), "it is started again"
    assert service.get("/users/1") == 200, "with what was stored"
    machine.run("systemctl", "enable", "colmeia.socket", "colmeia@blue.service")
    said = machine.run("dpkg", "--purge", "colmeia")
    assert {f"colmeia: deleted {path}" for path in ["/var/lib/colmeia", "/var/log/colmeia"]} <= set(said.splitlines())
    assert left_behind(machine) == {"/etc/systemd/system/colmeia.service.d"}, "the test's own"
    assert machine.run("id", "-u", "colmeia").strip().isdigit(), "files elsewhere may be its own"


def left_behind(machine):
    said = machine.run("find", "/etc", "/run", "/usr/bin", "/usr/lib/systemd", "/usr/lib/sysusers.d",
                       "/usr/lib/tmpfiles.d", "/usr/share/doc", "/usr/share/man", "/var/lib", "/var/log",
                       "-maxdepth", "4", "-name", "*colmeia*", "-print", "-prune")
    return set(said.split())


def test_what_the_administrator_stopped(service, machine, package, place):
    """Disabled stays disabled and is not started by an upgrade."""
    service.install(package)
    machine.run("systemctl", "disable", "--now", "colmeia.service")
    service.install(other_version(package, place, "9.9.9"))
    assert not service.is_active()
    assert "disabled" in service.systemctl("is-enabled", code=1)


def test_instances_are_upgraded_and_purged_too(machine, package, place):
    main, blue = Service(machine), Service(machine, "colmeia@blue.service", ("127.0.0.1", 8001))
    main.install(package)
    (machine.root / "etc/colmeia/blue.ini").write_text("[server]\nbind = 127.0.0.1:8001\n")
    machine.run("systemctl", "start", blue.unit)
    before = started(main), started(blue)
    assert (main.get(), blue.get()) == (200, 200)
    assert owner_of(machine, "/var/lib/colmeia@blue/database.db").startswith("colmeia:colmeia ")
    main.install(other_version(package, place, "9.9.9"))
    assert (started(main), started(blue)) == before
    for control in "/run/colmeia/ctl.sock", "/run/colmeia@blue/ctl.sock":
        assert '"version":"9.9.9"' in machine.run("colmeia", "ctl", "--control", control, "--json", "status")
    said = machine.run("dpkg", "--purge", "colmeia")
    assert "colmeia: deleted /var/lib/colmeia@blue" in said
    assert "colmeia: /etc/colmeia holds files of yours and stays" in said
    assert not main.is_active() and not blue.is_active()
    assert not (machine.root / "var/lib/colmeia@blue").exists()
    assert (machine.root / "etc/colmeia/blue.ini").exists()


def test_without_systemd(place, package):
    """As in a container or a chroot: the user and the directories are there, and nobody starts anything."""
    reason = why_not()
    if reason:
        pytest.skip(f"SKIP: {reason}")
    with Machine(place, init=False) as machine:
        def dpkg(*words):
            return machine.run("dpkg", *words)
        dpkg("--install", machine.take(package))
        assert owner_of(machine, "/etc/colmeia") == "root:colmeia 750"
        assert machine.run("runuser", "-u", "colmeia", "--", "colmeia", "check").startswith("configuration ok")
        dpkg("--install", machine.take(other_version(package, place, "9.9.9")))
        assert "9.9.9" in machine.run("colmeia", "version")
        assert "colmeia: master" not in machine.run("ps", "ax", "-o", "args=")
        dpkg("--remove", "colmeia")
        dpkg("--purge", "colmeia")
        assert left_behind(machine) == set()
