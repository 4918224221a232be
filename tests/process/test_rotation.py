"""The key of tokens is changed while people are logged in: one key signs, those before it verify."""

import base64
import json
import signal

import pytest

from harness.server import FAST, bearer, run_verb, write_ini

OLD = "0ddba11200112233445566778899aabbccddeeff00112233445566778899aabb"
NEW = "c0ffee0300112233445566778899aabbccddeeff00112233445566778899aabb"


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def statuses(api, token, times=3):
    """Of refreshes with it: the first is verified, the next ones are known already."""
    return {api.post("/auth/refresh_token", headers=bearer(token)).status_code for _ in range(times)}


@pytest.fixture
def server(serve):
    server = serve(config={**FAST, "auth.secret_key": OLD}, workers=1)
    server.secrets |= {OLD, NEW}
    return server


def hup(server, **changes):
    mark = server.mark()
    server.configure(**changes)
    server.send_signal(signal.SIGHUP)
    server.await_line(r"reload \d+: \d+ workers? replaced", after=mark)


def test_rotation_step_by_step(server):
    with server.api() as api:
        api.sign_up()
        old = api.login()
        assert statuses(api, old) == {200}

        hup(server, auth__secret_key=NEW, auth__previous_secret_keys=OLD)
        assert statuses(api, old) == {200}
        new = api.post("/auth/refresh_token", headers=bearer(old)).json()["access_token"]
        assert claims(new)["pwv"] != claims(old)["pwv"], "each key has its own digest of the password"
        assert claims(new)["auth_time"] == claims(old)["auth_time"], "it is the same session"

        hup(server, auth__previous_secret_keys=None)
        assert statuses(api, old) == {401}, "a key that was removed opens nothing"
        assert statuses(api, new) == {200}, "what was refreshed has been signed by the new one"


def test_a_changed_password_ends_sessions_of_previous_keys_too(server):
    with server.api() as api:
        api.sign_up()
        old = api.login()
        hup(server, auth__secret_key=NEW, auth__previous_secret_keys=OLD)
        body = {"username": "Teste", "email": "teste@test.com", "password": "another-pw"}
        assert api.put("/users/1", headers=bearer(old), json=body).status_code == 200
        assert statuses(api, old) == {401}


def test_rotation_of_files(serve, place):
    """The key that was made at the first start; a relative name is one of systemd's credentials first."""
    server = serve(config=FAST, workers=1)
    with server.api() as api:
        api.sign_up()
        old = api.login()
        (place / "secret.key").rename(place / "secret.key.old")
        server.secrets.add((place / "secret.key.old").read_text().strip())
        hup(server, auth__previous_secret_key_files="secret.key.old")
        assert statuses(api, old) == {200}
        assert (place / "secret.key").read_text() != (place / "secret.key.old").read_text()
        hup(server, auth__previous_secret_key_files=None)
        assert statuses(api, old) == {401}


def test_it_goes_along_in_an_upgrade(server):
    with server.api() as api:
        api.sign_up()
        old = api.login()
        hup(server, auth__secret_key=NEW, auth__previous_secret_keys=OLD)
        server.ctl("upgrade", "--wait")
        assert statuses(api, old) == {200}


def test_it_is_told_without_the_keys(place):
    write_ini(place, {"auth.secret_key": NEW, "auth.previous_secret_keys": OLD})
    for words, line in ((("check",), "and 1 previous, whose tokens are honoured"),
                        (("config",), "# previous_secret_keys = ********"),
                        (("doctor",), "previous keys honoured: 1")):
        done = run_verb(place, *words, "--config", "colmeia.ini")
        assert line in done.stdout, done.stdout + done.stderr
        assert OLD not in done.stdout + done.stderr and NEW not in done.stdout + done.stderr


def test_what_is_wrong_with_a_list_of_keys_is_said_without_them(place):
    for value, words in ((f"{OLD},,{NEW}", "it has an empty item"), (f"{OLD}, short", "shorter than 32 bytes")):
        write_ini(place, {"auth.previous_secret_keys": value})
        done = run_verb(place, "check", "--config", "colmeia.ini")
        assert done.returncode == 78 and words in done.stderr
        assert OLD not in done.stderr and NEW not in done.stderr and "short\"" not in done.stderr


def test_a_reload_tells_no_key(server):
    server.configure(auth__secret_key=NEW, auth__previous_secret_keys=OLD)
    assert "auth.previous_secret_keys: unset -> ********" in json.dumps(server.ctl("reload", "--dry-run"))


def test_a_weak_previous_key_fails_a_reload(server):
    server.configure(auth__secret_key=NEW, auth__previous_secret_keys="your-very-secret-and-exclusive-key")
    told = server.ctl("reload", "--wait", code=1)
    assert "previous_secret_keys: the key is an example that everybody knows" in json.dumps(told)
    with server.api() as api:
        api.sign_up()
        assert statuses(api, api.login()) == {200}
