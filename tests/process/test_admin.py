"""The admin listener: what balancers, Prometheus and people are told, in every state of the server, and a
child that stays as long as its master."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.faults import await_held, go_on
from harness.server import FAST, await_gone, await_true, open_files, run_verb
from harness.wire import Wire
from process.test_slow_disk import outdate_cache, slow

ADMIN = {"admin.bind": "unix:admin.sock"}


class Admin:
    """What the admin listener answers; each question over a connection of its own."""

    def __init__(self, server, address=None):
        self.server, self.address = server, address or str(server.directory / "admin.sock")

    def ask(self, target, method="GET", headers=()):
        with Wire(self.address) as wire:
            return wire.ask(method, target, list(headers)).answer()

    def ready(self):
        """(status, state, reasons) of /readyz."""
        answer = self.ask("/readyz")
        said = json.loads(answer.body)
        assert said["ready"] == (answer.status == 200) == (said["reasons"] == [])
        return answer.status, said["state"], said["reasons"]

    def await_ready(self):
        await_true("it is ready", lambda: self.ready()[0] == 200)
        return self

    def metrics(self):
        """{"name{labels}": value}"""
        answer = self.ask("/metrics")
        assert answer.status == 200
        assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        rows = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    def pid(self):
        """Of the one child that serves; None while there is another number of them."""
        found = [pid for pid, title in self.server.children().items() if re.match(r"colmeia: admin gen", title)]
        return found[0] if len(found) == 1 else None


@pytest.fixture
def admin(serve):
    return Admin(serve(workers=2, config={**FAST, **ADMIN})).await_ready()


# ---- routes ----

def test_routes(admin):
    assert admin.ask("/livez").status == 200
    assert admin.ready() == (200, "ready", [])
    answer = admin.ask("/status.json")
    assert answer.header("content-type") == "application/json" and answer.header("cache-control") == "no-store"
    for headers in [[], [("Accept", "*/*")], [("Accept", "application/json")]]:
        assert json.loads(admin.ask("/status", headers=headers).body)["ok"] is True
    page = admin.ask("/status", headers=[("Accept", "text/html,*/*;q=0.8")])
    assert page.header("content-type") == "text/html; charset=utf-8" and b"<!doctype html>" in page.body.lower()


def test_others_are_404_or_405(admin):
    for target in "/", "/users/", "/healthcheck", "/livez/", "/metricsx", "/docs", "//livez":
        answer = admin.ask(target)
        assert (answer.status, answer.body) == (404, b'{"detail":"Not Found"}'), target
    for method in "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE":
        answer = admin.ask("/status", method)
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD"), method


def test_head(admin):
    for target in "/livez", "/readyz", "/status.json":
        client = http.client.HTTPConnection("localhost")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(admin.address)
        client.request("HEAD", target)
        answer = client.getresponse()
        assert answer.status == 200 and int(answer.headers["content-length"]) > 5 and answer.read() == b""
        client.close()


def test_page_allows_only_itself(admin):
    """No request to anybody else, and a nonce that no two answers share."""
    policies = set()
    for _ in range(2):
        answer = admin.ask("/status", headers=[("Accept", "text/html")])
        policy = answer.header("content-security-policy")
        (nonce,) = set(re.findall(r"'nonce-([0-9a-f]{32})'", policy))
        assert policy.startswith("default-src 'none'; connect-src 'self'; ")
        text = answer.body.decode()
        assert "@NONCE@" not in text
        for tag in re.findall(r"<(?:script|style)\b[^>]*>", text):
            assert f'nonce="{nonce}"' in tag
        assert not re.search(r"https?://|<link|<img|@import|\bsrc=|\son\w+=", text), "nothing from elsewhere"
        policies.add(policy)
    assert len(policies) == 2


def test_same_as_ctl(admin):
    """Status and metrics are one renderer's; only what time changes may differ."""
    def still(value):
        return re.sub(r'"(uptime_ms|beat_age_ms|age_ms|lag_us|count|below_ms|memory_kib|cpu_ms|store_\w+|sum_us|p\d\d_us)":'
                      r'(null|\d+)|"(turns|counts)":\[.*?\]', "", value)
    def same():
        mine, its = admin.ask("/status.json").body.decode(), admin.server.run_ctl("status").stdout.strip()
        return still(mine) == still(its)
    await_true("both say the same", same)
    def names(text):
        return [line.rpartition(" ")[0] for line in text.splitlines()]
    printed = run_verb(admin.server.directory, "ctl", "--control", "ctl.sock", "metrics")
    assert printed.returncode == 0, printed.stderr
    assert names(printed.stdout) == names(admin.ask("/metrics").body.decode())


