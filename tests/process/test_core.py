"""What a core dump would tell: of the keys nothing, and of passwords nothing is anywhere once their request is
over. The processes' own memory is searched, which is what gcore(1) writes."""

import pytest

from harness.memory import search
from harness.orders import KEY, KNOWN, items_path
from harness.server import BINARY, await_true, bearer
from harness.wire import Wire, request

SIGNING_KEY = "planted-signing-key-4711-0123456789-abcdef"
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
JSON = [("Content-Type", "application/json")]

# Every way on which a password comes: its mark is PASSWORD-n.
MARKS = [f"PASSWORD-{n}-4711" for n in range(1, 12)]


def processes(server):
    return {server.process.pid: "master", **server.children()}


def must_be_readable(server):
    """A process can be read by its own user, or by root."""
    try:
        for pid in processes(server):
            with open(f"/proc/{pid}/mem", "rb"):
                pass
    except PermissionError:
        pytest.skip("this sandbox lets nobody read another process's memory")


def all_ways(server, api):
    """Right and wrong ones, in JSON, forms, multipart, chunks and pieces, long, escaped, refused and cut off."""
    url = "/auth/token"
    assert api.sign_up("ana", password=MARKS[0]).status_code == 201
    token = api.login("ana@test.com", MARKS[0])
    assert api.try_login("ana@test.com", MARKS[1] + "%3D+&=").status_code == 401
    assert api.post(url, files={"username": (None, "ana@test.com"), "password": (None, MARKS[2])}).status_code == 401
    escaped = '{"username":"bob","email":"bob@test.com","password":"\\u0041%s\\n"}' % MARKS[3]
    assert api.post("/users/", content=escaped, headers=dict(JSON)).status_code == 201
    broken = '{"username":"bob","email":"bob@test.com","password":"%s"' % MARKS[4]
    assert api.post("/users/", content=broken, headers=dict(JSON)).status_code == 422
    long = '{"username":"bob","email":"no","password":"%s","z":"%s"}' % (MARKS[5], "z" * 30000)
    assert api.post("/users/", content=long, headers=dict(JSON)).status_code == 422
    assert api.put("/users/1", headers=bearer(token), json={
        "username": "ana", "email": "ana@test.com", "password": MARKS[6]}).status_code == 200
    assert api.put("/users/2", headers=bearer(api.login("ana@test.com", MARKS[6])), json={
        "username": "ana", "email": "ana@test.com", "password": MARKS[7]}).status_code == 403
    body = b"username=ana%40test.com&password=" + MARKS[8].encode()
    with Wire(server.tcp()) as wire:
        wire.send(request("POST", url, [*FORM, ("Transfer-Encoding", "chunked")], None))
        for at in range(0, len(body), 7):
            wire.send(b"%x\r\n%s\r\n" % (len(body[at:at + 7]), body[at:at + 7]))
        assert wire.send(b"0\r\n\r\n").answer().status == 401
    body = b"username=ana%40test.com&password=" + MARKS[9].encode() + b"x" * 20000
    with Wire(server.tcp()) as wire:     # two at once: the second waits in the session
        one = request("POST", url, FORM, body)
        wire.send(one + one)
        assert [wire.answer().status, wire.answer().status] == [401, 401]
    with Wire(server.tcp()) as wire:     # never complete, and then gone
        wire.send(request("POST", url, FORM, b"username=a&password=" + MARKS[10].encode() + b"y" * 3000)[:-10])
        await_true("it is being read", lambda: server.status()["connections"] >= 1)
    return token


def is_sanitizers(hit):
    """AddressSanitizer reads /proc/self/environ for its options, and keeps what it has read."""
    is_environment = b"\0SECRET_KEY=" in hit[4] or b"\0APIKEY=" in hit[4]
    return is_environment and b"__asan_init" in BINARY.read_bytes()


@pytest.mark.parametrize("source", ["ini", "environment"])
def test_keys_are_in_no_dump_and_passwords_nowhere(serve, upstream, source):
    keys = {"auth.secret_key": SIGNING_KEY, "orders.apikey": KEY}
    config = {**upstream.config(), "admin.bind": "127.0.0.1:0", "log.level": "info"}
    config.pop("orders.apikey", None)
    env = {"SECRET_KEY": SIGNING_KEY, "APIKEY": KEY} if source == "environment" else {}
    server = serve(workers=1, env=env, config={**config, **(keys if source == "ini" else {})})
    server.secrets |= {SIGNING_KEY, KEY, *MARKS}
    must_be_readable(server)
    with server.api() as api:
        token = all_ways(server, api)
        assert api.get(items_path(KNOWN)).status_code == 200
        assert api.get("/").status_code == 200
    await_true("all have left", lambda: server.status()["connections"] == 0)
    for pid, title in processes(server).items():
        signature = token.rpartition(".")[2]     # without it the rest opens nothing
        hits = search(pid, [SIGNING_KEY, KEY, token, signature, *MARKS])
        wrong = [hit for hit in hits if (hit[1] or hit[0] in MARKS or "admin" in title) and not is_sanitizers(hit)]
        assert not wrong, (title, wrong)
        assert hits or "admin" in title, "nothing at all is found: the search does not work"


def test_the_search_can_find(serve):
    """What is certainly there: hidden from dumps, and not."""
    server = serve(workers=1, config={"auth.secret_key": SIGNING_KEY})
    server.secrets.add(SIGNING_KEY)
    must_be_readable(server)
    (worker,) = server.workers()
    hits = search(worker, [SIGNING_KEY, "database.db"])
    assert {(secret, dumped) for secret, dumped, *_ in hits} >= {(SIGNING_KEY, False), ("database.db", True)}


def test_keys_stay_hidden_after_an_upgrade(serve, place):
    """The state that the next program reads is wiped where it was read."""
    server = serve(workers=1, config={"supervisor.settle": "50ms", "supervisor.min_ready": "50ms",
                                      "auth.secret_key": SIGNING_KEY})
    server.secrets.add(SIGNING_KEY)
    must_be_readable(server)
    server.ctl("upgrade", "--wait")
    for pid, title in processes(server).items():
        hits = search(pid, [SIGNING_KEY])
        assert not [hit for hit in hits if hit[1]], (title, hits)
