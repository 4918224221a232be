"""The users API beyond the course's own tests."""

import threading

import pytest

from harness.server import bearer


@pytest.fixture
def api(serve):
    with serve().api() as api:
        yield api


def names(answer):
    return [u["username"] for u in answer.json()["users"]]


@pytest.fixture
def five(api):
    for name in "abcde":
        assert api.sign_up(name).status_code == 201
    return api


@pytest.mark.parametrize("query, expected", [
    ("", "abcde"), ("?limit=2", "ab"), ("?offset=3", "de"), ("?offset=1&limit=2", "bc"), ("?offset=99", ""),
    ("?limit=1&limit=3", "abc"), ("?Limit=1", "abcde"), ("?limit=+2", "ab"), ("?limit=%2B2", "ab"),
    ("?limit=1_0", "abcde"), ("?limit=002", "ab"), ("?limit=2.0", "ab"), ("?limit=%202%20", "ab"),
    ("?offset=-0", "abcde"), ("?other=x", "abcde"), ("?limit=9223372036854775807", "abcde")])
def test_pages(five, query, expected):
    answer = five.get("/users/" + query)
    assert answer.status_code == 200 and "".join(names(answer)) == expected


def problem(kind, loc, msg, given, **ctx):
    return {"type": kind, "loc": loc, "msg": msg, "input": given, **({"ctx": ctx} if ctx else {})}


UNPARSABLE = "Input should be a valid integer, unable to parse string as an integer"


@pytest.mark.parametrize("query, expected", [
    ("limit=0", [problem("greater_than_equal", ["query", "limit"],
                         "Input should be greater than or equal to 1", "0", ge=1)]),
    ("offset=-1", [problem("greater_than_equal", ["query", "offset"],
                           "Input should be greater than or equal to 0", "-1", ge=0)]),
    *[(f"limit={sent}", [problem("int_parsing", ["query", "limit"], UNPARSABLE, shown)])
      for sent, shown in [("abc", "abc"), ("", ""), ("1.5", "1.5"), ("1e2", "1e2"), ("true", "true"), ("0x10", "0x10"),
                          ("%D9%A1", "\u0661"), ("1__0", "1__0"), ("_1", "_1"), ("1.", "1."), ("--1", "--1")]],
    ("limit", [problem("int_parsing", ["query", "limit"], UNPARSABLE, "")]),
    ("limit=%ff", [problem("int_parsing", ["query", "limit"], UNPARSABLE, "\ufffd")]),
    ("limit=x&offset=y", [problem("int_parsing", ["query", "offset"], UNPARSABLE, "y"),
                          problem("int_parsing", ["query", "limit"], UNPARSABLE, "x")])])
def test_bad_pages(api, query, expected):
    answer = api.get("/users/?" + query)
    assert (answer.status_code, answer.reason_phrase) == (422, "Unprocessable Content")
    assert answer.json() == {"detail": expected}


@pytest.mark.parametrize("query", ["limit=9223372036854775808", "offset=-99999999999999999999", "offset=1" + "0" * 30])
def test_numbers_beyond_64_bits_are_refused(api, query):
    assert api.get("/users/?" + query).status_code == 422


def test_path_that_is_no_integer(api):
    api.sign_up()
    for method in ("GET", "DELETE"):
        answer = api.request(method, "/users/abc", headers=bearer(api.login()))
        assert answer.status_code == 422
        assert answer.json() == {"detail": [problem("int_parsing", ["path", "user_id"], UNPARSABLE, "abc")]}


@pytest.mark.parametrize("user_id", ["0", "-1", "2", "99999999999999999999999", "+2", "2_0"])
def test_another_id_is_403_whether_it_exists_or_not(api, user_id):
    api.sign_up()
    assert api.delete(f"/users/{user_id}", headers=bearer(api.login())).status_code == 403


@pytest.mark.parametrize("user_id", ["1", "+1", "01", "1.0", "%201%20"])
def test_own_id_in_any_spelling(api, user_id):
    api.sign_up()
    assert api.delete(f"/users/{user_id}", headers=bearer(api.login())).json() == {"message": "User deleted"}


def test_put_of_own_values_is_200(api):
    api.sign_up()
    own = {"username": "Teste", "email": "teste@test.com", "password": "testtest-pw"}
    answer = api.put("/users/1", headers=bearer(api.login()), json=own)
    assert answer.status_code == 200 and answer.text == '{"id":1,"username":"Teste","email":"teste@test.com"}'


def test_put_normalises_the_email(api):
    api.sign_up()
    answer = api.put("/users/1", headers=bearer(api.login()),
                     json={"username": "x", "email": " Ana <Info@EXAMPLE.com> ", "password": "p"})
    assert answer.json()["email"] == "info@example.com"


