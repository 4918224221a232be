#!/usr/bin/env python3
"""upstream.py: a stand-in for the service that knows the orders (the tutorial's maestro), for trying
colmeia's orders API and for its tests. It can be slow, fail, and answer whatever a broken server might:

    $ python3 tests/harness/upstream.py --port 8080 --delay 300ms --fail-rate 20

What it does can be changed while it runs, and asked about:

    $ curl -X PUT http://127.0.0.1:8080/fake -d '{"fail_rate": 100}'
    $ curl http://127.0.0.1:8080/fake

    delay_ms    answers wait so long                  mode      how they are broken: see below
    fail_rate   percent of them that are a 500        match     only for paths with this text in them
    hold        answers to paths with this text in them wait until it is changed; "": none do
    zero        true: counts begin anew

Orders: efb77dcf-d83c-4935-81ac-7be5f37e6cdc has two packages, 19 more are there (GET /fake names them all),
and 00000000-0000-4000-8000-0000000000NN has NN packages of one item each. All others are unknown (404)."""

import argparse
import asyncio
import json
import random
import re
import ssl
import sys

KEY = "5734143a-595d-405d-9c97-6c198537108f"
TENANT = "21fea73c-e244-497a-8540-be0d3c583596"
KNOWN = "efb77dcf-d83c-4935-81ac-7be5f37e6cdc"
GIB = 1 << 30

# How an answer can be broken. A number is answered as that status.
MODES = """ok        as it should be
html      200 with a page
empty     200 with nothing
notjson   200 with half a document
nopackages 200 with a JSON object that is none of an order or items
badid     200, an order whose package ids are no text
noquantity nodescription badcode    200, items of which one lacks something
short     Content-Length promises more than comes, then the end
long      Content-Length promises less than comes
cut       chunked, and the end in mid-body
close     the end without an answer
reset     the same, by a reset
garbage   bytes that are no HTTP
endless   chunked, for ever
drip      a byte of the body now and then, for ever
headers   a head that never ends
interim   100 Continue, for ever
huge      1 GiB, announced
redirect  302 to this server's /elsewhere, which answers 200
gzip      what must not be unpacked
"""


def wanted_delay(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s)?", text).groups()
    return int(number) * (1000 if unit == "s" else 1)


# ---- what it knows ----

def item(sku, reference=True):
    product = {"code": sku, "description": f"Descrição de {sku}", "image_url": f"http://img/{sku}.jpg"}
    if reference:
        product["reference"] = f"ref {sku}"
    return {"product": product, "quantity": 1}


def catalogue():
    """{order: {package: [items]}}: 20 orders, 32 items, 13 of them without a reference."""
    orders = {KNOWN: {"e3ae3598-8034-4374-8eed-bdca8c31d5a0": [item("229010200")],
                      "b90a950b-1111-4222-8333-444455556666": [item("db4afbh7jj", False)]}}
    for n in range(1, 20):
        packages = {f"a0000000-0000-4000-8000-{n:06}{k:06}": [item(f"sku{n}x{k}", n % 5 > 1)]
                    for k in range(1 + (n <= 11))}
        orders[f"b0000000-0000-4000-8000-{n:012}"] = packages
    return orders


def numbered(order):
    match = re.fullmatch(r"00000000-0000-4000-8000-(\d{12})", order)
    if not match:
        return None
    return {f"00000000-0000-4000-9000-{k:012}": [item(f"pkg{k}")] for k in range(int(match[1]))}


# ---- serving ----

class Fake:
    def __init__(self, options):
        self.key, self.tenant = options.key, options.tenant
        self.settings = {"delay_ms": wanted_delay(options.delay), "fail_rate": options.fail_rate, "mode": options.mode,
                         "match": "", "hold": ""}
        self.orders = catalogue()
        self.changed = asyncio.Event()
        self.zero()

    def zero(self):
        self.calls = self.most_in_flight = self.connections = self.cancelled = self.written = 0
        self.in_flight = getattr(self, "in_flight", 0)
        self.headers, self.paths = {}, []

    def packages(self, order):
        return self.orders.get(order) or numbered(order)

    def change(self, wanted):
        if wanted.pop("zero", False):
            self.zero()
        assert set(wanted) <= set(self.settings), wanted
        self.settings.update(wanted)
        self.changed.set()
        self.changed = asyncio.Event()

    async def let_go(self, path):
        while self.settings["hold"] and self.settings["hold"] in path:
            await self.changed.wait()

    def report(self):
        return {**self.settings, "calls": self.calls, "in_flight": self.in_flight, "cancelled": self.cancelled,
                "written": self.written,
                "most_in_flight": self.most_in_flight, "connections": self.connections,
                "last_headers": self.headers, "paths": self.paths[-50:], "orders": list(self.orders)}

    def answer(self, path, headers):
        """Of a good server: status and body."""
        if "x-api-key" not in headers:
            return 422, {"detail": [{"type": "missing", "loc": ["header", "x-api-key"], "msg": "Field required",
                                     "input": None}]}
        if headers["x-api-key"] != self.key or headers.get("x-tenant-id") != self.tenant:
            return 403, {"detail": "Unauthorized"}
        match = re.fullmatch(r"/maestro/v1/orders/([^/]+)(?:/packages/([^/]+)/items)?", path)
        packages = self.packages(match[1]) if match else None
        if packages is None or (match[2] and match[2] not in packages):
            return 404, {"detail": "Not Found"}
        if match[2]:
            return 200, packages[match[2]]
        return 200, {"uuid": match[1], "packages": [{"uuid": p, "status": "delivered"} for p in packages]}


