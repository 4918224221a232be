"""test_docs.py: /docs and /redoc as people use them, in Chromium. Screenshots: build/browser/*.png."""

from urllib.parse import urlsplit

import httpx
import pytest

from browser.chromium import browse
from harness import npm


def operations_of(document):
    """[(its element on /docs, its heading on /redoc)] in order."""
    return [(f"operations-{operation.get('tags', ['default'])[0]}-{operation['operationId']}", operation["summary"])
            for path in document["paths"].values() for operation in path.values()]


def test_a_newcomer_makes_an_account_logs_in_and_lists_the_users(serve):
    server = serve(workers=1)
    host = "%s:%d" % server.tcp()
    if "built without" in httpx.get(f"http://{host}/docs").text:
        pytest.skip("SKIP: this build has no Swagger UI: the npm registry was out of reach when it was configured")
    document = httpx.get(f"http://{host}/openapi.json").json()
    seen = browse("docs.js", f"http://{host}", npm.BUILD)

    alice = {"id": 1, "username": "alice", "email": "alice@example.com"}
    swagger, redoc = seen["swagger"], seen["redoc"]
    assert swagger["title"] == "FastAPI - Swagger UI"
    assert swagger["operations"] == [element for element, _ in operations_of(document)]
    assert swagger["created"] == {"status": 201, "answer": alice}
    assert swagger["listed"] == {"status": 200, "answer": {"users": [alice]}}
    assert swagger["refreshed"]["status"] == 200, "Authorize did not log in"
    assert swagger["refreshed"]["answer"]["token_type"] == "bearer"
    assert redoc["title"] == "FastAPI - ReDoc"
    assert {heading for _, heading in operations_of(document)} <= set(redoc["headings"])
    assert "Refresh Access Token" in redoc["found"]

    assert len(seen["requests"]) > 8
    assert {urlsplit(url.removeprefix("blob:")).netloc for url in seen["requests"]} == {host}
    assert seen["complaints"] == []
