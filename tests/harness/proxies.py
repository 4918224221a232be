"""Real proxies in front of the server under test: nginx and HAProxy of Debian, each on a port of ours."""

import shutil
import socket
import subprocess

import pytest

from harness.server import PATIENCE_S, await_true

NGINX = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr {errors};
worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f;
    uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    {http}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def program(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    return path or pytest.skip(f"{name} is not installed")


class Proxy:
    """A proxy on a port of ours: its log is in self.log()."""

    def __init__(self, place, port, argv, log=None):
        self.port, self.file = port, log
        self.output = open(place / "proxy.out", "w+b")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], cwd=place, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)
        await_true("the proxy listens", self.listens)

    def listens(self):
        assert self.process.poll() is None, self.log()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        except ConnectionRefusedError:
            return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        self.output.close()

    def log(self):
        with open(self.file or self.output.name, errors="replace") as lines:
            return lines.read()


def nginx(place, port, http, errors="warn", log=None):
    """Started with *http* inside its http block; its log: that file, or what it says."""
    path, config = program("nginx"), place / "nginx.conf"
    config.write_text(NGINX.format(place=place, http=http, errors=errors))
    return Proxy(place, port, [path, "-p", str(place), "-e", "stderr", "-c", str(config)], log)


def haproxy(place, port, config):
    path, file = program("haproxy"), place / "haproxy.cfg"
    file.write_text(config)
    return Proxy(place, port, [path, "-db", "-f", str(file)])
