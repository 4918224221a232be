"""test_status_upstream.py: the status page shows the circuit of the orders' upstream open and close."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from browser.chromium import browse
from harness import npm
from harness.orders import KNOWN, Upstream, items_path
from harness.server import PATIENCE_S, await_true


def test_the_circuit_is_seen_to_open_and_to_close(serve):
    upstream = Upstream()
    server = serve(workers=1, config={**upstream.config(circuit_timeout="1s"), "admin.bind": "127.0.0.1:0"})
    url = server.await_line(r"admin on (http://127\.0\.0\.1:\d+)")[1]
    for picture in npm.BUILD.glob("upstream-*.png"):
        picture.unlink()

    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as api:
        future = pool.submit(browse, "status_upstream.js", url, npm.BUILD)

        def order_until(name):
            """People ask for orders until the page has been seen so."""
            def seen():
                api.get(items_path(KNOWN))
                return future.done() or (npm.BUILD / f"upstream-{name}.png").exists()
            await_true(f"the page was looked at {name}", seen)

        order_until("before")
        upstream.set(mode="500")
        order_until("broken")
        upstream.set(mode="ok")
        order_until("after")
        lines = future.result()["upstream"]
    upstream.stop()
    assert [line.split(",")[0] for line in lines] == ["upstream: circuit closed", "upstream: circuit open",
                                                      "upstream: circuit closed"], lines
