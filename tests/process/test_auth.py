"""Login, tokens, and what must not pass for one."""

import base64
import hashlib
import hmac
import json
import sqlite3
import threading
import time

import jwt
import pytest

from harness.clock import Clock
from harness.database import await_writes, writer_locked_out
from harness.server import bearer
from harness.wire import Wire

KEY = "4f1d7a0c9b8e6d5f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f"
OTHER_KEY = "9" * 31 + "abcdefghijklmnopqrstuvwxyz012345"
CREDENTIALS = {"detail": "Could not validate credentials"}
NOT_AUTHENTICATED = {"detail": "Not authenticated"}


@pytest.fixture
def api(serve):
    server = serve(workers=2, config={"auth.secret_key": KEY})
    server.secrets.add(KEY)
    with server.api() as api:
        assert api.sign_up().status_code == 201
        yield api


def refresh(api, headers):
    return api.post("/auth/refresh_token", headers=headers)


# ---- login ----

def form(api, body, kind="application/x-www-form-urlencoded"):
    return api.post("/auth/token", content=body, headers={"content-type": kind} if kind else {})


GOOD = "username=teste%40test.com&password=testtest-pw"


@pytest.mark.parametrize("body", [
    GOOD, GOOD + "&grant_type=password", GOOD + "&grant_type=", GOOD + "&scope=a+b&client_id=x&client_secret=y",
    "username=x&password=y&" + GOOD, "extra=1&" + GOOD, "username=teste@test.com&password=testtest%2Dpw"])
def test_accepted_forms(api, body):
    assert form(api, body).status_code == 200


def test_multipart_form(api):
    answer = api.post("/auth/token", files={"username": (None, "teste@test.com"), "password": (None, "testtest-pw")})
    assert answer.status_code == 200


def missing(*fields):
    return {"detail": [{"type": "missing", "loc": ["body", f], "msg": "Field required", "input": None} for f in fields]}


@pytest.mark.parametrize("body, kind, expected", [
    ("", "application/x-www-form-urlencoded", missing("username", "password")),
    ("username=&password=x", "application/x-www-form-urlencoded", missing("username")),
    ("username=x", "application/x-www-form-urlencoded", missing("password")),
    (GOOD, None, missing("username", "password")), (GOOD, "text/plain", missing("username", "password")),
    ('{"username":"a","password":"b"}', "application/json", missing("username", "password")),
    ("username=a;password=b", "application/x-www-form-urlencoded", missing("password")),
    ("grant_type=refresh&" + GOOD, "application/x-www-form-urlencoded", {"detail": [{
        "type": "string_pattern_mismatch", "loc": ["body", "grant_type"],
        "msg": "String should match pattern '^password$'", "input": "refresh", "ctx": {"pattern": "^password$"}}]})])
def test_refused_forms(api, body, kind, expected):
    answer = form(api, body, kind)
    assert answer.status_code == 422 and answer.json() == expected


def test_multipart_without_boundary(api):
    answer = form(api, "x", "multipart/form-data")
    assert (answer.status_code, answer.json()) == (400, {"detail": "Missing boundary in multipart."})


@pytest.mark.parametrize("email, password", [
    ("teste@test.com", "testtest-p"), ("teste@test.com", "testtest-pwx"), ("teste@test.com", "TESTTEST-PW"),
    ("Teste@test.com", "testtest-pw"), ("teste@TEST.com", "testtest-pw"), (" teste@test.com", "testtest-pw"),
    ("Teste", "testtest-pw"), ("nobody@test.com", "testtest-pw"), ("' OR 1=1 --", "x")])
def test_wrong_logins_are_all_alike(api, email, password):
    answer = api.try_login(email, password)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Incorrect email or password"})
    assert "www-authenticate" not in answer.headers


# ---- tokens that are good ----

def test_claims(api):
    before = int(time.time())
    token = api.login()
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert set(claims) == {"sub", "exp", "iat", "uid", "auth_time", "pwv"}
    assert claims["sub"] == "teste@test.com" and claims["uid"] == 1
    assert claims["exp"] - claims["iat"] == 30 * 60 and before <= claims["iat"] == claims["auth_time"]
    assert all(type(claims[c]) is int for c in ("exp", "iat", "uid", "auth_time")) and type(claims["pwv"]) is str
    assert "=" not in token


def test_refresh_keeps_the_time_of_the_login(api):
    first = jwt.decode(api.login(), KEY, algorithms=["HS256"])
    token = jwt.encode({**first, "auth_time": first["auth_time"] - 1000, "iat": first["iat"] - 900}, KEY)
    second = refresh(api, bearer(token)).json()["access_token"]
    claims = jwt.decode(second, KEY, algorithms=["HS256"])
    assert claims["auth_time"] == first["auth_time"] - 1000 and claims["iat"] >= first["iat"]


