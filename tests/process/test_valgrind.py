"""valgrind's memcheck over the real program: it starts, answers a request of each kind, reloads and stops,
and never reads what nobody wrote, touches what is not its own, or loses memory or descriptors."""

import os
import re
import subprocess

import pytest

from harness.nth import PASSWORD, Requests
from harness.server import ROOT, Server

pytestmark = pytest.mark.long
COMMAND = ["valgrind", "--quiet", "--error-exitcode=86", "--leak-check=full", "--errors-for-leak-kinds=definite",
           "--trace-children=yes", "--trace-children-skip=*/setpriv,*/setarch", "--show-leak-kinds=definite",
           "--child-silent-after-fork=no"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The program without sanitizers, which valgrind cannot live with, and with symbols."""
    build = tmp_path_factory.mktemp("valgrind")
    for argv in (["cmake", "--preset", "dev", "-B", str(build), "-DCOLMEIA_SANITIZE=", "-DCOLMEIA_TESTS=OFF",
                  "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"],
                 ["cmake", "--build", str(build), "--target", "colmeia"]):
        subprocess.run(argv, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return build / "colmeia"


def test_smoke(place, plain):
    server = Server(place, workers=2, binary=plain, config={"supervisor.settle": "100ms", "log.level": "info"})
    try:
        server.spawn(COMMAND)
        server.await_ready()
        requests = Requests(server)
        got = {kind: requests.ask(kind) for kind in requests.kinds}
        assert set(got.values()) <= {200, 201, 307, 400, 401, 403, 404, 405, 409, 413, 422}, got
        with server.api() as api:
            token = {"authorization": f"Bearer {api.login('first@test.com', PASSWORD)}"}
            body = {"username": "second", "email": "first@test.com", "password": PASSWORD}
            assert api.put("/users/1", headers=token, json=body).status_code == 200
            token = {"authorization": f"Bearer {api.login('first@test.com', PASSWORD)}"}
            assert api.delete("/users/1", headers=token).status_code == 200
        server.reload()
        for command in (["status"], ["metrics"], ["events"], ["debug", "off"]):
            assert server.run_ctl(*command).returncode == 0
        server.stop()
        server.await_end_of_log()
        found = [line for line in server.lines if re.match(r"==\d+==", line)]
        assert not found, "\n".join(found)
        assert "exited with code 86" not in server.log
    finally:
        server.kill()
    assert not os.path.exists(place / "ctl.sock")
