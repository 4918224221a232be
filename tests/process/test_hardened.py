"""[server] profile = hardened: rules for new passwords, a list of users that is not for everybody, changes that
cost the present password, clashes that do not say which, and the headers that the contract has no room for."""

import json
import re

import pytest

from harness.database import await_writes, writer_locked_out
from harness.server import bearer, run_verb, write_ini
from harness.wire import Wire

HARDENED = {"server.profile": "hardened"}
ENV = {"COLMEIA_SERVER_PROFILE": "hardened", "COLMEIA_AUTH_HASH_MEMORY": "8k", "COLMEIA_AUTH_HASH_ITERATIONS": "1"}
GOOD = "an oak between 2 rivers"
OTHER = "a pine beyond 3 bridges"
NEITHER = '{"detail":"Username or Email already exists"}'


@pytest.fixture(scope="module", autouse=True)
def need_the_list(tmp_path_factory):
    done = run_verb(tmp_path_factory.mktemp("list"), "check", env=ENV)
    if "without the list of common passwords" in done.stderr:
        pytest.skip("SKIP: the npm registry was out of reach when this program was built")


@pytest.fixture
def server(serve):
    return serve(config=HARDENED, workers=1)


@pytest.fixture
def api(server):
    with server.api() as api:
        yield api


def sign_up(api, password=GOOD, name="Teste", email="teste@test.com"):
    return api.sign_up(name, email, password)


def change(api, token, current=GOOD, password=OTHER, name="Teste", email="teste@test.com"):
    api.server.secrets |= {current, password}
    return api.put("/users/1", headers=bearer(token), json={
        "username": name, "email": email, "password": password, "current_password": current})


def problem(answer):
    assert answer.status_code == 422, answer.text
    (only,) = answer.json()["detail"]
    assert list(only)[:4] == ["type", "loc", "msg", "input"] and only["input"] == "**********"
    return only


# ---- passwords ----

def test_length_is_counted_in_characters(api):
    for password in ("fourteen chars", "é" * 14, ""):
        assert problem(sign_up(api, password)) == {
            "type": "string_too_short", "loc": ["body", "password"], "input": "**********",
            "msg": "String should have at least 15 characters", "ctx": {"min_length": 15}}
    assert problem(sign_up(api, "x" * 257)) == {
        "type": "string_too_long", "loc": ["body", "password"], "input": "**********",
        "msg": "String should have at most 256 characters", "ctx": {"max_length": 256}}
    for i, password in enumerate(("fifteen chars ☺", "ção " * 3 + "e mais", "ä" + "x?" * 127 + "z")):
        assert sign_up(api, password, f"u{i}", f"u{i}@test.com").status_code == 201
        assert api.login(f"u{i}@test.com", password)


def test_bad_passwords(api):
    """Each rule once over HTTP; the rest is in unit/test_strength."""
    for password, words in (("1qaz2wsx3edc4rfv", "most"), ("Qwerty123456789", "most"), ("Football2026!!!", "most"),
                            ("changemechangeme", "repeats"), ("ALFRED-DER-KÄFER", "username"),
                            ("Alfred.Tennyson", "email")):
        only = problem(sign_up(api, password, "Alfred-der-Käfer", "alfred.tennyson@test.com"))
        assert (only["type"], only["loc"]) == ("value_error", ["body", "password"])
        assert only["msg"] == "Value error, " + only["ctx"]["reason"] and words in only["msg"]


def test_what_was_sent_is_not_shown(api):
    for body in ({"password": GOOD}, {"username": 1, "email": "x", "password": "short-secret"},
                 {"username": "a", "email": "a@test.com", "password": ["in a list"]}):
        answer = api.post("/users/", json=body)
        assert answer.status_code == 422
        assert not re.search("oak|short-secret|in a list", answer.text), answer.text


MARK = "4 marks of 1 secret"
MARKED = {"username": "a", "email": "a@test.com", "password": MARK, "current_password": MARK}
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=b"


def part(name, value, file=None):
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file or ""}\r\n\r\n{value}\r\n'


