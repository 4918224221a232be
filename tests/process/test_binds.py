"""Addresses: IPv4, IPv6, unix sockets, several at a time, taken ones, the queue's length."""

import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from harness.server import write_ini, run_verb
from harness.wire import Wire


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def greets(address):
    with Wire(address) as wire:
        return wire.get("/").status == 200


@needs_ipv6
def test_ipv6(serve):
    server = serve(bind="[::1]:0")
    assert server.tcp()[0] == "::1" and greets(server.tcp())


def test_unix_socket(serve, place):
    server = serve(bind="unix:http.sock")
    assert server.addresses == ["unix:http.sock"]
    assert stat.S_ISSOCK((place / "http.sock").stat().st_mode)
    assert greets(str(place / "http.sock"))
    server.stop()
    assert not (place / "http.sock").exists(), "a clean stop takes the path away"


@needs_ipv6
def test_several(serve, place):
    server = serve(bind=["127.0.0.1:0", "[::1]:0", "127.0.0.1:0", "unix:http.sock"])
    assert len(server.addresses) == 4
    assert len({server.tcp(0)[1], server.tcp(2)[1]}) == 2
    for address in [server.tcp(0), server.tcp(1), server.tcp(2), str(place / "http.sock")]:
        assert greets(address)


def test_bind_flags_replace_those_of_the_ini(serve):
    server = serve(config={"server.bind": "127.0.0.2:0"}, args=["--bind", "127.0.0.1:0", "--bind", "127.0.0.3:0"])
    assert [server.tcp(0)[0], server.tcp(1)[0]] == ["127.0.0.1", "127.0.0.3"]
    assert len(server.addresses) == 2


def test_stale_unix_socket_is_replaced(serve, place):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "http.sock"))
    serve(bind="unix:http.sock")
    assert greets(str(place / "http.sock"))


def one_error_line(text):
    lines = [line for line in text.splitlines() if " ERROR " in line]
    assert len(lines) == 1, text
    return lines[0]


def start_refused(place, bind, code):
    write_ini(place, {"server.bind": bind, "server.workers": "1"})
    done = run_verb(place, "--config", "colmeia.ini")
    assert done.returncode == code, done.stderr
    return one_error_line(done.stderr)


def test_port_in_use(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        line = start_refused(place, address, 4)
    assert address in line and "in use" in line
    assert not (place / "database.db").exists(), "nothing was started"
    assert not (place / "secret.key").exists()


def test_unix_socket_in_use(place):
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(place / "http.sock"))
        taken.listen()
        line = start_refused(place, "unix:http.sock", 4)
        assert "http.sock" in line and "in use" in line
    assert (place / "http.sock").exists(), "it is another's"


def test_unix_path_that_is_no_socket(place):
    (place / "http.sock").write_text("mine")
    assert "http.sock" in start_refused(place, "unix:http.sock", 4)
    assert (place / "http.sock").read_text() == "mine"


def test_address_of_another_machine(place):
    line = start_refused(place, "192.0.2.1:0", 4)   # RFC 5737: documentation only
    assert "192.0.2.1" in line


def test_one_bad_address_of_several_starts_nothing(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        start_refused(place, ["127.0.0.1:0", "unix:a.sock", "127.0.0.1:%d" % taken.getsockname()[1]], 4)
    assert not (place / "a.sock").exists() and not (place / "database.db").exists()


def queue_limit(port):
    """The length of the listen queue as the kernel has it."""
    text = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, check=True).stdout.decode()
    return int(text.split()[2])


def somaxconn():
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


@pytest.mark.parametrize("asked", [None, 7, 65535])
def test_backlog_is_what_the_kernel_allows(serve, asked):
    server = serve(config={"server.backlog": asked} if asked else {})
    effective = min(asked or 2048, somaxconn())
    assert queue_limit(server.tcp()[1]) == effective
    capped = [line for line in server.log.splitlines() if "somaxconn" in line]
    if (asked or 2048) > effective:
        assert len(capped) == 1 and str(asked) in capped[0] and str(effective) in capped[0]
    else:
        assert capped == []


def test_port_can_be_bound_again_at_once(serve):
    """With connections of the old server in TIME_WAIT."""
    first = serve(workers=1)
    address = first.tcp()
    assert greets(address)
    first.stop()
    second = serve(workers=1, bind="%s:%d" % address)
    assert second.tcp() == address and greets(address)


def test_unix_socket_is_no_executable(serve, place):
    serve(bind="unix:http.sock")
    mode = stat.S_IMODE((place / "http.sock").stat().st_mode)
    assert not mode & 0o002 or os.umask(os.umask(0)) == 0, f"writable by all: {mode:o}"


def test_host_names_are_not_looked_up(place):
    done = run_verb(place, "--bind", "example.org:80", "--workers", "1")
    assert done.returncode == 78 and re.search(r"example\.org", done.stderr)
