"""test_docs_plain.py: without the npm registry: the build goes on and says so, the pages are plain, and
profile = hardened is refused."""

import subprocess

import httpx
import pytest

from harness.server import BINARY, ROOT, run_verb, write_ini

NOWHERE = "http://127.0.0.1:1"


def test_plain_pages_list_the_routes(serve):
    server = serve(workers=1, binary=BINARY.parent / "colmeia_plain")
    with httpx.Client(base_url="http://%s:%d" % server.tcp(), timeout=90) as api:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            answer = api.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "This colmeia was built without Swagger UI and ReDoc" in answer.text
            assert '<a href="/openapi.json">' in answer.text and "<script" not in answer.text
            for method, route in (("POST", "/users/"), ("DELETE", "/users/{user_id}"), ("GET", "/healthcheck")):
                assert f"<code>{method} {route}</code>" in answer.text
        assert api.get("/docs/assets/swagger-ui-5.35.0.js").status_code == 404
        assert api.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_hardened_is_refused_without_the_list(place):
    write_ini(place, {"server.profile": "hardened"})
    done = run_verb(place, "check", "--config", "colmeia.ini", binary=BINARY.parent / "colmeia_plain")
    assert done.returncode == 78
    assert done.stderr.startswith("colmeia.ini:2: profile: this colmeia was built without the list of common passwords")


@pytest.fixture
def configure(place):
    """Configures a build tree of its own, the registry out of reach."""
    def run(*words):
        done = subprocess.run(["cmake", "-S", str(ROOT), "-B", str(place / "build"), "-G", "Ninja",
                               "-DCOLMEIA_TESTS=OFF", f"-DCOLMEIA_NPM_REGISTRY={NOWHERE}", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, " ".join(done.stdout.split())    # CMake wraps its warnings
    return run


def test_the_build_goes_on_without_the_registry_and_says_so(configure, place):
    code, said = configure()
    assert code == 0, said
    assert "/docs and /redoc will be plain lists without Swagger UI and ReDoc: cannot fetch http://127" in said
    assert "Documentation pages: plain (cannot fetch http://127" in said
    assert "profile = hardened will be refused without the list of common passwords: cannot fetch http://127" in said
    assert "Common passwords: none (cannot fetch http://127" in said
    subprocess.run(["ninja", "-C", str(place / "build"), "worker_assets"], check=True)

    code, said = configure("-DCOLMEIA_DOCS=ON")     # who must have them hears it
    assert code != 0 and "no Swagger UI and ReDoc: cannot fetch http://127" in said

    code, said = configure("-DCOLMEIA_DOCS=OFF", "-DCOLMEIA_COMMON_PASSWORDS=ON")
    assert code != 0 and "no list of common passwords: cannot fetch http://127" in said

    code, said = configure("-DCOLMEIA_DOCS=OFF", "-DCOLMEIA_COMMON_PASSWORDS=OFF")
    assert code == 0 and "Documentation pages: plain (COLMEIA_DOCS is OFF)" in said
    assert "Common passwords: none (COLMEIA_COMMON_PASSWORDS is OFF)" in said
    assert "fetch" not in said


def test_what_is_not_what_was_pinned_is_refused(configure, place):
    (place / "fetched").mkdir()
    for package in ("swagger-ui-dist-5.35.0", "redoc-2.5.4"):
        (place / "fetched" / f"{package}.tgz").write_bytes(b"something else")
    code, said = configure("-DCOLMEIA_DOCS=ON")
    assert code != 0 and "cannot fetch http://127" in said