BODIES = {
    "an array": (JSON, json.dumps([MARKED])),
    "a text": (JSON, json.dumps(MARK)),
    "the object in a text": (JSON, json.dumps(json.dumps(MARKED))),
    "the object in a field": (JSON, json.dumps({**MARKED, "username": MARKED})),
    "an array in a field": (JSON, json.dumps({**MARKED, "email": [MARKED]})),
    "the object in the password": (JSON, json.dumps({**MARKED, "password": MARKED, "current_password": [MARK]})),
    "another name": (JSON, json.dumps({"passwort": MARK})),
    "twice": (JSON, f'{{"password":"{MARK}","password":1}}'),
    "half of a pair": (JSON, json.dumps({**MARKED, "password": MARK + "\ud800", "username": 1})),
    "cut": (JSON, json.dumps(MARKED)[:-1]),
    "not quoted": (JSON, f'{{"password":{MARK}}}'),
    "no escape": (JSON, f'{{"password":"{MARK}\\x"}}'),
    "plain text": ("text/plain", json.dumps(MARKED)),
    "no type": (None, json.dumps(MARKED)),
    "curl's type": (FORM, json.dumps(MARKED)),
    "a form": (FORM, "username=a&password=" + MARK),
    "no UTF-8": ("text/plain", json.dumps(MARKED).encode() + b"\xff"),
}
FORMS = {
    "no username": (FORM, "password=" + MARK),
    "semicolons": (FORM, f"grant_type=x;username=a;password={MARK}"),
    "password as the grant": (FORM, f"grant_type={MARK}&username=a&password={MARK}"),
    "JSON": (JSON, json.dumps(MARKED)),
    "JSON as a form": (FORM, json.dumps(MARKED)),
    "a file": (PARTS, part("username", "a") + part("password", MARK, f'; filename="{MARK}"') + "--b--\r\n"),
    "two files": (PARTS, part("username", MARK, f'; filename="{MARK}"') + part("password", MARK) + "--b--\r\n"),
    "a part that is no part": (PARTS, part("grant_type", f"x\r\n--b{MARK}\r\n\r\n{MARK}") + "--b--\r\n"),
    "a boundary that is none": (PARTS, f"--{MARK}\r\n" + part("password", MARK)),
    "no boundary": ("multipart/form-data", part("password", MARK)),
}


@pytest.mark.parametrize("method, path, bodies", [("POST", "/users/", BODIES), ("PUT", "/users/1", BODIES),
                                                  ("POST", "/auth/token", FORMS)], ids=["add", "change", "login"])
def test_no_shape_of_a_body_shows_a_password(api, method, path, bodies):
    sign_up(api)
    token = bearer(api.login(password=GOOD)) if method == "PUT" else {}
    api.server.secrets.add(MARK)
    for name, (content_type, content) in bodies.items():
        headers = {**token, **({"content-type": content_type} if content_type else {})}
        answer = api.request(method, path, content=content, headers=headers)
        assert answer.status_code in (400, 422), (name, answer.text)
        assert "mark" not in answer.text and "secret" not in answer.text, (name, answer.text)


def test_the_length_can_be_chosen(serve):
    server = serve(config={**HARDENED, "auth.password_min_length": "8"}, workers=1)
    with server.api() as api:
        assert problem(sign_up(api, "7 chars"))["ctx"] == {"min_length": 8}
        assert "most" in problem(sign_up(api, "Iloveyou"))["msg"]
        assert sign_up(api, "8 chars!").status_code == 201
        document = api.get("/openapi.json").json()["components"]["schemas"]
        assert document["UserSchema"]["properties"]["password"]["minLength"] == 8


def test_who_is_there_already_logs_in(serve):
    server = serve(workers=1)
    with server.api() as api:
        api.sign_up(password="short")
        server.configure(server__profile="hardened")
        server.reload()
    with server.api() as api:
        token = api.login(password="short")
        assert change(api, token, current="short").status_code == 200