# ---- metrics ----

def strictly(text):
    """Faults that `promtool check metrics` would not find, or would if it were here."""
    types, seen, last = {}, set(), None
    for line in text.splitlines():
        if match := re.fullmatch(r"# HELP (\w+) (\S.*)", line):
            assert match[1] not in types, f"{match[1]} twice"
            types[match[1]] = None
        elif match := re.fullmatch(r"# TYPE (\w+) (counter|gauge|histogram)", line):
            assert types[match[1]] is None, line
            types[match[1]], last = match[2], match[1]
            assert (match[2] == "counter") == match[1].endswith("_total"), line
        else:
            match = re.fullmatch(r'(colmeia_\w+)(\{(\w+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\d[\d.e+-]*)', line)
            assert match, line
            family = re.sub("_(bucket|sum|count)$", "", match[1]) if types[last] == "histogram" else match[1]
            assert family == last and line.rpartition(" ")[0] not in seen, line
            seen.add(line.rpartition(" ")[0])
    assert all(types.values()) and seen
    return types


def check_histograms(values):
    """Buckets grow, and the last one is the count."""
    for name, count in values.items():
        if match := re.fullmatch(r"(\w+)_count(\{.*\})?", name):
            labels = (match[2] or "{}")[1:-1]
            prefix = f"{match[1]}_bucket{{{labels}{',' if labels else ''}le="
            buckets = [v for n, v in values.items() if n.startswith(prefix)]
            assert buckets and buckets == sorted(buckets) and buckets[-1] == count, name


def test_metrics_tell_what_happened(admin):
    before = admin.metrics()
    with admin.server.api() as api:
        assert api.sign_up("first").status_code == 201
        for _ in range(3):
            assert api.get("/users/1").status_code == 200
        assert api.get("/users/99").status_code == 404
        assert api.get("/nowhere").status_code == 404
    values = admin.metrics()
    def grown(name):
        return values[name] - before.get(name, 0)
    route = 'colmeia_request_duration_seconds_count{method="GET",route="/users/{user_id}",class="%s"}'
    assert grown(route % "2xx") == 3 and grown(route % "4xx") == 1
    assert grown('colmeia_request_duration_seconds_count{method="",route="other",class="4xx"}') == 1
    assert grown('colmeia_request_duration_seconds_count{method="POST",route="/users/",class="2xx"}') == 1
    assert grown("colmeia_requests_total") == 6
    assert grown('colmeia_responses_total{class="4xx"}') == 2
    assert grown("colmeia_password_hash_duration_seconds_count") == grown("colmeia_hashes_total") == 1
    assert grown('colmeia_store_duration_seconds_count{operation="write"}') == 1
    assert values["colmeia_worker_boot_duration_seconds_count"] == 2
    assert values['colmeia_state{state="ready"}'] == 1 and values['colmeia_workers{state="ready"}'] == 2
    assert values["colmeia_worker_memory_bytes{slot=\"0\"}"] > 1 << 20
    check_histograms(values)


def test_metrics_are_clean(admin):
    text = admin.ask("/metrics").body
    strictly(text.decode())
    if not shutil.which("promtool"):
        pytest.skip("promtool (Debian package prometheus) is not here; its own rules were not asked")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def counters(values):
    return {n: v for n, v in values.items() if re.search(r"_total\b|_bucket\{|_count\b|_sum\b", n)}


def grow(before, after):
    fewer = {n: (v, after.get(n)) for n, v in before.items() if after.get(n, -1) < v}
    assert not fewer, f"went backwards: {fewer}"
    return after


