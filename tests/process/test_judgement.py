"""In which order a request is judged: what wins when several things are wrong."""

import pytest

from harness.server import bearer
from harness.wire import Wire, request

JSON = ("content-type", "application/json")
GOOD = b'{"username":"ana","email":"ana@test.com","password":"pw"}'


@pytest.fixture
def api(serve):
    with serve(workers=1).api() as api:
        api.sign_up("a")
        api.sign_up("b")
        yield api


def put(api, path, body, token=None, kind="application/json"):
    headers = {"content-type": kind} if kind else {}
    return api.put(path, content=body, headers={**headers, **(bearer(token) if token else {})})


def test_routing_before_body_syntax(api):
    assert api.request("PATCH", "/users/1", content=b"{", headers=dict([JSON])).status_code == 405
    assert api.post("/nope", content=b"{", headers=dict([JSON])).status_code == 404


def test_body_syntax_before_credentials(api):
    answer = put(api, "/users/1", b"{")
    assert answer.status_code == 422 and answer.json()["detail"][0]["type"] == "json_invalid"


def test_undecodable_body_before_credentials(api):
    answer = put(api, "/users/1", b'{"a":"\xff"}')
    assert (answer.status_code, answer.json()) == (400, {"detail": "There was an error parsing the body"})


@pytest.mark.parametrize("path, body", [("/users/1", b"{}"), ("/users/abc", b"{}"), ("/users/abc", GOOD), ("/users/1", b"[]")])
def test_credentials_before_fields(api, path, body):
    assert put(api, path, body).json() == {"detail": "Not authenticated"}
    assert put(api, path, body, "no.such.token").json() == {"detail": "Could not validate credentials"}


def test_path_and_body_errors_together(api):
    answer = put(api, "/users/abc", b'{"username":1}', api.login("a@test.com"))
    assert answer.status_code == 422
    assert [d["loc"] for d in answer.json()["detail"]] == [
        ["path", "user_id"], ["body", "username"], ["body", "email"], ["body", "password"]]


def test_fields_before_permission(api):
    assert put(api, "/users/2", b"{}", api.login("a@test.com")).status_code == 422


def test_permission_before_conflict(api):
    body = b'{"username":"b","email":"b@test.com","password":"pw"}'
    assert put(api, "/users/2", body, api.login("a@test.com")).status_code == 403
    assert put(api, "/users/99", body, api.login("a@test.com")).status_code == 403
    assert put(api, "/users/1", body, api.login("a@test.com")).status_code == 409


@pytest.mark.parametrize("body", [b"{", b"\xff", b"null", b""])
def test_refresh_ignores_its_body(api, body):
    answer = api.post("/auth/refresh_token", content=body, headers={**dict([JSON]), **bearer(api.login("a@test.com"))})
    assert answer.status_code == 200


def test_delete_ignores_its_body(api):
    answer = api.request("DELETE", "/users/1", content=b"{", headers={**dict([JSON]), **bearer(api.login("a@test.com"))})
    assert answer.status_code == 200


def test_get_with_a_body_is_a_get(api):
    assert api.request("GET", "/users/", content=b"{", headers=dict([JSON])).status_code == 200


def test_limits_before_routing(api):
    """What cannot be read at all is refused whatever it asks for."""
    with Wire(api.server.tcp()) as wire:
        assert wire.send(request("POST", "/nope", body=b" " * 70000)).answer().status == 413


def test_two_authorization_headers(api):
    """The first one counts, as in the original: never the union."""
    good, bad = ("Authorization", f"Bearer {api.login('a@test.com')}"), ("Authorization", "Bearer x.y.z")
    with Wire(api.server.tcp()) as wire:
        assert wire.ask("POST", "/auth/refresh_token", [bad, good], b"").answer().status == 401
        assert wire.ask("POST", "/auth/refresh_token", [good, bad], b"").answer().status == 200
