"""The throttle, as clients and operators meet it: who has to wait, for how long, and what neither workers
that die nor reloads and upgrades make it forget. Clients come from everywhere, because the server believes
their X-Forwarded-For."""

import math
import os
import signal
import threading
import time

import pytest

from harness.server import FAST, await_true, bearer
from harness.wire import Wire

WRONG, TOO_MANY = {"detail": "Incorrect email or password"}, {"detail": "Too Many Requests"}
SLOW = {"auth.hash_memory": "64m", "auth.hash_iterations": "10"}


def come_from(address):
    return {"x-forwarded-for": address}


def log_in(api, email="teste@test.com", password="wrong-pw", address="192.0.2.1"):
    api.server.secrets.add(password)
    return api.post("/auth/token", data={"username": email, "password": password}, headers=come_from(address))


def statuses(api, count, *args, **words):
    return [log_in(api, *args, **words).status_code for _ in range(count)]


def sign_up(api, name, address="192.0.2.1"):
    return api.post("/users/", json={"username": name, "email": f"{name}@test.com", "password": "testtest-pw"},
                    headers=come_from(address))


def lock(api, *args, **words):
    """Failures until one has to wait; its seconds."""
    for _ in range(40):
        answer = log_in(api, *args, **words)
        if answer.status_code == 429:
            return int(answer.headers["retry-after"])
    raise AssertionError("nobody has to wait")


def counter(server, name):
    for line in server.ctl("metrics")["metrics"].splitlines():
        if line.startswith(f"colmeia_{name}_total "):
            return int(line.split()[1])
    raise AssertionError(f"no counter {name}")


@pytest.fixture
def api(serve):
    with serve().api() as api:
        assert api.sign_up().status_code == 201
        yield api


# ---- what it looks like -----------------------------------------------------------------------------

def test_the_answer(api):
    lock(api)
    with Wire(api.server.tcp()) as wire:
        body = b"username=teste@test.com&password=wrong-pw"
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Forwarded-For", "192.0.2.1")]
        lock(api)
        answer = wire.ask("POST", "/auth/token", headers, body).answer()
    assert (answer.status, answer.reason) == (429, "Too Many Requests")
    assert answer.names == ["date", "server", "retry-after", "content-length", "content-type"]
    assert answer.header("content-type") == "application/json"
    assert answer.body == b'{"detail":"Too Many Requests"}'
    assert 1 <= int(answer.header("retry-after")) <= 900


def test_unknown_accounts_are_like_known_ones(api):
    for email in "teste@test.com", "nobody@test.com", "", "no address", "Teste@test.com", "teste@test.com ":
        answers = [log_in(api, email) for _ in range(5)]
        if email:
            assert [a.status_code for a in answers] == [401] * 5 and answers[0].json() == WRONG
            assert lock(api, email) <= 4
    assert api.login() and log_in(api, password="testtest-pw", address="192.0.2.2").status_code == 200


def test_the_wait_grows_and_ends(api):
    begun, waits = time.monotonic(), []
    for _ in range(3):
        waits.append(lock(api))
        await_true("the wait is over", lambda: log_in(api).status_code == 401)
    assert waits == sorted(waits) and waits[0] <= 4, waits
    assert time.monotonic() - begun >= 1 + 2, "two waits at least were real"


def test_the_right_password_waits_as_well_and_then_forgives(api):
    lock(api)
    answer = log_in(api, password="testtest-pw")
    assert answer.status_code in (429, 200)     # the machine may have slept in between
    await_true("the wait is over", lambda: log_in(api, password="testtest-pw").status_code == 200)
    assert statuses(api, 5) == [401] * 5


def test_refused_logins_are_not_hashed_and_are_counted(api):
    lock(api)
    hashes, failed = counter(api.server, "hashes"), counter(api.server, "logins_failed")
    refused = counter(api.server, "logins_throttled")
    answers = statuses(api, 20)
    let_through = answers.count(401)
    assert let_through <= 3 and answers.count(429) == 20 - let_through
    assert counter(api.server, "hashes") == hashes + let_through
    assert counter(api.server, "logins_failed") == failed + let_through >= 5
    assert counter(api.server, "logins_throttled") == refused + 20 - let_through