def test_counters_survive_reloads_and_deaths(admin):
    server = admin.server.await_served()
    with server.api() as api:
        for _ in range(20):
            assert api.get("/users/").status_code == 200
    seen = counters(admin.metrics())
    server.reload()
    seen = grow(seen, counters(admin.metrics()))
    assert seen['colmeia_reloads_total{result="ok"}'] == 1 == seen["colmeia_reload_duration_seconds_count"]
    assert seen['colmeia_worker_exits_total{reason="left"}'] == 2
    server.await_served()
    (pid, *_) = server.workers()
    os.kill(pid, signal.SIGKILL)
    server.await_workers(2, without=[pid])
    seen = grow(seen, counters(admin.metrics()))
    assert seen['colmeia_worker_exits_total{reason="died"}'] == 1
    deaths = server.status()["deaths"]
    assert len(deaths) == 1 and f"pid {pid}" in deaths[0]["text"] and "SIGKILL" in deaths[0]["text"]


# ---- states ----

def test_starting(serve, faults):
    """Before the first worker is ready: somebody is there, and says no."""
    server = serve.make(workers=1, config={**FAST, **ADMIN}, env=faults.env)
    faults.set("worker_boot", "once signal STOP")
    server.spawn()
    admin = Admin(server)
    server.await_line("admin on ")
    faults.await_struck("worker_boot")
    assert admin.ask("/livez").status == 200
    assert admin.ready() == (503, "starting", ["the server is starting", "no worker is ready"])
    (worker,) = [pid for pid, title in server.children().items() if "worker" in title]
    await_held(worker)
    go_on(worker)
    server.await_ready()
    admin.await_ready()


def test_zero_workers(serve):
    """All have died, and none comes: the child answers, and knows why not."""
    server = serve(workers=1, config={**FAST, **ADMIN})
    admin = Admin(server).await_ready()
    server.await_served()
    database = server.directory / "database.db"
    database.rename(server.directory / "away.db")
    database.mkdir()
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    await_true("nobody serves, and the master has said so",
               lambda: admin.ready() == (503, "degraded", ["no worker is ready"]))
    assert admin.ask("/livez").status == 200
    await_true("it waits", lambda: admin.metrics()['colmeia_workers{state="backoff"}'] == 1)
    slots = json.loads(admin.ask("/status.json").body)["status"]["slots"]
    assert [s["state"] for s in slots] == ["backoff"] and slots[0]["retry_ms"] is not None
    database.rmdir()
    (server.directory / "away.db").rename(database)
    server.ctl("retry")
    admin.await_ready()


def test_store_that_does_not_answer(serve, faults):
    """Whom nobody asks anything, either: the workers look by themselves."""
    faults.set("read_nowait", "errno EAGAIN")
    server = serve(workers=1, config={**FAST, **ADMIN, "database.timeout": "1s"}, env=faults.env)
    admin = Admin(server).await_ready()
    outdate_cache(server)
    await_true("its reader is at work", lambda: server.status()["totals"]["store_reads"] > 3)
    outdate_cache(server)
    with slow(server, "store reader", 5000):
        await_true("it is noticed", lambda: admin.ready() == (503, "ready", ["the database does not answer"]))
        assert admin.ask("/livez").status == 200
    admin.await_ready()


