"""The tests of the course the original comes from, seen from outside: same names, same assertions.
Its client follows redirects, as ours does."""

import re
import sqlite3

import jwt
import pytest

from harness.clock import Clock
from harness.server import bearer


@pytest.fixture
def api(serve):
    with serve().api() as api:
        yield api


@pytest.fixture
def user(api):
    assert api.sign_up("Teste", "teste@test.com").status_code == 201
    return {"id": 1, "username": "Teste", "email": "teste@test.com", "password": "testtest-pw"}


@pytest.fixture
def other_user(api, user):
    return api.sign_up("other", "other@test.com").json()


@pytest.fixture
def token(api, user):
    return api.login(user["email"])


def test_root_deve_retornar_ok_e_ola_mundo(api):
    answer = api.get("/")
    assert answer.status_code == 200 and answer.json() == {"message": "Olá Mundo!"}


def test_get_token(api, user):
    answer = api.try_login(user["email"])
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type"} and answer.json()["token_type"] == "bearer"


@pytest.fixture
def aging(serve, place):
    """A token that was made half an hour before the clock was moved, and the clock."""
    clock = Clock(place)
    with serve(env=clock.env).api() as api:
        api.sign_up()
        api.token = api.login()
        api.clock = clock
        yield api


def update(api):
    return api.put("/users/1", headers=bearer(api.token),
                   json={"username": "wrongwrong", "email": "wrong@wrong.com", "password": "wrong"})


def test_token_expired_after_time(aging):
    aging.clock.set("+31m")
    answer = update(aging)
    assert answer.status_code == 401 and answer.json() == {"detail": "Could not validate credentials"}
    assert answer.headers["www-authenticate"] == "Bearer"
    aging.clock.set("+29m")
    assert update(aging).status_code == 200, "it was the time"


def test_token_inexistent_user(api):
    answer = api.try_login("no_user@no_domain.com")
    assert answer.status_code == 401 and answer.json() == {"detail": "Incorrect email or password"}
    assert "www-authenticate" not in answer.headers


def test_token_wrong_password(api, user):
    answer = api.try_login(user["email"], "wrong_password")
    assert answer.status_code == 401 and answer.json() == {"detail": "Incorrect email or password"}


def test_refresh_token(api, token):
    answer = api.post("/auth/refresh_token", headers=bearer(token))
    assert answer.status_code == 200 and answer.json()["token_type"] == "bearer"
    assert api.put("/users/1", headers=bearer(answer.json()["access_token"]),
                   json={"username": "new", "email": "n@test.com", "password": "p"}).status_code == 200


def test_token_expired_dont_refresh(aging):
    aging.clock.set("+31m")
    answer = aging.post("/auth/refresh_token", headers=bearer(aging.token))
    assert answer.status_code == 401 and answer.json() == {"detail": "Could not validate credentials"}
    aging.clock.set("+29m")
    assert aging.post("/auth/refresh_token", headers=bearer(aging.token)).status_code == 200


def test_db_create_user(serve, place):
    """The row as the ORM's mocked event finds it, and as the original's other tools will read it."""
    clock = Clock(place)
    clock.set("@2024-02-29 12:00:00")
    server = serve(env=clock.env)
    with server.api() as api:
        api.sign_up("alice", "teste@test", "secret-pw")    # refused: no row
        api.sign_up("alice", "teste@test.com", "secret-pw")
    with sqlite3.connect(server.directory / "database.db") as database:
        (row,) = database.execute("SELECT id, username, email, password, created_at FROM users").fetchall()
    database.close()
    assert row[:3] == (1, "alice", "teste@test.com")
    assert row[3].startswith("$argon2id$v=19$") and "secret-pw" not in row[3]
    assert re.fullmatch(r"2024-02-29 12:0\d:\d\d", row[4])


def test_jwt(serve):
    """decode(create(data)) has the data and an exp."""
    key = "4f1d7a0c9b8e6d5f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f"
    with serve(config={"auth.secret_key": key}).api() as api:
        api.sign_up()
        claims = jwt.decode(api.login(), key, algorithms=["HS256"])
    assert claims["sub"] == "teste@test.com" and "exp" in claims


def test_jwt_invalid_token(api):
    answer = api.delete("/users/1", headers=bearer("token-invalido"))
    assert answer.status_code == 401 and answer.json() == {"detail": "Could not validate credentials"}
    assert answer.headers["www-authenticate"] == "Bearer"


def test_create_user(api):
    answer = api.post("/users/", json={"username": "alice", "email": "alice@example.com", "password": "secret"})
    assert answer.status_code == 201
    assert answer.json() == {"username": "alice", "email": "alice@example.com", "id": 1}


def test_read_users(api):
    answer = api.get("/users")
    assert answer.status_code == 200 and answer.json() == {"users": []}


def test_read_users_with_users(api, user):
    assert api.get("/users/").json() == {"users": [{"id": 1, "username": "Teste", "email": "teste@test.com"}]}


def test_update_user(api, token):
    answer = api.put("/users/1", headers=bearer(token),
                     json={"username": "bob", "email": "bob@example.com", "password": "mynewpassword"})
    assert answer.status_code == 200
    assert answer.json() == {"username": "bob", "email": "bob@example.com", "id": 1}


def test_update_integrity_error(api, token):
    api.post("/users", json={"username": "fausto", "email": "fausto@example.com", "password": "secret"})
    answer = api.put("/users/1", headers=bearer(token),
                     json={"username": "fausto", "email": "bob@example.com", "password": "mynewpassword"})
    assert answer.status_code == 409 and answer.json() == {"detail": "Username or Email already exists"}
    assert api.get("/users/1").json()["username"] == "Teste", "nothing was changed"


def test_delete_user(api, token):
    answer = api.delete("/users/1", headers=bearer(token))
    assert answer.status_code == 200 and answer.json() == {"message": "User deleted"}


def test_update_user_with_wrong_user(api, token, other_user):
    answer = api.put(f"/users/{other_user['id']}", headers=bearer(token),
                     json={"username": "bob", "email": "bob@example.com", "password": "mynewpassword"})
    assert answer.status_code == 403 and answer.json() == {"detail": "Not enough permissions"}


def test_delete_user_wrong_user(api, token, other_user):
    answer = api.delete(f"/users/{other_user['id']}", headers=bearer(token))
    assert answer.status_code == 403 and answer.json() == {"detail": "Not enough permissions"}


def test_exercise_duplicates(api, user):
    assert api.sign_up("Teste", "new@test.com").json() == {"detail": "Username already exists"}
    answer = api.sign_up("new", "teste@test.com")
    assert answer.status_code == 409 and answer.json() == {"detail": "Email already exists"}


def test_exercise_read_one(api, user):
    assert api.get("/users/1").json() == {"id": 1, "username": "Teste", "email": "teste@test.com"}
    answer = api.get("/users/666")
    assert answer.status_code == 404 and answer.json() == {"detail": "User not found"}
