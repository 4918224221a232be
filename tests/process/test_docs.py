"""test_docs.py: the documentation pages as programs see them: types, encodings, caching, and a policy that
knows the script it allows. People's view of them is in tests/browser."""

import base64
import gzip
import hashlib
import json
import re

import httpx
import pytest

from harness.server import BINARY, ROOT, await_true, open_files
from harness.wire import Wire

LOCK = json.loads((ROOT / "worker/api/assets/package-lock.json").read_text())["packages"]
BUILT = BINARY.parent / "assets" / "made"    # worker/api/assets/assets.cmake leaves it
KEPT = "public, max-age=31536000, immutable"
PAGES = {"/docs": "FastAPI - Swagger UI", "/redoc": "FastAPI - ReDoc",
         "/docs/oauth2-redirect": "FastAPI - Swagger UI: OAuth2 redirect"}

needs_assets = pytest.mark.skipif(not BUILT.exists(), reason="SKIP: this build has no Swagger UI and no ReDoc: the "
                                  "npm registry was out of reach when it was configured")


@pytest.fixture
def api(serve):
    server = serve(workers=1)
    with httpx.Client(base_url="http://%s:%d" % server.tcp(), timeout=90) as client:
        client.server = server
        yield client


def links(html):
    return re.findall(r'(?:src|href|url)(?:=|: )["\']([^"\']*)["\']', html)


def asset_links(api):
    found = {link for page in PAGES for link in links(api.get(page).text) if link.startswith("/docs/assets/")}
    assert len(found) == 4
    return sorted(found)


def test_versions_are_pinned_with_their_digests():
    assert set(LOCK) == {"", "node_modules/redoc", "node_modules/swagger-ui-dist"}
    for name, package in LOCK.items():
        if name:
            assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
            assert len(base64.b64decode(package["integrity"].removeprefix("sha512-"))) == 64


@needs_assets
def test_pages(api):
    for path, title in PAGES.items():
        get, head = api.get(path), api.head(path)
        assert (get.status_code, head.status_code) == (200, 200)
        assert list(get.headers) == ["date", "server", "content-length", "content-type"] == list(head.headers)
        assert get.headers["content-type"] == head.headers["content-type"] == "text/html; charset=utf-8"
        assert head.headers["content-length"] == str(len(get.content)) and head.content == b""
        assert f"<title>{title}</title>" in get.text
        for link in links(get.text):    # of its own host, or no request at all
            assert link in ("/openapi.json", "data:,") or link.startswith("/docs/assets/")
        assert api.post(path).headers["allow"] == "HEAD, GET"
        assert api.get(path + "/").headers["location"] == str(api.base_url.join(path))
    assert api.get("/docs").headers["content-length"] == "1006", "as long as the original's, by chance"


@needs_assets
def test_docs_set_swagger_ui_up_as_the_original_does(api):
    html = api.get("/docs").text
    assert '<div id="swagger-ui"></div>' in html
    for option in ("url: '/openapi.json'", "dom_id: '#swagger-ui'", "layout: 'BaseLayout'", "deepLinking: true",
                   "showExtensions: true", "showCommonExtensions: true", "validatorUrl: null",
                   "oauth2RedirectUrl: window.location.origin + '/docs/oauth2-redirect'"):
        assert option in html
    assert '<redoc spec-url="/openapi.json"></redoc>' in api.get("/redoc").text


@needs_assets
def test_the_policy_allows_the_scripts_that_are_there_and_no_other(api):
    for path in PAGES:
        html = api.get(path).text
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'" and "unsafe" not in rules["script-src"]
        inline = ["'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
                  for text in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)]
        assert rules["script-src"].split() == ["'self'", *inline]
        assert html.index("Content-Security-Policy") < html.index("<script")


@needs_assets
def test_assets_are_what_was_checked(api):
    fetched = BUILT.parent / "node_modules"
    swagger = {".css": "swagger-ui.css", ".js": "swagger-ui-bundle.js"}
    for link in asset_links(api):
        name, version, suffix = re.fullmatch(r"/docs/assets/([a-z0-9-]+?)-([\d.]+)(\.js|\.css)", link).groups()
        package = "redoc" if name == "redoc" else "swagger-ui-dist"
        assert version == LOCK[f"node_modules/{package}"]["version"]
        file = {"redoc": "redoc/bundles/redoc.standalone.js", "swagger-ui": f"swagger-ui-dist/{swagger[suffix]}",
                "oauth2-redirect": "swagger-ui-dist/oauth2-redirect.js"}[name]
        expected = (fetched / file).read_bytes().replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,")
        assert api.get(link).content == expected


@needs_assets
def test_gzip_for_those_who_take_it(api):
    in_binary = 0
    with Wire(api.server.tcp()) as wire:
        for link in asset_links(api):
            packed = wire.ask("GET", link, [("Accept-Encoding", "br, gzip")]).answer()
            plain = wire.get(link)
            again = wire.ask("GET", link, [("Accept-Encoding", "gzip;q=0, identity")]).answer()
            assert gzip.decompress(packed.body) == plain.body == again.body
            assert packed.header("content-encoding") == "gzip"
            assert len(packed.body) < len(plain.body) / 1.9
            assert plain.header("content-encoding") is again.header("content-encoding") is None
            for answer in (packed, plain):
                assert answer.header("cache-control") == KEPT and answer.header("vary") == "accept-encoding"
                assert answer.header("content-type") in ("text/javascript; charset=utf-8", "text/css; charset=utf-8")
            head = wire.ask("HEAD", link, [("Accept-Encoding", "gzip")]).answer(head=True)
            assert head.headers[1:] == packed.headers[1:]
            in_binary += len(packed.body)
    assert 700_000 < in_binary < 900_000, "what the binary grows by"


@needs_assets
def test_a_client_that_leaves_amid_an_asset_takes_nothing_with_it(api):
    (link,) = [a for a in asset_links(api) if "redoc" in a]
    (worker,) = api.server.workers()
    before = len(open_files(worker))
    for _ in range(20):
        with Wire(api.server.tcp()) as wire:
            wire.ask("GET", link)
    await_true("the connections of those who left are closed", lambda: len(open_files(worker)) == before)
    assert len(api.get(link).content) > 1_000_000


def test_what_is_no_asset_is_404(api):
    for name in ("x", "swagger-ui-0.0.0.js", "..%2Fdocs", "%00", "assets"):
        answer = api.get(f"/docs/assets/{name}")
        assert (answer.status_code, answer.text) == (404, '{"detail":"Not Found"}'), name
