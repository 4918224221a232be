"""The shipped units under a real systemd, process 1 of a throw-away machine: start, reload, failed reload, restart
under connects, watchdog, failures, socket activation, instances, stop."""

import os
import re
import signal

import pytest

from harness.load import Load
from harness.machine import Machine, why_not
from harness.package import ADDRESS, DROP_IN, Service, drop_in, nothing_lost, package    # noqa: F401
from harness.server import await_true
from harness.wire import Wire

CLIENTS = dict(connect=1, slow=2)
MANY = 50


@pytest.fixture(scope="module")
def installed(package, tmp_path_factory):
    """One machine for all of them."""
    reason = why_not()
    if reason:
        pytest.skip(f"SKIP: no machine with systemd can be had here: {reason}")
    with Machine(tmp_path_factory.mktemp("units")) as machine:
        service = Service(machine)
        drop_in(machine, "test.conf", DROP_IN, "colmeia@.service")
        service.install(package)
        yield service


@pytest.fixture
def machine(installed):
    return installed.machine


@pytest.fixture
def service(installed, machine):
    """As just installed: running, its socket is not."""
    yield installed
    print(f"---- the machine's journal\n{machine.journal()[-20_000:]}")
    installed.address = ADDRESS
    configure(installed, "")
    (machine.root / "etc/systemd/system/colmeia.service.d/more.conf").unlink(missing_ok=True)
    machine.run("systemctl", "disable", "--now", "colmeia.socket", "colmeia@blue.socket", "colmeia@blue.service")
    machine.run("systemctl", "reset-failed")
    machine.run("systemctl", "restart", "colmeia.service")


def configure(service, text):
    (service.machine.root / "etc/colmeia/colmeia.ini").write_text(text)


def facts(pid):
    """What the kernel says of a process out here, {name: value}."""
    with open(f"/proc/{pid}/status") as rows:
        return dict(row.rstrip("\n").split(":\t", 1) for row in rows if ":\t" in row)


def test_start_reload_stop(service, machine):
    """`start` and `reload` return when it is done, and say how it went."""
    assert re.match(r"ready 2/2 gen 1 conns 0 rps \d+ queue 0/\d+$", service.show("StatusText"))
    pid = service.pid()
    with machine.network():
        idle = Wire(service.tcp())
    assert idle.get().status == 200
    service.systemctl("reload")
    assert service.pid() == pid
    assert re.match(r"ready 2/2 gen 2 .* last reload ok$", service.show("StatusText"))
    assert idle.get().status == 200

    configure(service, "[server]\nworker = 3\n")
    service.systemctl("reload", code=1)
    assert service.is_active() and service.pid() == pid
    assert re.match(r"ready 2/2 gen 2 .* last reload failed$", service.show("StatusText"))
    assert re.search(r'colmeia\.ini:2: .*did you mean "workers"', service.log)
    assert idle.get().status == 200

    configure(service, "")
    service.systemctl("stop")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert b"connection: close" not in idle.buffer
    service.systemctl("start")
    assert service.get() == 200


def test_it_is_shut_in(service, machine):
    """As the unit says, master and workers: no new privileges, one capability, a filter of system calls, a read-only
    machine, nobody else's processes, no home."""
    for row in machine.run("pgrep", "--uid", "colmeia").split():
        told = facts(machine.outside(int(row)))
        assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
        assert int(told["CapBnd"], 16) == int(told["CapEff"], 16) == 1 << 10, "CAP_NET_BIND_SERVICE"
        assert set(told["Uid"].split()) != {"0"}
    inside = ["nsenter", "--target", str(service.pid()), "--mount"]
    for path, code in [("/usr/x", 1), ("/etc/x", 1), ("/home/x", 1), ("/var/lib/colmeia/x", 0), ("/run/colmeia/x", 0)]:
        machine.run(*inside, "touch", path, code=code)


def test_it_restricts_itself_further(service, machine):
    """Its own filter beside the unit's, on who serves alone; and the audit log in the unit's log directory."""
    configure(service, "[server]\nseccomp = yes\n[log]\naudit = /var/log/colmeia/audit.log\n")
    service.systemctl("reload")
    master = service.pid()
    filters = {int(row): int(facts(machine.outside(int(row)))["Seccomp_filters"])
               for row in machine.run("pgrep", "--uid", "colmeia").split()}
    assert len(filters) == 3 and {n for pid, n in filters.items() if pid != master} == {filters[master] + 1}
    assert service.get() == 200
    service.systemctl("reload")
    log = machine.root / "var/log/colmeia/audit.log"
    assert re.search(r'event="control" outcome=begun who="uid \d+ pid \d+" from="control socket" what="reload --wait"',
                     log.read_text())
    assert log.stat().st_mode & 0o777 == 0o600 and log.stat().st_uid == (machine.root / "var/log/colmeia").stat().st_uid


