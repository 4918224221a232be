"""The key that signs tokens: made once, kept, judged."""

import os
import stat

import pytest

from harness.server import bearer, run_verb, write_ini


def refresh(server, token):
    with server.api() as api:
        return api.post("/auth/refresh_token", headers=bearer(token)).status_code


def test_key_is_made_once_and_kept(serve, place):
    first = serve()
    key = (place / "secret.key").read_text()
    assert stat.S_IMODE((place / "secret.key").stat().st_mode) == 0o600
    assert len(key.strip()) == 64
    with first.api() as api:
        api.sign_up()
        token = api.login()
    first.stop()
    second = serve()
    second.secrets.add(token)
    assert (place / "secret.key").read_text() == key
    assert refresh(second, token) == 200, "tokens survive a restart"


def test_two_places_have_two_keys(serve, place):
    keys = set()
    for name in "ab":
        (place / name).mkdir()
        serve(place / name, workers=1)
        keys.add((place / name / "secret.key").read_text())
    assert len(keys) == 2


def test_without_the_file_tokens_end(serve, place):
    first = serve(workers=1)
    with first.api() as api:
        api.sign_up()
        token = api.login()
    first.stop()
    (place / "secret.key").unlink()
    assert refresh(serve(workers=1), token) == 401


@pytest.mark.parametrize("key", ["k3y-2-short", "x" * 31, "your-very-secret-and-exclusive-key",
                                 "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "0" * 64])
def test_weak_keys_are_refused(place, key):
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1})
    done = run_verb(place, "--config", "colmeia.ini", env={"SECRET_KEY": key})
    assert done.returncode == 78 and "openssl rand -hex 32" in done.stderr
    assert key not in done.stderr and not (place / "database.db").exists()


def test_empty_key_in_the_environment(place):
    """Not: no key configured, make one. Somebody meant to set it."""
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1})
    done = run_verb(place, "--config", "colmeia.ini", env={"SECRET_KEY": ""})
    assert done.returncode == 78, done.stderr


def test_weak_key_can_be_allowed_loudly(serve):
    server = serve(config={"auth.allow_weak_secret": "yes"}, env={"SECRET_KEY": "your-very-secret-and-exclusive-key"})
    server.secrets.add("your-very-secret-and-exclusive-key")
    assert "WEAK" in server.log and "allow_weak_secret" in server.log


def test_weak_key_file_beside_the_database_is_refused(place):
    (place / "secret.key").write_text("short\n")
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1})
    done = run_verb(place, "--config", "colmeia.ini")
    assert done.returncode == 78 and "secret.key" in done.stderr


def test_key_from_a_file(serve, place):
    (place / "the.key").write_text("5c1b7e90a4d2f36880e5c9b7a1d4f2e3\n")
    os.chmod(place / "the.key", 0o600)
    server = serve(config={"auth.secret_key_file": "the.key"})
    server.secrets.add("5c1b7e90a4d2f36880e5c9b7a1d4f2e3")
    assert not (place / "secret.key").exists()


def test_key_from_a_systemd_credential(serve, place):
    (place / "credentials").mkdir()
    (place / "credentials" / "signing").write_text("5c1b7e90a4d2f36880e5c9b7a1d4f2e3\n")
    serve(config={"auth.secret_key_file": "signing"}, env={"CREDENTIALS_DIRECTORY": str(place / "credentials")})
    assert not (place / "secret.key").exists()


def test_key_file_that_is_not_there(place):
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1, "auth.secret_key_file": "no.key"})
    done = run_verb(place, "--config", "colmeia.ini")
    assert done.returncode == 78 and "no.key" in done.stderr


def test_key_file_open_to_others_is_named(serve, place):
    (place / "the.key").write_text("5c1b7e90a4d2f36880e5c9b7a1d4f2e3\n")
    os.chmod(place / "the.key", 0o644)
    server = serve(config={"auth.secret_key_file": "the.key"})
    assert "chmod 600" in server.log


@pytest.mark.parametrize("algorithm", ["RS256", "HS512", "none", "hs256"])
def test_other_algorithms_are_refused(place, algorithm):
    done = run_verb(place, "check", env={"ALGORITHM": algorithm})
    assert done.returncode == 78 and "HS256" in done.stderr