def test_the_command_line_has_the_same_rules(place):
    def user(*words, password):
        return run_verb(place, "user", *words, env=ENV, stdin=password.encode() + b"\n")
    assert run_verb(place, "migrate").returncode == 0
    for password, words in (("fourteen chars", "at least 15 characters"), ("x" * 257, "at most 256 characters"),
                            ("1qaz2wsx3edc4rfv", "that people use most"),
                            ("Alice-in-Wonderland", "is the username"), (GOOD, None)):
        done = user("add", "alice-in-wonderland", "alice@test.com", password=password)
        assert (done.returncode == 0) == (words is None) and (words or "") in done.stderr, (password, done.stderr)
        assert password not in done.stderr
    assert "is the username" in user("passwd", "1", password="alice-in-WONDERLAND").stderr
    assert user("passwd", "1", password=OTHER).returncode == 0


# ---- users ----

def test_the_list_is_for_who_is_logged_in(api):
    sign_up(api)
    for path in ("/users/", "/users/1", "/users/666", "/users/x", "/users/?limit=x"):
        answer = api.get(path)
        assert (answer.status_code, answer.text) == (401, '{"detail":"Not authenticated"}'), path
        assert answer.headers["www-authenticate"] == 'Bearer realm="colmeia"'
    answer = api.get("/users/1", headers=bearer("nonsense"))
    assert (answer.status_code, answer.text) == (401, '{"detail":"Could not validate credentials"}')
    assert answer.headers["www-authenticate"] == 'Bearer realm="colmeia", error="invalid_token"'
    token = bearer(api.login(password=GOOD))
    assert api.get("/users/", headers=token).json()["users"][0]["username"] == "Teste"
    assert api.get("/users/1", headers=token).json()["username"] == "Teste"
    assert api.get("/users/666", headers=token).status_code == 404
    assert api.get("/users/x", headers=token).status_code == 422


def test_a_change_asks_for_the_present_password(api):
    sign_up(api)
    token = api.login(password=GOOD)
    answer = api.put("/users/1", headers=bearer(token), json={
        "username": "a", "email": "a@test.com", "password": OTHER})
    (missing,) = answer.json()["detail"]
    assert (missing["type"], missing["loc"]) == ("missing", ["body", "current_password"])
    answer = change(api, token, current="something else")
    assert (answer.status_code, answer.text) == (403, '{"detail":"Incorrect current password"}')
    assert api.try_login(password=OTHER).status_code == 401, "nothing was changed"
    assert problem(change(api, token, password="short"))["type"] == "string_too_short"
    assert api.get("/users/1", headers=bearer(token)).status_code == 200, "the token still holds"
    assert change(api, token, name="Alicia").json()["username"] == "Alicia"
    assert api.get("/users/1", headers=bearer(token)).status_code == 401, "the password is another one"
    assert api.login(password=OTHER)


def test_a_change_right_after_a_login_that_makes_a_dearer_hash(serve, place):
    """The present password was proved of the text before, and the re-hash is of the same one."""
    cheap = serve(config=HARDENED, workers=1)
    with cheap.api() as api:
        sign_up(api)
    cheap.stop()
    dear = serve(config={**HARDENED, "auth.hash_iterations": "2", "database.timeout": "1h"}, workers=1)
    body = {"username": "Teste", "email": "teste@test.com", "password": OTHER, "current_password": GOOD}
    with dear.api() as api:
        with writer_locked_out(place):
            who = bearer(api.login(password=GOOD))
            headers = [*who.items(), ("Content-Type", "application/json")]
            wire = Wire(dear.tcp()).ask("PUT", "/users/1", headers, json.dumps(body).encode())
            await_writes(api, 2, headers=who)
        assert wire.answer().status == 200
        assert api.login(password=OTHER)


def test_the_account_of_another_is_none_of_it(api):
    sign_up(api)
    sign_up(api, name="Other", email="other@test.com")
    token = api.login("other@test.com", GOOD)
    answer = change(api, token)
    assert (answer.status_code, answer.text) == (403, '{"detail":"Not enough permissions"}')