def test_stop_delay_and_stop(serve):
    """503 from the moment of the signal, until the last worker has gone and the master ends."""
    server = serve(workers=1, config={**FAST, **ADMIN, "supervisor.stop_delay": "1s"})
    admin = Admin(server).await_ready()
    (worker,) = server.workers()
    busy = Wire(server.tcp()).send(b"POST /users/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    server.await_status("it is busy", lambda s: s["busy"] == 1)
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping in 1000 ms")
    await_true("the master has said so, too", lambda: admin.ready() == (503, "stopping", ["the server is stopping"]))
    assert Wire(server.tcp()).get("/").status == 200, "others are still served"
    server.await_line("stopping: ")
    assert "the server is stopping" in admin.ready()[2]
    assert admin.ask("/livez").status == 200
    busy.send(b"{}...")
    assert busy.answer().status in (401, 422)
    assert server.wait() == 0
    await_gone(worker)
    assert not Path(admin.address).exists()


# ---- the child ----

def test_killed_child_is_replaced(admin):
    pid = admin.pid()
    workers = admin.server.workers()
    os.kill(pid, signal.SIGKILL)
    admin.server.await_line(r"the admin child \(pid \d+\) killed by signal 9 .*; it will be replaced")
    await_true("another one serves", lambda: admin.pid() not in (pid, None))
    admin.await_ready()
    assert admin.server.workers() == workers, "nobody else noticed"


def test_child_that_hangs_is_not_waited_for(admin):
    """At the end it has two seconds."""
    os.kill(admin.pid(), signal.SIGSTOP)
    admin.server.stop()


def test_no_child_without_the_option(serve):
    server = serve(workers=1)
    assert len(server.children()) == 1
    assert "admin" not in server.log
    assert not [f for f in open_files(server.process.pid).values() if "bulletin" in f]


def test_reload_replaces_it_without_a_gap(admin):
    pid = admin.pid()
    asked, stop = [], []
    def ask_all_the_time():
        while not stop:
            asked.append(admin.ask("/livez").status)
    thread = threading.Thread(target=ask_all_the_time)
    thread.start()
    admin.server.reload()
    await_true("another one serves", lambda: admin.pid() not in (pid, None))
    stop.append(True)
    thread.join()
    assert asked and set(asked) == {200}
    await_true("it knows the generation", lambda: admin.metrics()["colmeia_generation"] == 2)


def test_reload_opens_moves_and_closes(serve):
    server = serve(workers=1, config=FAST)
    server.configure(admin__bind="127.0.0.1:0")
    server.reload()
    line = server.await_line(r"admin on http://(127\.0\.0\.1:\d+)")
    host, port = line[1].split(":")
    Admin(server, (host, int(port))).await_ready()
    server.configure(admin__bind="unix:admin.sock, unix:@colmeia-%d" % os.getpid())
    server.reload()
    Admin(server).await_ready()
    Admin(server, "\0colmeia-%d" % os.getpid()).await_ready()
    with pytest.raises(ConnectionRefusedError):
        await_true("the door is closed", lambda: not socket.create_connection((host, int(port)), 5).close() and False)
    server.configure(admin__bind=None)
    server.reload()
    server.await_line("admin: closed")
    await_true("nobody is there", lambda: len(server.children()) == 1)
    assert not (server.directory / "admin.sock").exists()


def test_reload_to_a_taken_address_is_refused(admin):
    taken = socket.create_server(("127.0.0.1", 0))
    pid = admin.pid()
    admin.server.configure(admin__bind="127.0.0.1:%d" % taken.getsockname()[1])
    told = admin.server.ctl("reload", "--wait", code=1)
    assert "[admin] bind" in told["error"] and "in use" in told["error"], told
    assert admin.pid() == pid and admin.ready()[0] == 200
    taken.close()


def test_start_on_a_taken_address(serve):
    taken = socket.create_server(("127.0.0.1", 0))
    server = serve.make(workers=1, config={"admin.bind": "127.0.0.1:%d" % taken.getsockname()[1]})
    server.spawn()
    assert server.wait() == 4
    assert re.search(r"\[admin\] bind: .*in use", server.log)
    taken.close()


def test_dead_master_is_not_outlived(serve):
    server = serve(workers=1, config={**FAST, **ADMIN})
    pid = Admin(server).await_ready().pid()
    server.process.kill()
    server.wait()
    await_gone(pid)


def test_it_holds_little(admin):
    """No database, no door of the API, no key, no thread; and shared memory it can only read."""
    pid = admin.pid()
    admin.metrics()
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    files = open_files(pid)
    assert not [f for f in files.values() if "database" in f or "memfd" in f], files
    sockets = {f for f in files.values() if f.startswith("socket:")}
    workers = [set(open_files(w).values()) for w in admin.server.workers()]
    shared = sockets & workers[0] & workers[1]
    assert not shared, "the doors and the queue of the workers"
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert re.findall(r" (\S+) \S+ \S+ \S+ +/memfd:colmeia-(?:scoreboard|bulletin)", maps) == ["r--s", "r--s"]
