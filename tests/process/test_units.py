"""What etc/ brings for systemd and its companions, judged by their own tools, and where it is installed."""

import grp
import os
import pwd
import re
import shutil
import subprocess

import pytest

from harness.server import BINARY, ROOT

ETC = ROOT / "etc"
EXPOSURE_MAX = 2.0


def tool(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    return path or pytest.skip(f"{name} is not installed")


def run(*argv, **options):
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, **options)


def run_well(*argv, **options):
    done = run(*argv, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


SERVICES = ["colmeia.service", "colmeia@.service"]
SOCKETS = ["colmeia.socket", "colmeia@.socket"]


@pytest.fixture
def installed(place):
    """The units that etc/install.cmake makes for /usr."""
    run_well(tool("cmake"), f"-DETC={ETC}", f"-DMADE={place / 'made'}", "-DCMAKE_INSTALL_PREFIX=/usr", "-P",
             ETC / "install.cmake", env={**os.environ, "DESTDIR": str(place / "installed")})
    for name in SOCKETS:
        shutil.copy(ETC / name, place / "installed/usr/lib/systemd/system")
    return place / "installed/usr/lib/systemd/system"


@pytest.fixture
def units(place, installed):
    """Copies of them, as if this build were there."""
    for name in SERVICES + SOCKETS:
        (place / name).write_text((installed / name).read_text().replace("/usr/bin/colmeia", str(BINARY)))
    return place


def as_instance(units, name):
    """Its path; templates get a name, as systemd gives them one."""
    if "@" not in name:
        return units / name
    for template in SERVICES[1], SOCKETS[1]:
        (units / template).rename(units / template.replace("@", "@blue"))
    return units / name.replace("@", "@blue")


@pytest.mark.parametrize("name", SERVICES)
def test_unit_is_well_closed(units, name):
    analyze = tool("systemd-analyze")
    text = run_well(analyze, "security", "--offline=yes", "--no-pager", as_instance(units, name))
    exposure = re.search(r"Overall exposure level for colmeia\S*: (\d+\.\d+)", text)
    assert float(exposure[1]) <= EXPOSURE_MAX, text


@pytest.mark.parametrize("name", SERVICES + SOCKETS)
def test_units_are_well_formed(units, name):
    """Not a word: an unknown key would only be a warning."""
    analyze = tool("systemd-analyze")
    assert run_well(analyze, "verify", "--man=no", as_instance(units, name)) == ""


def test_an_instance_shares_nothing(installed):
    """Every path of the template is the instance's own; all else is as in the one it is made from."""
    one, other = [(installed / name).read_text().splitlines() for name in SERVICES]
    assert len(one) == len(other)
    differences = [row for row, was in zip(other, one) if row != was]
    assert differences == [
        "Description=Colmeia users API (%i)",
        "ExecStart=/usr/bin/colmeia --config /etc/colmeia/%i.ini",
        "ExecReload=/usr/bin/colmeia ctl --config /etc/colmeia/%i.ini reload --wait --timeout 140",
        "WorkingDirectory=%S/colmeia@%i", "RuntimeDirectory=colmeia@%i", "StateDirectory=colmeia@%i",
        "LogsDirectory=colmeia@%i"]


def test_reload_command_is_one_of_ours(place):
    """ExecReload= and ExecStart= in a directory where nothing runs: known words, nobody to talk to."""
    (line,) = re.findall(r"^ExecReload=/usr/bin/colmeia (.*)$", (ETC / "colmeia.service").read_text(), re.MULTILINE)
    done = run(BINARY, *line.split(), cwd=place, env={"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(place)})
    assert done.returncode == 3, done.stderr       # cannot connect; 2 would be usage


def setting(name):
    (value,) = re.findall(rf"^{name}=(\d+)$", (ETC / "colmeia.service").read_text(), re.MULTILINE)
    return int(value)


def test_room_for_threads():
    """As many workers as cores, twice during a reload; each with a thread for each core and those of its own."""
    cores, others = 64, 8
    assert setting("TasksMax") >= 2 * cores * (cores + others)


def test_a_reload_has_its_time():
    """The waiting command ends before systemd ends it, and not before a reload with the defaults does."""
    check_s, boot_s, settle_s, graceful_s = 10, 60, 2, 30
    (wait_s,) = re.findall(r"^ExecReload=.* --timeout (\d+)$", (ETC / "colmeia.service").read_text(), re.MULTILINE)
    assert check_s + boot_s + settle_s + graceful_s < int(wait_s) < setting("TimeoutStartSec")


@pytest.mark.parametrize("ended, said", [
    ("code=exited ; status=1", "the version before goes on serving"),
    ("code=exited ; status=4", "is still being upgraded"),
    ("code=killed ; status=15", "is still being upgraded"),
    (None, ""),
])
def test_what_a_package_says_of_a_reload(place, ended, said):
    """postinst, with commands in systemd's place: a command that only waited too long is no failed upgrade."""
    script, stubs = place / "postinst", place / "bin"
    script.write_text((ETC / "debian/postinst").read_text().replace("/run/systemd/system", str(place)))
    stubs.mkdir()
    for name, does in {
        "systemctl": f'case "$*" in *list-units*) echo colmeia.service x ;; *ExecReload*) echo "{{ pid=7 ; {ended} }}" ;;'
                     " esac",
        "deb-systemd-invoke": f"exit {1 if ended else 0}",
        **dict.fromkeys(["systemd-sysusers", "systemd-tmpfiles", "deb-systemd-helper", "journalctl"], ":"),
    }.items():
        (stubs / name).write_text(f"#!/bin/sh\n{does}\n")
        (stubs / name).chmod(0o755)
    done = run("sh", script, "configure", env={"PATH": f"{stubs}:/usr/bin:/bin"})
    assert done.returncode == 0
    assert said in done.stderr and done.stderr.count("colmeia.service") == (2 if "before" in said else bool(said))


def test_user(place):
    sysusers = tool("systemd-sysusers")
    (place / "etc").mkdir()
    run_well(sysusers, f"--root={place}", ETC / "colmeia.sysusers")
    rows = [row.split(":") for row in (place / "etc/passwd").read_text().splitlines()]
    assert [(row[0], row[5], row[6]) for row in rows] == [("colmeia", "/var/lib/colmeia", "/usr/sbin/nologin")]
    service = (ETC / "colmeia.service").read_text()
    assert "\nUser=colmeia\n" in service and "\nGroup=colmeia\n" in service


def test_directory(place):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to a group that is none of its own")
    tmpfiles, sysusers = tool("systemd-tmpfiles"), tool("systemd-sysusers")
    (place / "etc").mkdir()
    run_well(sysusers, f"--root={place}", ETC / "colmeia.sysusers")
    run_well(tmpfiles, f"--root={place}", "--create", ETC / "colmeia.tmpfiles")
    gid = int(re.search(r"^colmeia:x:(\d+):", (place / "etc/group").read_text(), re.MULTILINE)[1])
    made = (place / "etc/colmeia").stat()
    assert (made.st_mode & 0o7777, made.st_uid, made.st_gid) == (0o750, 0, gid)


def test_logrotate(place):
    """As under the unit: the directory is the server's, the log in it systemd's, which is root; the audit log is
    the server's own and is replaced, and the server is told."""
    logrotate = tool("logrotate")
    if os.geteuid() != 0:
        pytest.skip("only root can give files to others")
    logs, config, stub = place / "colmeia", place / "logrotate", place / "bin/systemctl"
    who, group = "nobody", grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    text = (ETC / "colmeia.logrotate").read_text().replace("/var/log/", f"{place}/")
    config.write_text(re.sub(r"(su root|su colmeia|0600 colmeia) colmeia",
                             lambda m: f"{m[1]} {group}".replace("colmeia", who), text))
    config.chmod(0o644)
    place.chmod(0o755)
    logs.mkdir()
    shutil.chown(logs, who, group)
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$@" >>{place}/told\n')
    stub.chmod(0o755)
    for name, mode in [("colmeia.log", 0o644), ("audit.log", 0o600)]:
        (logs / name).write_text(f"{name}\n")
        (logs / name).chmod(mode)
    shutil.chown(logs / "audit.log", who, group)
    before = {name: (logs / name).stat() for name in ("colmeia.log", "audit.log")}
    run_well(logrotate, "--force", "--state", place / "state", config,
             env={"PATH": f"{stub.parent}:{os.environ['PATH']}"})
    after = {name: (logs / name).stat() for name in before}
    for name in before:
        assert (logs / f"{name}.1").read_text() == f"{name}\n" and after[name].st_size == 0
        assert after[name].st_mode == before[name].st_mode and after[name].st_uid == before[name].st_uid
    assert after["colmeia.log"].st_ino == before["colmeia.log"].st_ino, "systemd holds it open"
    assert (logs / "audit.log.1").stat().st_ino == before["audit.log"].st_ino, "lines that come meanwhile are in it"
    assert (place / "told").read_text() == "kill --kill-whom=main --signal=USR1 colmeia.service colmeia@*.service\n"


def test_install(place):
    """Everything in its conventional place; the unit starts what was installed."""
    cmake = tool("cmake")
    if not (BINARY.parent / "CMakeCache.txt").exists():
        pytest.skip("this binary does not stand in its build directory")
    run_well(cmake, "--install", BINARY.parent, env={**os.environ, "DESTDIR": str(place)})
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    docs = "usr/local/share/doc/colmeia"
    licences = {f"{docs}/swagger-ui/{name}" for name in ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")}
    licences |= {f"{docs}/redoc/{name}" for name in ("LICENSE", "redoc.standalone.js.LICENSE.txt")}
    assert found == {
        *(licences if (BINARY.parent / "assets/made").exists() else ()),
        *((f"{docs}/zxcvbn-ts-language-common/LICENSE.txt",) if (BINARY.parent / "common/made").exists() else ()),
        "usr/local/bin/colmeia",
        *(f"usr/local/lib/systemd/system/{name}" for name in SERVICES + SOCKETS),
        "usr/local/lib/sysusers.d/colmeia.conf", "usr/local/lib/tmpfiles.d/colmeia.conf",
        "usr/local/etc/logrotate.d/colmeia",
        *(f"{docs}/{name}" for name in ("colmeia.ini", "notify-reload.conf", "README.md", "prometheus-alerts.yml",
                                        "grafana-dashboard.json")),
        "usr/local/share/man/man1/colmeia-ctl.1", "usr/local/share/man/man5/colmeia.ini.5",
        "usr/local/share/man/man8/colmeia.8", "usr/local/share/bash-completion/completions/colmeia",
    }
    unit = (place / "usr/local/lib/systemd/system/colmeia.service").read_text()
    assert unit == (ETC / "colmeia.service").read_text().replace("/usr/bin/", "/usr/local/bin/")
