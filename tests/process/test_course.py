"""The tests of the course the original comes from, seen from outside: same names, same assertions.
Its client follows redirects, as ours does."""

import pytest

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
def short_lived(serve):
    """A server whose tokens are over when they are made: its clock need not move."""
    with serve(config={"auth.access_token_expire_minutes": "0"}).api() as api:
        api.sign_up()
        yield api


def test_token_expired_after_time(short_lived):
    answer = short_lived.put("/users/1", headers=bearer(short_lived.login()),
                             json={"username": "wrongwrong", "email": "wrong@wrong.com", "password": "wrong"})
    assert answer.status_code == 401 and answer.json() == {"detail": "Could not validate credentials"}


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


def test_token_expired_dont_refresh(short_lived):
    answer = short_lived.post("/auth/refresh_token", headers=bearer(short_lived.login()))
    assert answer.status_code == 401 and answer.json() == {"detail": "Could not validate credentials"}


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