# ---- who is counted together ------------------------------------------------------------------------

def test_addresses(api):
    """Another address of the same /64 is the same; another /64, another IPv4 address, and the IPv4 address
    in IPv6's clothes are what they are."""
    lock(api, address="2001:db8:1:2::1")
    lock(api, address="192.0.2.1")
    lock(api, address="[2001:db8:1:2:ffff::2]:4000")
    assert counter(api.server, "logins_failed") <= 10 + 4     # of three fives, two are one
    assert log_in(api, address="2001:db8:1:3::1").status_code == 401
    assert log_in(api, address="192.0.2.2").status_code == 401
    failed = counter(api.server, "logins_failed")
    lock(api, address="::ffff:192.0.2.1")
    assert counter(api.server, "logins_failed") <= failed + 3


def test_an_account_from_everywhere(api):
    for i in range(10):
        assert statuses(api, 5, address=f"198.51.100.{i}") == [401] * 5
    assert log_in(api, password="testtest-pw", address="203.0.113.9").status_code in (429, 200)
    lock(api, address="203.0.113.10")
    assert counter(api.server, "logins_failed") <= 55
    assert log_in(api, "other@test.com", address="203.0.113.10").status_code == 401


def test_an_address_whatever_the_account(serve):
    server = serve(config={"auth.throttle_address": "10", "auth.throttle_exempt": ["203.0.113.0/24", "2001:db8::/32"]})
    with server.api() as api:
        for address in "192.0.2.1", "203.0.113.1", "2001:db8::1":
            got = [log_in(api, f"u{i}@test.com", address=address).status_code for i in range(30)]
            if address == "192.0.2.1":
                assert got[:10] == [401] * 10 and got.count(429) >= 15
            else:
                assert got == [401] * 30
        assert statuses(api, 5, "x@test.com", address="203.0.113.1") == [401] * 5
        lock(api, "x@test.com", address="203.0.113.1")


def test_whom_nobody_forwards(serve, place):
    """Through a unix socket without X-Forwarded-For all are one; they are not counted as an address."""
    server = serve(bind=[f"unix:{place}/http.sock", "127.0.0.1:0"],
                   config={"auth.throttle_address": "3", "auth.create_limit": "1"})
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    got = []
    with Wire(f"{place}/http.sock") as wire:
        for i in range(10):
            got.append(wire.ask("POST", "/auth/token", form, b"username=u%d@test.com&password=x" % i).answer().status)
        assert got == [401] * 10
        got = [wire.ask("POST", "/auth/token", form, b"username=u@test.com&password=x").answer().status
               for _ in range(6)]
        assert got[:5] == [401] * 5
        for i in range(3):
            body = b'{"username":"u%d","email":"u%d@test.com","password":"pw"}' % (i, i)
            answer = wire.ask("POST", "/users/", [("Content-Type", "application/json")], body).answer()
            assert answer.status == 201


def test_switched_off(serve):
    with serve(config={"auth.throttle": "no", "auth.throttle_address": "2"}).api() as api:
        assert statuses(api, 70) == [401] * 70


# ---- many at once, over workers, and what does not make it forget -----------------------------------

def test_at_once_over_all_workers(api):
    begun, got = time.monotonic(), []

    def try_often():
        with api.server.api() as own:
            got.extend(statuses(own, 5))
    threads = [threading.Thread(target=try_often) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 1, 2, 4 … s after the fifth one more each
    most = 5 + int(math.log2(time.monotonic() - begun + 1.25))
    assert set(got) == {401, 429} and 5 <= got.count(401) <= most, got


def lock_again(api):
    """The five from before are remembered: one is let through, or two if the machine is slow."""
    await_true("the wait is over", lambda: log_in(api).status_code == 401)
    failed = counter(api.server, "logins_failed")
    lock(api)
    assert counter(api.server, "logins_failed") <= failed + 2


def test_reload_and_upgrade_do_not_forget(serve):
    server = serve(config=FAST)
    with server.api() as api:
        lock(api)
        server.reload()
        lock_again(api)
        pid = server.process.pid
        server.ctl("upgrade", "--wait")
        assert server.process.pid == pid
        lock_again(api)


def login_request(email, password="wrong-pw"):
    body = f"username={email}&password={password}".encode()
    return ("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded"),
                                    ("X-Forwarded-For", "192.0.2.1")], body)