def test_session_max_ends_a_session(api):
    claims = jwt.decode(api.login(), KEY, algorithms=["HS256"])
    month = 30 * 24 * 3600
    nearly = jwt.encode({**claims, "auth_time": claims["iat"] - month + 600}, KEY)
    answer = refresh(api, bearer(nearly))
    assert answer.status_code == 200
    fresh = jwt.decode(answer.json()["access_token"], KEY, algorithms=["HS256"])
    assert fresh["exp"] == claims["iat"] + 600, "never beyond auth_time + session_max"
    over = jwt.encode({**claims, "auth_time": claims["iat"] - month - 1}, KEY)
    assert refresh(api, bearer(over)).status_code == 401


def test_clock_is_set_back(serve, place):
    """A little: who has just logged in stays so, also with a worker that did not see the token before."""
    clock = Clock(place)
    server = serve(workers=1, env=clock.env)
    with server.api() as api:
        api.sign_up()
        token = api.login()
        clock.set("+5s")
        other = api.login()
        clock.set("-50s")
        assert refresh(api, bearer(token)).status_code == 200
        clock.set("-10m")
        assert refresh(api, bearer(other)).status_code == 401


def sign(claims, key=KEY, header=None):
    """A token by hand, so that nothing is checked or added."""
    def part(value):
        data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    body = part(header if header is not None else {"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    digest = hmac.new(key.encode(), body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


def soon():
    return int(time.time()) + 600


HONOURED = {
    "sub-and-exp": {}, "no-exp": {"exp": None}, "exp-with-fraction": {"exp": float(soon()) + 0.5},
    "exp-text": {"exp": str(soon())}, "iss": {"iss": "someone"}, "nbf": {"nbf": soon() - 700},
    "iat": {"iat": soon() - 700}, "extra": {"extra": {"a": [1, 2]}}}


@pytest.mark.parametrize("change", HONOURED)
def test_tokens_of_the_python_app_are_honoured(api, change):
    """With the same key: only sub and exp, or any of what PyJWT lets pass."""
    claims = {"sub": "teste@test.com", "exp": soon(), **HONOURED[change]}
    claims = {k: v for k, v in claims.items() if v is not None}
    answer = refresh(api, bearer(sign(claims)))
    assert answer.status_code == 200, answer.text


def test_token_without_typ(api):
    assert refresh(api, bearer(sign({"sub": "teste@test.com", "exp": soon()}, header={"alg": "HS256"}))).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}"])
def test_scheme_in_any_case_and_space(api, scheme):
    assert refresh(api, {"authorization": scheme.format(api.login())}).status_code == 200


# ---- and those that are not ----

@pytest.mark.parametrize("header", [None, "", "Basic dTpw", "Token x", "x.y.z", "Bearer\tx.y.z", "Bearerx"])
def test_not_authenticated(api, header):
    answer = refresh(api, {"authorization": header} if header is not None else {})
    assert (answer.status_code, answer.json()) == (401, NOT_AUTHENTICATED)
    assert answer.headers["www-authenticate"] == "Bearer"


CLAIMS = {"sub": "teste@test.com"}
FORGERIES = {
    "nothing": lambda: "",
    "text": lambda: "token-invalido",
    "two parts": lambda: sign({**CLAIMS, "exp": soon()}).rsplit(".", 1)[0],
    "four parts": lambda: sign({**CLAIMS, "exp": soon()}) + ".x",
    "no signature": lambda: sign({**CLAIMS, "exp": soon()}).rsplit(".", 1)[0] + ".",
    "other key": lambda: sign({**CLAIMS, "exp": soon()}, OTHER_KEY),
    "empty key": lambda: sign({**CLAIMS, "exp": soon()}, ""),
    "flipped signature": lambda: (lambda t: t[:-5] + ("A" if t[-5] != "A" else "B") + t[-4:])(sign({**CLAIMS, "exp": soon()})),
    "cut signature": lambda: sign({**CLAIMS, "exp": soon()})[:-4],
    "changed payload": lambda: ".".join([p if i != 1 else sign({"sub": "x@test.com", "exp": soon()}).split(".")[1]
                                         for i, p in enumerate(sign({**CLAIMS, "exp": soon()}).split("."))]),
    "expired": lambda: sign({**CLAIMS, "exp": int(time.time()) - 1}),
    "expires now": lambda: sign({**CLAIMS, "exp": int(time.time())}),
    "exp text": lambda: sign({**CLAIMS, "exp": "x"}),
    "exp null": lambda: sign(b'{"sub":"teste@test.com","exp":null}'),
    "exp list": lambda: sign({**CLAIMS, "exp": [soon()]}),
    "exp NaN": lambda: sign(b'{"sub":"teste@test.com","exp":NaN}'),
    "no sub": lambda: sign({"exp": soon()}),
    "empty sub": lambda: sign({"sub": "", "exp": soon()}),
    "null sub": lambda: sign({"sub": None, "exp": soon()}),
    "number sub": lambda: sign({"sub": 1, "exp": soon()}),
    "list sub": lambda: sign({"sub": ["teste@test.com"], "exp": soon()}),
    "unknown sub": lambda: sign({"sub": "nobody@test.com", "exp": soon()}),
    "sub in other case": lambda: sign({"sub": "TESTE@test.com", "exp": soon()}),
    "sub with NUL": lambda: sign({"sub": "teste@test.com\0x", "exp": soon()}),
    "payload list": lambda: sign([1]),
    "payload text": lambda: sign("teste@test.com"),
    "payload no JSON": lambda: sign(b"{"),
    "payload twice sub": lambda: sign(b'{"sub":"x@test.com","exp":%d,"sub":"nobody@test.com"}' % soon()),
    "alg none": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "none", "typ": "JWT"}),
    "alg none unsigned": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "none"}).rsplit(".", 1)[0] + ".",
    "alg None": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "None"}).rsplit(".", 1)[0] + ".",
    "alg HS384 label": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "HS384"}),
    "alg HS512": lambda: jwt.encode({**CLAIMS, "exp": soon()}, KEY, algorithm="HS512"),
    "alg RS256 label": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "RS256"}),
    "alg in lower case": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "hs256"}),
    "alg missing": lambda: sign({**CLAIMS, "exp": soon()}, header={"typ": "JWT"}),
    "alg number": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": 256}),
    "header list": lambda: sign({**CLAIMS, "exp": soon()}, header=["HS256"]),
    "crit": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "HS256", "crit": ["x"], "x": 1}),
    "kid number": lambda: sign({**CLAIMS, "exp": soon()}, header={"alg": "HS256", "kid": 1}),
    "nbf in the future": lambda: sign({**CLAIMS, "exp": soon(), "nbf": soon()}),
    "iat in the future": lambda: sign({**CLAIMS, "exp": soon(), "iat": soon()}),
    "iat text": lambda: sign({**CLAIMS, "exp": soon(), "iat": "x"}),
    "aud": lambda: sign({**CLAIMS, "exp": soon(), "aud": "me"}),
    "jti number": lambda: sign({**CLAIMS, "exp": soon(), "jti": 1}),
    "uid of another": lambda: sign({**CLAIMS, "exp": soon(), "uid": 2}),
    "uid text": lambda: sign({**CLAIMS, "exp": soon(), "uid": "1"}),
    "pwv of another password": lambda: sign({**CLAIMS, "exp": soon(), "uid": 1, "pwv": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "pwv number": lambda: sign({**CLAIMS, "exp": soon(), "uid": 1, "pwv": 1}),
    "auth_time text": lambda: sign({**CLAIMS, "exp": soon(), "auth_time": "now"}),
    "very long": lambda: sign({**CLAIMS, "exp": soon(), "x": "y" * 9000}) + "x",
}


@pytest.mark.parametrize("name", FORGERIES, ids=lambda n: n.replace(" ", "-"))
def test_forgery(api, name):
    forged = {"authorization": f"Bearer {FORGERIES[name]()}".strip()}
    answer = refresh(api, forged)
    assert (answer.status_code, answer.json()) == (401, CREDENTIALS)
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = api.delete("/users/1", headers=forged)
    assert answer.status_code == 401 and api.get("/users/1").status_code == 200


# ---- tokens that were good once ----

def change(api, token, **fields):
    body = {"username": "Teste", "email": "teste@test.com", "password": "testtest-pw", **fields}
    api.server.secrets.add(body["password"])
    return api.put("/users/1", headers=bearer(token), json=body)


def test_changed_password_ends_tokens(api):
    token = api.login()
    assert change(api, token, password="another-pw").status_code == 200
    for _ in range(6):     # whichever worker answers
        assert refresh(api, bearer(token)).status_code == 401
    assert refresh(api, bearer(api.login(password="another-pw"))).status_code == 200


def test_same_password_set_again_ends_tokens_too(api):
    """A new salt: the holder of an old token cannot stay after its owner acted."""
    token = api.login()
    assert change(api, token).status_code == 200
    assert refresh(api, bearer(token)).status_code == 401


def test_changed_email_ends_tokens(api):
    token = api.login()
    assert change(api, token, email="new@test.com").status_code == 200
    assert refresh(api, bearer(token)).status_code == 401
    assert refresh(api, bearer(api.login("new@test.com"))).status_code == 200


def test_deleted_account_ends_tokens_even_when_it_is_made_again(api):
    token = api.login()
    assert api.delete("/users/1", headers=bearer(token)).status_code == 200
    assert refresh(api, bearer(token)).status_code == 401
    assert api.sign_up().json()["id"] == 1, "same id, same e-mail, same password"
    assert refresh(api, bearer(token)).status_code == 401


def test_email_taken_by_another_account(api):
    """The token of A names A's address; B takes it over: the token is not B's."""
    token = api.login()
    assert change(api, token, email="new@test.com").status_code == 200
    assert api.sign_up("B", "teste@test.com").status_code == 201
    assert api.delete("/users/2", headers=bearer(token)).status_code == 401


# ---- stored passwords ----

def test_stored_text_that_is_no_argon2(serve, place):
    server = serve(workers=1)
    with server.api() as api:
        api.sign_up()
        server.stop()
        for stored in ["plain", "", "$argon2id$v=19$m=65536,t=3,p=4$short$x", "$2b$12$abcdefghijklmnopqrstuv",
                       "$argon2id$v=19$m=4294967295,t=4294967295,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43]:
            with sqlite3.connect(place / "database.db") as db:
                db.execute("UPDATE users SET password = ?", (stored,))
            db.close()
            again = serve(workers=1)
            with again.api() as fresh:
                assert fresh.try_login().status_code == 401, stored
            again.stop()


def test_hash_is_what_is_configured(serve, place):
    server = serve(workers=1, config={"auth.hash_memory": "16k", "auth.hash_iterations": "2"})
    with server.api() as api:
        api.sign_up()
    server.stop()
    with sqlite3.connect(place / "database.db") as db:
        (stored,) = db.execute("SELECT password FROM users").fetchone()
    assert stored.startswith("$argon2id$v=19$m=16,t=2,p=1$") and len(stored.split("$")[4]) == 22
    assert len(stored.split("$")[5]) == 43


def test_dearer_hashes_are_made_at_login(serve, place):
    cheap = serve(workers=1)
    with cheap.api() as api:
        api.sign_up()
        token = api.login()
    cheap.stop()
    dear = serve(workers=1, config={"auth.hash_memory": "16k", "auth.hash_iterations": "2"})
    with dear.api() as api:
        api.login()
        assert refresh(api, bearer(token)).status_code == 200, "the salt is kept, so tokens live on"
        api.login()
    dear.stop()
    with sqlite3.connect(place / "database.db") as db:
        (stored,) = db.execute("SELECT password FROM users").fetchone()
    assert stored.startswith("$argon2id$v=19$m=16,t=2,p=1$")


@pytest.mark.parametrize("method, body", [
    ("DELETE", b""), ("PUT", b'{"username":"Teste","email":"teste@test.com","password":"second-pw"}')])
def test_change_right_after_a_login_that_makes_a_dearer_hash(serve, place, method, body):
    """Two devices log in, and what they re-hash is still on its way when one goes on: it is the same account, with
    the same password."""
    cheap = serve(workers=1)
    with cheap.api() as api:
        api.sign_up()
    cheap.stop()
    dear = serve(workers=1, config={"auth.hash_iterations": "2", "database.timeout": "1h"})
    with dear.api() as api:
        with writer_locked_out(place):
            token = [api.login() for _ in range(2)][0]
            wire = Wire(dear.tcp()).ask(method, "/users/1", [*bearer(token).items(),
                                                             ("Content-Type", "application/json")], body)
            await_writes(api, 3)
        answer = wire.answer()
        assert answer.status == 200, answer.body
        if method == "PUT":
            api.login(password="second-pw")


def test_change_behind_one_that_ends_its_session(serve, place):
    """Both were let in with the same token; the first sets a password, and be it the same one."""
    server = serve(workers=1, config={"database.timeout": "1h"})
    body = b'{"username":"Teste","email":"teste@test.com","password":"testtest-pw"}'
    with server.api() as api:
        api.sign_up()
        headers = [*bearer(api.login()).items(), ("Content-Type", "application/json")]
        with writer_locked_out(place):
            wires = []
            for method in "PUT", "DELETE":
                wires.append(Wire(server.tcp()).ask(method, "/users/1", headers, body if method == "PUT" else b""))
                await_writes(api, len(wires))
        assert [wire.answer().status for wire in wires] == [200, 401]


def test_busy_hashing_is_refused_politely(serve):
    """Far more logins than the queue holds: each gets 401 or 503 with retry-after, and GET / goes on."""
    server = serve(workers=1, config={"auth.hash_memory": "64m", "auth.hash_iterations": "20"})
    answers = []

    def one(i):
        with server.api() as api:
            answers.append(api.try_login(f"nobody{i}@test.com"))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(120)]
    for thread in threads:
        thread.start()
    greeted = 0
    with server.api() as api:
        for thread in threads:
            while thread.is_alive():
                assert api.get("/").status_code == 200
                greeted += 1
                thread.join(0.05)
    assert greeted > 0
    assert len(answers) == 120 and {a.status_code for a in answers} <= {401, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
