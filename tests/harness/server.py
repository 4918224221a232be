"""server.py: the real binary for tests: started on port 0 in a directory of its own, awaited by its
ready line, told what to do by signals and `colmeia ctl`, and judged at its end: exit code, no sanitizer
report, no secret in its log."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("COLMEIA_BINARY", ROOT / "build" / "asan" / "colmeia"))
# To wait for anything: far beyond what it takes, so that only a hang fails.
PATIENCE_S = float(os.environ.get("COLMEIA_PATIENCE_S", "90"))

# What a test does not say: a control socket of its own, cheap hashes, a log that holds all it can, and
# debug mode, so that every test looks for what is left open (Server.finish()).
DEFAULTS = {
    "supervisor.control": "ctl.sock",
    "auth.hash_memory": "8k",
    "auth.hash_iterations": "1",
    "log.level": "debug",
    "log.access": "on",
    "debug.enabled": "yes",
}

# For tests that reload: a new generation has proved itself at once.
FAST = {"supervisor.settle": "50ms", "supervisor.min_ready": "50ms"}

# Names that must not leak into a test from the outside.
FOREIGN = re.compile(r"^(COLMEIA_|WEB_CONCURRENCY$|DATABASE_URL$|SECRET_KEY$|ALGORITHM$|ACCESS_TOKEN|"
                     r"JOURNAL_STREAM$|NOTIFY_SOCKET$|LISTEN_|CREDENTIALS_DIRECTORY$|RUNTIME_DIRECTORY$|"
                     r"XDG_RUNTIME_DIR$)", re.IGNORECASE)
PIPE_BYTES = 1 << 20     # of log that may wait for a test's reader; what does not fit is dropped
REPORTS = re.compile(r"Sanitizer|runtime error:|ASSERT|assertion|\bdebug: an? [a-z ]+ (is|was) ", re.IGNORECASE)


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not FOREIGN.match(k)}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=86")
    return {**env, **(extra or {})}


def without_aslr(argv):
    """See tests/runner.py: the sanitizers cannot live with more than 28 random bits in addresses."""
    try:
        bits = int(Path("/proc/sys/vm/mmap_rnd_bits").read_text())
    except (OSError, ValueError):
        bits = 0
    return ["setarch", "-R", *argv] if bits > 28 else list(argv)


def write_ini(directory, values, name="colmeia.ini"):
    """{"auth.hash_memory": "8k", "server.bind": ["a", "b"]} as an ini file; its path."""
    sections = {}
    for key, value in values.items():
        section, option = key.split(".")
        text = ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
        sections.setdefault(section, []).append(f"{option} = {text}\n")
    path = Path(directory) / name
    path.write_text("".join(f"[{s}]\n" + "".join(rows) for s, rows in sections.items()))
    return path


def run_verb(directory, *words, env=None, stdin=b"", timeout_s=PATIENCE_S, binary=BINARY):
    """`colmeia words…` to its end: subprocess.CompletedProcess with text in stdout and stderr."""
    done = subprocess.run(without_aslr([str(binary), *words]), cwd=directory, env=clean_environment(env),
                          input=stdin, capture_output=True, timeout=timeout_s)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert not REPORTS.search(done.stderr), done.stderr
    return done


def await_gone(pid):
    """Waits for a process, ours or not, to end: a pidfd becomes readable then (pidfd_open(2))."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([fd], [], [], PATIENCE_S)
        assert ready, f"process {pid} is still there"
    finally:
        os.close(fd)


def await_true(what, predicate):
    """For what announces itself nowhere. Looks again and again; returns what predicate() gave."""
    end = time.monotonic() + PATIENCE_S
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


