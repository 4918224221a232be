"""test_status_page.py: the status page as people look at it, in Chromium. Screenshots: build/browser/*.png."""

import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx

from browser.chromium import browse
from harness import npm
from harness.server import FAST, PATIENCE_S, await_true


class Visitors:
    """Somebody always asks the API for something."""

    def __init__(self, url):
        self.url, self.over = url, threading.Event()

    def ask(self):
        with httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S) as http:
            while not self.over.wait(0.005):
                http.get("/users/")
                http.get("/users/1")

    def __enter__(self):
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def kill_one(server):
    server.await_served()
    (pid, *_) = server.workers()
    os.kill(pid, signal.SIGKILL)
    server.await_workers(2, without=[pid])
    return pid


def test_people_look_at_the_status_page(serve):
    # long enough for the page to see the old and the new side by side
    server = serve(workers=2, config={**FAST, "supervisor.settle": "4s", "admin.bind": "127.0.0.1:0"})
    url = server.await_line(r"admin on (http://127\.0\.0\.1:\d+)")[1]
    dead = kill_one(server)
    for picture in npm.BUILD.glob("status-*.png"):
        picture.unlink()
    with ThreadPoolExecutor(1) as pool:
        with Visitors(server.url):
            future = pool.submit(browse, "status_page.js", url, npm.BUILD)
            def stands(name):
                return future.done() or (npm.BUILD / f"status-{name}.png").exists()
            await_true("it was looked at on a phone", lambda: stands("phone"))
            server.ctl("reload", "--wait")
            await_true("it was looked at in a reload", lambda: stands("reload"))
        server.stop()
        seen = future.result()

    assert seen["desk"]["state"] == "ready" and len(seen["desk"]["workers"]) == 2
    for text in seen["desk"]["workers"]:
        assert re.search(r"worker \d+ gen 1, pid \d+ ready rate .* /s median .*(µs|ms|–) loop lag .*(µs|ms) ", text), text
    assert any(re.search(r"rate [1-9].* median \d", text) for text in seen["desk"]["workers"]), "somebody was served"
    assert f"pid {dead}" in seen["desk"]["deaths"][0] and "SIGKILL" in seen["desk"]["deaths"][0]
    assert seen["desk"]["paper"] != seen["night"]["paper"], "it is dark by night"
    assert [seen[look]["overflow"] for look in ("desk", "phone", "reload")] == [0, 0, 0], "nothing sticks out"
    assert "Reload to generation 2: settle" in seen["reload"]["change"] and "2 older" in seen["reload"]["change"]
    assert seen["reload"]["state"] == "reloading" and seen["desk"]["change"] is None
    assert [seen[look]["lost"] for look in ("desk", "phone", "reload", "gone")] == [False, False, False, True]

    assert {urlsplit(asked).netloc for asked in seen["requests"]} == {urlsplit(url).netloc}
    assert {urlsplit(asked).path for asked in seen["requests"]} <= {"/status", "/status.json", "/favicon.ico"}
    assert [c for c in seen["complaints"] if not re.search(r"ERR_CONNECTION|ERR_EMPTY|favicon|404", c)] == []
