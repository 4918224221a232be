"""Configuration: every error at once, nothing started, and the verbs about it."""

import re

import pytest

from harness.server import run_verb

VERBS = ["run", "check", "config", "migrate", "version"]


def check(place, text, *words, env=None):
    (place / "c.ini").write_text(text)
    return run_verb(place, *(words or ["check"]), "--config", "c.ini", env=env)


def test_check_of_good_configuration(place):
    done = check(place, "[server]\nworkers = 2\nbind = 127.0.0.1:0, [::1]:0\n[limits]\nmax_body = 1m\n")
    assert done.returncode == 0, done.stderr
    assert not (place / "database.db").exists() and not (place / "secret.key").exists()


BAD = """\
[server]
worker = 3
bind = nonsense:here
[limit]
[limits]
header_timeout = soon
max_body = 1q
max_headers = 0
[auth]
algorithm = RS256
[log]
level = loud
"""


@pytest.mark.parametrize("words", [["check"], ["run"], ["config"], []])
def test_every_error_is_named_at_once(place, words):
    (place / "c.ini").write_text(BAD)
    done = run_verb(place, *words, "--config", "c.ini")
    assert done.returncode == 78
    named = sorted(int(n) for n in re.findall(r"^\S*c\.ini:(\d+): ", done.stderr, re.MULTILINE))
    assert named == [2, 3, 4, 6, 7, 8, 10, 12], done.stderr
    assert re.search(r"c\.ini:2: .*worker.*did you mean.*workers", done.stderr), done.stderr
    assert re.search(r"c\.ini:4: .*limit.*did you mean.*limits", done.stderr), done.stderr
    assert not (place / "database.db").exists()


@pytest.mark.parametrize("key", ["session_len", "throttling"])
def test_keys_that_do_not_exist_yet_are_refused(place, key):
    done = check(place, f"[auth]\n{key} = 5\n")
    assert done.returncode == 78 and f"c.ini:2: " in done.stderr and key in done.stderr


def test_errors_of_all_sources_are_named_together(place):
    (place / ".env").write_text("ALGORITHM=HS512\n")
    done = check(place, "[server]\nbacklog = none\n", "check", "--workers", "many", env={"DATABASE_URL": "mysql://x"})
    assert done.returncode == 78
    for named in [r"c\.ini:2: ", r"\.env:1: ", r"DATABASE_URL", r"--workers"]:
        assert re.search(named, done.stderr), (named, done.stderr)


def test_unknown_flag(place):
    done = run_verb(place, "--wrokers", "3")
    assert done.returncode == 2 and "--wrokers" in done.stderr and "--workers" in done.stderr


def test_unknown_verb(place):
    done = run_verb(place, "chekc")
    assert done.returncode == 2 and "chekc" in done.stderr


def test_ini_that_is_not_there(place):
    done = run_verb(place, "check", "--config", "nowhere.ini")
    assert done.returncode == 78 and "nowhere.ini" in done.stderr


def test_config_prints_what_it_can_read_again(place):
    first = check(place, "[server]\nworkers = 3\n[limits]\nmax_body = 1m\n", "config")
    assert first.returncode == 0
    second = check(place, first.stdout, "config")
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert re.search(r"^workers\s*=\s*3$|server\.workers = 3", first.stdout, re.MULTILINE)


def test_origin_names_the_source_of_each_value(place):
    (place / ".env").write_text("ACCESS_TOKEN_EXPIRE_MINUTES=5\n")
    done = check(place, "[server]\nworkers = 3\nbacklog = 10\n", "config", "--origin", "--workers", "4",
                 env={"COLMEIA_LIMITS_MAX_HEADERS": "50"})
    assert done.returncode == 0, done.stderr
    rows = {m[1]: m[2] for m in re.finditer(r"^(?:\w+\.)?(\w+) = (.*)$", done.stdout, re.MULTILINE)}
    assert re.match(r"4\b.*--workers", rows["workers"])
    assert re.match(r"10\b.*c\.ini:3", rows["backlog"])
    assert re.match(r"5\b.*\.env:1", rows["access_token_expire_minutes"])
    assert re.match(r"50\b.*COLMEIA_LIMITS_MAX_HEADERS", rows["max_headers"])
    assert "default" in rows["max_body"] or "built-in" in rows["max_body"]


@pytest.mark.parametrize("words", [["config"], ["config", "--origin"], ["check"]])
def test_secrets_are_masked(place, words):
    secret = "b7d6e8f10a2c4b5d9e8f7a6b5c4d3e2f"
    for text, env in [(f"[auth]\nsecret_key = {secret}\n", None), ("", {"SECRET_KEY": secret})]:
        done = check(place, text, *words, env=env)
        assert done.returncode == 0, done.stderr
        assert secret not in done.stdout + done.stderr


def test_secret_is_masked_in_errors_too(place):
    done = check(place, "[auth]\nsecret_key = too-short-to-be-good\n", "run")
    assert done.returncode == 78 and "too-short" not in done.stderr and "openssl rand -hex 32" in done.stderr


@pytest.mark.parametrize("words", [["--help"]] + [[v, "--help"] for v in VERBS])
def test_help(place, words):
    done = run_verb(place, *words)
    assert done.returncode == 0 and done.stderr == ""
    assert "colmeia" in done.stdout and len(done.stdout.splitlines()) >= 3
    if words in (["--help"], ["run", "--help"]):
        for flag in ["--workers", "--bind", "--config", "--env-file", "--database-url", "--log-level"]:
            assert flag in done.stdout


def test_help_names_every_verb(place):
    text = run_verb(place, "--help").stdout
    assert [v for v in VERBS if not re.search(rf"\b{v}\b", text)] == []


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version(place, words):
    done = run_verb(place, *words)
    assert done.returncode == 0 and re.match(r"colmeia \d+\.\d+\.\d+", done.stdout)


def test_unknown_environment_name_is_a_warning(place):
    done = check(place, "", env={"COLMEIA_SERVER_WORKRES": "3"})
    assert done.returncode == 0 and "COLMEIA_SERVER_WORKRES" in done.stderr


def test_python_names_work_from_dot_env(serve, place):
    (place / ".env").write_text(
        'DATABASE_URL="sqlite+aiosqlite:///other.db"\n'
        "export SECRET_KEY='0b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfe'  # comment\n"
        "ALGORITHM=HS256\nACCESS_TOKEN_EXPIRE_MINUTES=30\n")
    server = serve()
    assert (place / "other.db").exists() and not (place / "secret.key").exists()
    server.secrets.add("0b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfe")


def test_uvicorn_flags(serve):
    server = serve(bind=None, args=["--host", "127.0.0.1", "--port", "0"])
    assert server.tcp()[0] == "127.0.0.1"


def test_uvicorn_uds_flag(serve, place):
    serve(bind=None, args=["--uds", "http.sock"])
    assert (place / "http.sock").exists()
