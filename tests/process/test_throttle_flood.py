"""A hundred thousand accounts and addresses that nobody has, each tried once: the table stays as long as it
is, the account under attack still has to wait, and whoever knows a password gets in. (Ten million keys:
tests/unit/test_throttle_flood.c.)"""

import os
import threading

import pytest

from harness.server import open_files
from harness.wire import Wire
from process.test_throttle import counter, lock, log_in

FLOOD, THREADS = 100_000, 8
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def table_bytes(server):
    (fd,) = [fd for fd, name in open_files(server.process.pid).items() if "colmeia-throttle" in name]
    return os.stat(f"/proc/{server.process.pid}/fd/{fd}").st_blocks * 512


@pytest.mark.long
def test_flood(serve):
    server = serve(workers=2, config={"log.level": "info", "log.access": "off", "debug.enabled": "no"})
    wrong = []

    def flood(number):
        with Wire(server.tcp()) as wire:
            for i in range(number, FLOOD, THREADS):
                body = b"username=nobody%d@test.com&password=x" % i
                address = f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
                answer = wire.ask("POST", "/auth/token", [FORM, ("X-Forwarded-For", address)], body).answer()
                if answer.status != 401:
                    wrong.append(answer)
    with server.api() as api:
        assert api.sign_up("Victim").status_code == 201 and api.sign_up("Innocent").status_code == 201
        for i in range(12):
            lock(api, "victim@test.com", address=f"192.0.2.{i}")
        threads = [threading.Thread(target=flood, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        refused = 0
        for thread in threads:
            while thread.is_alive():
                answer = log_in(api, "innocent@test.com", "testtest-pw", address="198.51.100.7")
                assert answer.status_code == 200
                refused += log_in(api, "victim@test.com", address="192.0.2.99").status_code == 429
                thread.join(0.2)
        assert wrong == [] and refused > 10
        assert counter(server, "logins_failed") >= FLOOD
        assert table_bytes(server) <= 65536 * 8 + 4096
        assert lock(api, "victim@test.com", address="192.0.2.99") >= 1
        assert lock(api, "victim@test.com", address="192.0.2.1") >= 1