def test_clashes_do_not_say_which(api):
    sign_up(api)
    sign_up(api, name="Other", email="other@test.com")
    answers = [sign_up(api, name="Teste", email="new@test.com"), sign_up(api, name="New", email="teste@test.com"),
               sign_up(api), change(api, api.login(password=GOOD), name="Other"),
               change(api, api.login(password=GOOD), email="other@test.com")]
    for answer in answers:
        assert (answer.status_code, answer.text) == (409, NEITHER)
        assert {k: v for k, v in answer.headers.items() if k != "date"} == {
            k: v for k, v in answers[0].headers.items() if k != "date"}


# ---- headers ----

def test_nosniff_is_everywhere(api, server):
    sign_up(api)
    asked = [("GET", "/"), ("GET", "/nowhere"), ("PATCH", "/users/"), ("GET", "/docs"), ("HEAD", "/docs"),
             ("GET", "/openapi.json"), ("GET", "/users"), ("GET", "/users/"), ("GET", "/healthcheck")]
    for method, path in asked:
        answer = api.request(method, path, follow_redirects=False)
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], (method, path)
    for name in re.findall(r"/docs/assets/[\w.-]+", api.get("/docs").text):
        assert api.get(name).headers["x-content-type-options"] == "nosniff"
    with Wire(server.tcp()) as wire:
        answer = wire.send(b"NONSENSE\r\n\r\n").answer()
    assert (answer.status, answer.header("x-content-type-options")) == (400, "nosniff")


def test_tokens_and_accounts_are_not_stored(api):
    created = sign_up(api)
    token = api.login(password=GOOD)
    login = api.try_login(password=GOOD)
    refresh = api.post("/auth/refresh_token", headers=bearer(token))
    for answer in (login, refresh):
        assert answer.status_code == 200
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    for answer in (created, api.get("/users/", headers=bearer(token)), api.get("/users/1", headers=bearer(token))):
        assert answer.headers["cache-control"] == "no-store" and "pragma" not in answer.headers
    wrong = api.try_login(password="something else")
    assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, 'Bearer realm="colmeia"')


def test_nobody_frames_the_pages(api):
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        headers = api.get(path).headers
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")


def test_the_contract_has_none_of_it(serve):
    server = serve(workers=1)
    with server.api() as api:
        created = api.sign_up(password="password")
        assert created.status_code == 201
        login = api.try_login(password="password")
        for answer in (created, login, api.get("/users/"), api.get("/docs"), api.get("/nowhere")):
            assert [*answer.headers] == ["date", "server", "content-length", "content-type"]
        assert api.get("/users/1").headers.get("www-authenticate") is None


# ---- the description ----

def test_the_description_follows(api, place):
    document = api.get("/openapi.json").json()
    done = run_verb(place, "openapi", env=ENV)
    assert json.loads(done.stdout) == document
    paths, schemas = document["paths"], document["components"]["schemas"]
    secured = {(m, p) for p, methods in paths.items() for m, o in methods.items() if "security" in o}
    assert secured == {("get", "/users/"), ("get", "/users/{user_id}"), ("put", "/users/{user_id}"),
                       ("delete", "/users/{user_id}"), ("post", "/auth/refresh_token")}
    for method, path, name in (("post", "/users/", "UserSchema"), ("put", "/users/{user_id}", "UserUpdateSchema")):
        schema = paths[path][method]["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{name}"}
        assert schemas[name]["properties"]["password"] == {
            "type": "string", "maxLength": 256, "minLength": 15, "format": "password", "title": "Password"}
    assert schemas["UserUpdateSchema"]["required"] == ["username", "email", "password", "current_password"]
    for method, path in secured:
        answer = api.request(method.upper(), path.replace("{user_id}", "1"))
        assert answer.text == '{"detail":"Not authenticated"}', path


def test_the_profile_is_named(place):
    write_ini(place, HARDENED)
    assert "profile     hardened" in run_verb(place, "check", "--config", "colmeia.ini").stdout
    write_ini(place, {"server.profile": "hardend"})
    done = run_verb(place, "check", "--config", "colmeia.ini")
    assert done.returncode == 78 and 'did you mean "hardened"?' in done.stderr