def head(status, *lines):
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} Whatever", *lines, "")).encode()


def whole(status, body, kind="application/json"):
    return head(status, f"content-type: {kind}", f"content-length: {len(body)}") + body


def packed(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


BROKEN_ITEMS = {"noquantity": {"product": {"code": "x"}}, "badcode": {"product": {"code": 7}, "quantity": 1},
                "nodescription": {"product": {"code": "x", "description": None}, "quantity": 1}}

# mode: the bytes, and whether the connection ends behind them.
BROKEN = {
    "html": (whole(200, b"<html><h1>Maintenance</h1></html>", "text/html"), False),
    "empty": (whole(200, b""), False),
    "notjson": (whole(200, b'{"packages": [{"uuid"'), False),
    "nopackages": (whole(200, b'{"parcels": []}'), False),
    "badid": (whole(200, b'{"packages": [{"uuid": 7}]}'), False),
    **{name: (whole(200, packed([broken])), False) for name, broken in BROKEN_ITEMS.items()},
    "short": (head(200, "content-length: 5000") + b'{"packages": []}', True),
    "long": (head(200, "content-length: 2") + b"[]" + b"x" * 500, False),
    "cut": (head(200, "transfer-encoding: chunked") + b"10\r\n[{\"product\"", True),
    "close": (b"", True),
    "garbage": (b"\x16\x03\x01 who goes there?\r\n\r\n", True),
    "gzip": (head(200, "content-encoding: gzip", "content-length: 20") + b"\x1f\x8b" + b"0" * 18, False),
}
# mode: how it begins, what it goes on with, and a pause between.
FOR_EVER = {
    "endless": (head(200, "transfer-encoding: chunked"), b"4000\r\n" + b"[" * 0x4000 + b"\r\n", 0),
    "drip": (head(200, "content-length: 100000"), b" ", 0.05),
    "headers": (head(200)[:-2], b"x-more: " + b"y" * 4000 + b"\r\n", 0),
    "interim": (b"", head(100), 0),
    "huge": (head(200, f"content-length: {GIB}"), b"[" * 65536, 0),
}


class Connection(asyncio.Protocol):
    def __init__(self, fake):
        self.fake = fake
        self.buffer = b""
        self.task = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if self.task:
            self.task.cancel()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or self.task:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < end + 4 + length:
            return
        body = self.buffer[end + 4:end + 4 + length]
        self.buffer = self.buffer[end + 4 + length:]
        method, path, _ = lines[0].split(" ")
        if path == "/fake":
            self.control(method, body)
        else:
            self.task = asyncio.ensure_future(self.call(path, headers))

    def control(self, method, body):
        if method == "PUT":
            self.fake.change(json.loads(body))
        self.transport.write(whole(200, json.dumps(self.fake.report()).encode()))

    async def call(self, path, headers):
        fake = self.fake
        if not hasattr(self, "counted"):
            self.counted = True
            fake.connections += 1
        fake.calls += 1
        fake.headers = headers
        fake.paths.append(path)
        fake.in_flight += 1
        fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
        try:
            await self.reply(path, headers)
        except asyncio.CancelledError:
            fake.cancelled += 1
            raise
        finally:
            fake.in_flight -= 1
            self.task = None

    async def reply(self, path, headers):
        await self.fake.let_go(path)
        settings = dict(self.fake.settings)
        status, body = self.fake.answer(path, headers)
        mode = "ok"
        if settings["match"] in path:
            if settings["delay_ms"]:
                await asyncio.sleep(settings["delay_ms"] / 1000)
            if random.randrange(100) < settings["fail_rate"]:
                status, body = 500, ""
            mode = str(settings["mode"])
        if path == "/elsewhere" or mode == "ok":
            self.transport.write(whole(status, packed(body)))
        elif mode.isdigit():
            self.transport.write(whole(int(mode), packed({"detail": mode})))
        elif mode == "redirect":
            self.transport.write(head(302, "location: /elsewhere", "content-length: 0"))
        elif mode == "reset":
            self.transport.abort()
        elif mode in BROKEN:
            data, ends = BROKEN[mode]
            self.transport.write(data)
            if ends:
                self.transport.close()
        else:
            await self.go_on(*FOR_EVER[mode])

    async def go_on(self, beginning, piece, pause_s):
        self.transport.write(beginning)
        while not self.transport.is_closing():
            self.transport.write(piece)
            self.fake.written += len(piece)
            await asyncio.sleep(pause_s)
            await self.writable.wait()


async def serve(options):
    fake = Fake(options)
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(fake), options.host, options.port,
                                                            ssl=context, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on {'https' if context else 'http'}://{options.host}:{port}", flush=True)
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog="Modes:\n" + MODES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: any")
    parser.add_argument("--key", default=KEY, help="that it asks for in X-Api-Key (%(default)s)")
    parser.add_argument("--tenant", default=TENANT, help="… in X-Tenant-Id (%(default)s)")
    parser.add_argument("--delay", default="0ms", help="of every answer: 300ms, 2s")
    parser.add_argument("--fail-rate", type=int, default=0, help="percent of calls answered with 500")
    parser.add_argument("--mode", default="ok")
    parser.add_argument("--certificate", help="serve https with this PEM file, certificate and key")
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