def test_highest_id_is_used_again(api):
    """INTEGER PRIMARY KEY without AUTOINCREMENT, as the original."""
    api.sign_up("a")
    api.sign_up("b")
    assert api.delete("/users/2", headers=bearer(api.login("b@test.com"))).status_code == 200
    assert api.sign_up("c").json()["id"] == 2


@pytest.mark.parametrize("username, email, detail", [
    ("a", "new@test.com", "Username already exists"), ("new", "a@test.com", "Email already exists"),
    ("a", "b@test.com", "Username already exists"), ("new", "A@TEST.com", None), ("A", "new@test.com", None),
    ("new", "a@TEST.COM", "Email already exists")])
def test_duplicates(five, username, email, detail):
    answer = five.sign_up(username, email)
    if detail is None:
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()) == (409, {"detail": detail})


def race(count, call):
    """call(i) on so many threads at the same moment; what each gave."""
    barrier, results = threading.Barrier(count), [None] * count

    def one(i):
        barrier.wait()
        results[i] = call(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("kind", ["same name", "same email", "same both"])
def test_racing_duplicates(serve, kind):
    """Exactly one of them gets in; the original answered 500 to some."""
    server = serve(workers=3)
    apis = [server.api() for _ in range(12)]
    for turn in range(6):
        def call(i):
            name = f"n{turn}" if kind != "same email" else f"n{turn}-{i}"
            email = f"e{turn}@test.com" if kind != "same name" else f"e{turn}-{i}@test.com"
            return apis[i].sign_up(name, email)
        answers = race(len(apis), call)
        detail = "Email already exists" if kind == "same email" else "Username already exists"
        assert sorted(a.status_code for a in answers) == [201] + [409] * (len(apis) - 1)
        assert {a.json()["detail"] for a in answers if a.status_code == 409} == {detail}
    assert len(apis[0].get("/users/").json()["users"]) == 6


def test_racing_changes_of_one_account(serve):
    """Each change ends the token it came with: one gets through, the others see a 401."""
    server = serve(workers=3)
    apis = [server.api() for _ in range(8)]
    apis[0].sign_up()
    token = apis[0].login()
    answers = race(len(apis), lambda i: apis[i].put("/users/1", headers=bearer(token), json={
        "username": f"n{i}", "email": "teste@test.com", "password": f"new-password-{i}"}))
    assert sorted(a.status_code for a in answers) == [200] + [401] * (len(apis) - 1)
    (winner,) = [i for i, a in enumerate(answers) if a.status_code == 200]
    assert apis[0].get("/users/1").json()["username"] == f"n{winner}"
    assert apis[0].try_login(password=f"new-password-{winner}").status_code == 200


def test_racing_deletes(serve):
    server = serve(workers=3)
    apis = [server.api() for _ in range(8)]
    apis[0].sign_up()
    token = apis[0].login()
    answers = race(len(apis), lambda i: apis[i].delete("/users/1", headers=bearer(token)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * (len(apis) - 1)


def test_every_worker_sees_an_acknowledged_write_at_once(serve):
    """A 201 from one connection, a read on many others."""
    server = serve(workers=3)
    writer, readers = server.api(), [server.api() for _ in range(9)]
    for turn in range(10):
        assert writer.sign_up(f"u{turn}").status_code == 201
        assert {len(r.get("/users/").json()["users"]) for r in readers} == {turn + 1}


def test_unicode_survives(api):
    name = "Jo\u00e3o \U0001f41d \u2028 \"quoted\" \\ / \u0001 \x7f"
    answer = api.sign_up(name, "joao@test.com")
    assert answer.status_code == 201 and answer.json()["username"] == name
    raw = answer.content
    assert "João 🐝".encode() in raw and b"\\u0001" in raw and b"\x7f" in raw and "\u2028".encode() in raw
    assert b'\\"quoted\\" \\\\ / ' in raw
    assert api.get("/users/1").content == raw


def test_nul_in_a_name_survives(api):
    assert api.sign_up("a\0b", "nul@test.com").text == '{"id":1,"username":"a\\u0000b","email":"nul@test.com"}'
    assert api.sign_up("a\0c", "nul2@test.com").status_code == 201, "compared beyond the NUL"
    assert api.sign_up("a\0b", "nul3@test.com").status_code == 409


def test_long_name_and_password(api):
    api.server.secrets.add("p" * 5000)
    assert api.sign_up("n" * 3000, "long@test.com", "p" * 5000).status_code == 201
    assert api.try_login("long@test.com", "p" * 5000).status_code == 200
    assert api.try_login("long@test.com", "p" * 4999).status_code == 401


def test_password_with_nul_and_unicode(api):
    for i, password in enumerate(["a\0b-secret", "senha-ção-🐝", " leading and trailing "]):
        assert api.sign_up(f"u{i}", f"u{i}@test.com", password).status_code == 201
        assert api.try_login(f"u{i}@test.com", password).status_code == 200
        assert api.try_login(f"u{i}@test.com", password.split("\0")[0] + "x").status_code == 401