def hashes_queued(server):
    return sum(slot["hashes_queued"] for slot in server.status()["slots"] if slot["state"] == "ready")


def test_a_worker_that_is_killed_amid_attempts(serve):
    """They stay counted: whoever can crash a worker must not gain guesses by it."""
    server = serve(workers=1, config={**SLOW, **FAST}).await_served()
    wires = [Wire(server.tcp()).ask(*login_request("teste@test.com")) for _ in range(5)]
    server.await_status("they are being hashed, or done",
                        lambda _: hashes_queued(server) + counter(server, "logins_failed") >= 5)
    (pid,) = server.workers()
    os.kill(pid, signal.SIGKILL)
    for wire in wires:
        wire.close()
    server.await_workers(1, without=[pid])
    more = [Wire(server.tcp()).ask(*login_request("teste@test.com")) for _ in range(5)]
    got = [wire.answer().status for wire in more]
    assert got.count(429) >= 2, got     # forgotten, none would be
    for wire in more:
        wire.close()


# ---- new accounts -----------------------------------------------------------------------------------

def test_new_accounts(serve):
    server = serve(config={"auth.create_limit": "3"})
    with server.api() as api:
        server.secrets.add("testtest-pw")
        assert [sign_up(api, name).status_code for name in ("a", "a", "b", "b", "a", "c")] == [
            201, 409, 201, 409, 409, 201]
        hashes = counter(server, "hashes")
        answer = sign_up(api, "d")
        assert (answer.status_code, answer.json()) == (429, TOO_MANY)
        assert 1 <= int(answer.headers["retry-after"]) <= 1200
        assert counter(server, "hashes") == hashes and counter(server, "sign_ups_throttled") == 1
        assert sign_up(api, "d", "192.0.2.2").status_code == 201
        token = log_in(api, "a@test.com", "testtest-pw").json()["access_token"]
        server.secrets.add(token)
        changed = {"username": "z", "email": "a@test.com", "password": "testtest-pw"}
        assert api.put("/users/1", json=changed, headers={**bearer(token), **come_from("192.0.2.1")}).status_code == 200


def test_new_accounts_are_free_by_default(api):
    assert [sign_up(api, f"u{i}").status_code for i in range(20)] == [201] * 20


# ---- the operator -----------------------------------------------------------------------------------

def test_the_operator_lifts_a_lock(serve):
    server = serve(config={"auth.throttle_address": "30", "auth.create_limit": "1"})
    with server.api() as api:
        lock(api, "jörg@test.com")
        lock(api, "other@test.com")
        assert server.ctl("throttle", "clear", "jörg@test.com")["ok"] is True
        assert statuses(api, 5, "jörg@test.com") == [401] * 5
        lock(api, "other@test.com")     # was not meant
        for i in range(40):
            log_in(api, f"u{i}@test.com")
        assert sign_up(api, "a").status_code == 201 and sign_up(api, "b").status_code == 429
        assert "by its own name" in server.ctl("throttle", "clear", "192.0.2.1")["text"]
        assert 429 in statuses(api, 2, "other@test.com")    # from there, but the account's
        assert sign_up(api, "b").status_code == 201 and sign_up(api, "c").status_code == 429
        assert [log_in(api, f"v{i}@test.com").status_code for i in range(20)] == [401] * 20
        lock(api, "jörg@test.com")
        server.ctl("throttle", "clear", "all")
        assert sign_up(api, "c").status_code == 201
        assert statuses(api, 5, "jörg@test.com") == [401] * 5
    assert server.run_ctl("throttle", "clear").returncode == 2