def bytes_waiting(pipe):
    """That nobody has read yet; see pipe(7)."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0]


def open_files(pid):
    """{descriptor: what it is} of a process."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def children(pid):
    """{pid: title} of the living children of a process."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
            title = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").rstrip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = stat.rpartition(")")[2].split()[:2]
        if int(parent) == pid and state != "Z":
            found[int(entry)] = title
    return found


class Server:
    def __init__(self, directory, config=None, args=(), env=None, workers=2, bind="127.0.0.1:0", activation=None,
                 binary=BINARY):
        """activation: a harness.activation.Holder whose sockets it gets; binary: as it is typed."""
        self.directory = Path(directory)
        self.activation = activation
        self.binary = binary
        self.config = {**DEFAULTS, **(config or {})}
        if bind:
            self.config.setdefault("server.bind", bind)
        self.verb = []
        self.args = list(args)
        if workers:
            self.args += ["--workers", str(workers)]
        self.env = env
        self.apis = []
        self.secrets = set()         # texts that must never be logged
        self.expected_reports = None # a pattern that excuses lines which look like a sanitizer's
        self.lines = []
        self.eof = False
        self.changed = threading.Condition()
        self.process = None
        self.exit_code = None
        self.addresses = []          # "127.0.0.1:43210", "[::1]:43211", "unix:…", as the ready line has them

    # ---- life ----

    def spawn(self, prefix=()):
        """Starts the master and returns at once."""
        ini = write_ini(self.directory, self.config)
        held = self.activation
        argv = [*prefix, *(held.prefix() if held else []), str(self.binary), *self.verb, "--config", str(ini),
                *self.args]
        # nothing survives a test run that is itself killed
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *without_aslr(argv)], cwd=self.directory,
            env=clean_environment(self.env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True, pass_fds=held.fds() if held else ())
        return self.read_log()

    def start_on_terminal(self, prefix=()):
        """Starts in the foreground of a terminal of its own and waits until all workers are ready; the
        terminal's other side, a descriptor: what is written there is typed, closing it hangs up."""
        leader, follower = pty.openpty()
        ini = write_ini(self.directory, self.config)

        def as_after_a_login():
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(
            [*prefix, *without_aslr([str(self.binary), "--config", str(ini), *self.args])], cwd=self.directory,
            env=clean_environment(), stdin=follower, stdout=follower, stderr=subprocess.PIPE,
            start_new_session=True, preexec_fn=as_after_a_login)
        os.close(follower)
        self.read_log().await_ready()
        return leader

    def start(self, prefix=()):
        """Starts and waits until all workers are ready."""
        self.spawn(prefix)
        return self.await_ready()

    def restart(self, code=0):
        """Stops it and starts it again, as `systemctl restart` does; the log goes on."""
        self.stop(code=code)
        self.await_end_of_log()
        mark = self.mark()
        return self.spawn().await_ready(mark)

    def await_ready(self, after=0):
        text = self.await_line(r"\bready: .*", after).group(0)
        self.addresses = re.findall(r"(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.%\w]+\]):\d+|unix:[^\s,]+", text)
        return self

    def read_log(self):
        """Begins to collect the lines of self.process."""
        with self.changed:
            self.eof = False
        try:
            fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except PermissionError:
            pass     # /proc/sys/fs/pipe-max-size is less
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()
        return self

    def _read(self, stream):
        """Under the lock from the pipe to self.lines: what is in neither has not been written."""
        rest, ended = b"", False
        while not ended:
            select.select([stream], [], [])
            with self.changed:
                data = os.read(stream.fileno(), PIPE_BYTES)
                ended = not data
                *rows, rest = (rest + data).split(b"\n")
                if ended and rest:
                    rows.append(rest)
                self.lines += [row.decode(errors="replace") for row in rows]
                if stream is self.process.stderr:      # not that of a process before
                    self.eof = ended
                self.changed.notify_all()
        stream.close()

    @property
    def log(self):
        """All that has been written by now."""
        with self.changed:
            while not self.eof and bytes_waiting(self.process.stderr):
                self.changed.wait(0.1)
            return "\n".join(self.lines)

    def mark(self):
        """The present end of the log: for await_line(after=…)."""
        with self.changed:
            return len(self.lines)

    def await_line(self, pattern, after=0, count=1):
        """Waits for the count-th line that has the pattern; its match. Fails at once when the log ends."""
        pattern = re.compile(pattern)
        end = time.monotonic() + PATIENCE_S
        with self.changed:
            while True:
                found = [m for m in map(pattern.search, self.lines[after:]) if m]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                assert not self.eof and left > 0, \
                    f"no line /{pattern.pattern}/ ({len(found)} of {count}) in:\n" + "\n".join(self.lines)
                self.changed.wait(left)

    def await_end_of_log(self):
        """Nobody holds it open any more: master and workers are gone."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.eof, PATIENCE_S), "somebody still holds the log open"

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self):
        """Waits for the master's end; its exit code."""
        try:
            self.exit_code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the master does not end\n{self.log}") from None
        return self.exit_code

    def stop(self, number=signal.SIGTERM, code=0):
        self.send_signal(number)
        assert self.wait() == code, self.log
        return self

    def finish(self):
        """Stops it if it still runs, and judges it."""
        for api in self.apis:
            api.http.close()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.stop()
        self.await_end_of_log()
        for line in self.lines:
            if REPORTS.search(line) and not (self.expected_reports and re.search(self.expected_reports, line)):
                raise AssertionError(f"a report in the log:\n{self.log}")
        key = self.directory / "secret.key"
        secrets = self.secrets | ({key.read_text().strip()} if key.exists() else set())
        for secret in filter(None, secrets):
            assert secret not in self.log, f"a secret was logged:\n{self.log}"

    def kill(self):
        """Whatever state it is in: away with it. For the end of a failed test."""
        if self.process and self.process.poll() is None:
            mine = [*children(self.process.pid)]
            self.process.kill()
            self.process.wait()
            for pid in mine:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    # ---- processes ----

    def children(self):
        return children(self.process.pid)

    def workers(self):
        """{pid: title} of the workers that say they are ready; candidates of a reload wait until it commits."""
        return {p: t for p, t in self.children().items() if re.search(r"worker \d+ .*\[(ready|waiting)\]", t)}

    def await_served(self):
        """Waits until the first start is over for the master: a worker that dies within 500 ms of being
        ready (min_ready) counts as one that never started. Nothing announces it."""
        ready_at = time.monotonic()
        await_true("min_ready is over", lambda: time.monotonic() - ready_at > 0.6)
        return self

    def await_workers(self, count, without=()):
        """Waits until so many workers are ready, none of them in *without*; {pid: title}."""
        def enough():
            found = self.workers()
            return found if len(found) == count and not set(found) & set(without) else None
        return await_true(f"{count} ready workers, none of {list(without)}", enough)

    # ---- telling it ----

    def configure(self, **changes):
        """Writes the ini anew; section__key=value, None: without it. A reload is another matter."""
        for name, value in changes.items():
            key = name.replace("__", ".")
            if value is None:
                self.config.pop(key, None)
            else:
                self.config[key] = value
        return write_ini(self.directory, self.config)

    def run_ctl(self, *words, timeout_s=PATIENCE_S):
        """`colmeia ctl words…` to its end: see run_verb()."""
        return run_verb(self.directory, "ctl", "--control", "ctl.sock", "--json", *words, timeout_s=timeout_s)

    def ctl(self, *words, code=0):
        """What `colmeia ctl --json words…` answers, parsed."""
        done = self.run_ctl(*words)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def control(self):
        """A connection to the control socket, for what `colmeia ctl` never does."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.directory / "ctl.sock"))    # waits while the queue is full
        client.settimeout(PATIENCE_S)
        return client

    def ask(self, line):
        """As ctl(), without a process of its own: for what is asked again and again."""
        with self.control() as client:
            client.sendall(line.encode() + b"\n")
            return json.loads(client.makefile().readline())

    def status(self):
        return self.ask("status")["status"]

    def slots(self, state="ready"):
        """The rows of those slots, youngest pid last."""
        return sorted((s for s in self.status()["slots"] if s["state"] == state), key=lambda s: s["pid"])

    def await_status(self, what, predicate):
        """Waits until predicate(status) is true; what it gave."""
        try:
            return await_true(what, lambda: predicate(self.status()))
        except AssertionError as error:
            raise AssertionError(f"{error}; but {json.dumps(self.status())}") from None

    def reload(self):
        """A reload that succeeds, to its end; its receipt."""
        return self.ctl("reload", "--wait")["text"]

    # ---- talking to it ----

    def tcp(self, index=0):
        """(host, port) of the index-th TCP address."""
        tcp = [a for a in self.addresses if not a.startswith("unix:")]
        host, _, port = tcp[index].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def url(self):
        return "http://" + next(a for a in self.addresses if not a.startswith("unix:"))

    def api(self, **options):
        """Closed with the server at the latest, which waits for those that are silent in a stop."""
        self.apis.append(Api(self, **options))
        return self.apis[-1]


class Api:
    """An httpx client that knows the API and keeps in mind what must not be logged."""

    def __init__(self, server, **options):
        self.server = server
        self.http = httpx.Client(base_url=server.url, follow_redirects=True, timeout=PATIENCE_S,
                                 trust_env=False, **options)
        self.get, self.post, self.put = self.http.get, self.http.post, self.http.put
        self.delete, self.request = self.http.delete, self.http.request

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def sign_up(self, name="Teste", email=None, password="testtest-pw"):
        self.server.secrets.add(password)
        return self.post("/users/", json={"username": name, "email": email or f"{name.lower()}@test.com",
                                          "password": password})

    def try_login(self, email="teste@test.com", password="testtest-pw"):
        self.server.secrets.add(password)
        return self.post("/auth/token", data={"username": email, "password": password})

    def login(self, email="teste@test.com", password="testtest-pw"):
        """A token."""
        answer = self.try_login(email, password)
        assert answer.status_code == 200, answer.text
        self.server.secrets.add(answer.json()["access_token"])
        return answer.json()["access_token"]


def bearer(token):
    return {"authorization": f"Bearer {token}"}