def test_privileged_port(service):
    configure(service, "[server]\nbind = 127.0.0.1:80\n")
    service.systemctl("reload")
    service.address = ("127.0.0.1", 80)
    assert service.get() == 200


def test_restart_under_connects(service, machine):
    """With the socket enabled nobody is refused, whatever happens to the service."""
    machine.run("systemctl", "stop", "colmeia.service")
    machine.run("systemctl", "enable", "--now", "colmeia.socket")
    assert not service.is_active()
    assert service.get() == 200, "the first who knocks starts it"
    await_true("all its workers are ready", service.is_active)
    assert [row["source"] for row in service.status()["listeners"]] == ["systemd http"]
    with machine.network(), Load(service, **CLIENTS) as load:
        load.await_progress(3)
        for verb in "restart", "reload", "restart":
            pid = service.pid()
            service.systemctl(verb)
            assert (service.pid() == pid) == (verb == "reload")
            load.await_progress(3)
    nothing_lost(load)
    service.machine.run("systemctl", "stop", "colmeia.socket", "colmeia.service")
    with machine.network(), pytest.raises(ConnectionRefusedError):
        Wire(service.tcp())


def test_socket_outlives_a_crash(service, machine):
    """Who is not accepted yet when the master dies, and systemd kills its workers, is served by the next ones."""
    machine.run("systemctl", "stop", "colmeia.service")
    machine.run("systemctl", "start", "colmeia.socket", "colmeia.service")
    pid = service.pid()
    for row in machine.run("pgrep", "--parent", str(pid)).split():
        os.kill(machine.outside(int(row)), signal.SIGSTOP)
    with machine.network():
        wires = [Wire(service.tcp()).ask() for _ in range(MANY)]
    os.kill(machine.outside(pid), signal.SIGKILL)
    assert [wire.answer().status for wire in wires] == [200] * MANY
    await_true("another master", lambda: service.pid() not in (0, pid))
    assert int(service.show("NRestarts")) >= 1


def test_watchdog(service, machine):
    """A master that stands still is ended and replaced."""
    drop_in(machine, "more.conf", "[Service]\nWatchdogSec=1\nTimeoutAbortSec=2\n")
    service.systemctl("restart")
    pid = service.pid()
    os.kill(machine.outside(pid), signal.SIGSTOP)
    await_true("it is replaced", lambda: service.pid() not in (0, pid) and service.is_active())
    assert "Watchdog timeout" in service.log
    assert service.get() == 200


def test_bad_configuration_is_not_tried_again(service, machine):
    configure(service, "[server]\nbind = nowhere\n")
    machine.run("systemctl", "restart", "colmeia.service", code=1)
    assert (service.show("ActiveState"), service.show("ExecMainStatus"), service.show("NRestarts")) == \
        ("failed", "78", "0")


def test_instance_with_its_socket(service, machine):
    """Beside the main one, with a socket, a configuration and a database of its own."""
    ini = machine.root / "etc/colmeia/blue.ini"
    ini.write_text("")
    machine.run("systemctl", "enable", "--now", "colmeia@blue.socket")
    path = str(machine.root / "run/colmeia@blue.sock")
    with Wire(path) as wire:
        assert wire.get("/healthcheck").status == 200
    machine.run("systemctl", "reload", "colmeia@blue")
    ini.write_text("[log]\nlevel = loud\n")
    machine.run("systemctl", "reload", "colmeia@blue", code=1)
    ini.write_text("")
    machine.run("systemctl", "restart", "colmeia@blue")
    with Wire(path) as wire:
        assert wire.get().status == 200
    assert service.get() == 200
    for place in "colmeia", "colmeia@blue":
        assert (machine.root / f"var/lib/{place}/database.db").exists()
    machine.run("systemctl", "stop", "colmeia.service")
    assert (machine.root / "run/colmeia@blue/ctl.sock").is_socket(), "the other's end takes nothing away"
