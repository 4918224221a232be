"""processes.py: servers and loads as processes of ours. A server is the process that was started
and all that descend from it: their CPU time, their memory, and at the end whom to stop. Nobody else's process
is ever touched.

A kernel may divide its time among sessions first and count nice within one only (sched(7), the autogroup
feature). Servers stay in our session, and so does a client whose delays are measured: a server that hashes at
the lowest priority does it for this client, too, as it would for one that comes over the network. Clients that
shall keep a server busy have sessions of their own."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 30        # for the first answer
STOP_S = 15         # for a graceful end
KILLED_S = 15       # for an end by SIGKILL, and for a port to be free again
STILL_S, SETTLE_S = 0.25, 5     # memory that is the same for so long is settled; do not wait longer
LOOK_S = 0.02       # how often to look for what announces itself nowhere


class Trouble(Exception):
    """A server or load that does not do what it should: named, and left out."""


class PortTaken(Exception):
    """By somebody else: nothing can be measured."""


@dataclass
class Process:
    pid: int
    parent: int
    started: int    # in ticks since the boot: with the pid it names one process
    lives: bool     # one whose first thread has ended lives on in the others
    cpu_s: float    # user and system, its own and of its children that were reaped


def parse_stat(text):
    """A line of /proc/PID/stat; see proc(5). The name in it may hold anything."""
    pid = int(text.split(" ", 1)[0])
    f = text.rpartition(")")[2].split()
    return Process(pid, int(f[1]), int(f[19]), f[0] != "Z" or int(f[17]) > 1, sum(map(int, f[11:15])) / TICKS)


def everyone():
    """Every process of this machine."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                found.append(parse_stat(file.read()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def family(pid, known=()):
    """That process, those of *known*, (pid, started), that are still there, and all that descend from one of
    them."""
    rest, found = everyone(), []
    pids = {pid}
    while members := [p for p in rest if p.pid in pids or p.parent in pids or (p.pid, p.started) in known]:
        found += members
        pids |= {p.pid for p in members}
        rest = [p for p in rest if p not in members]
    return found


def pss_kib(pid):
    """Proportional set size; 0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


class Stolen:
    """with Stolen() as stolen: stolen.part of the time of all cores went to other machines of the same host:
    proc_stat(5), steal. None has a machine of its own."""

    def __enter__(self):
        self.began, self.part = stolen_and_all(Path("/proc/stat").read_text(encoding="ascii")), None
        return self

    def __exit__(self, *_):
        stolen, whole = stolen_and_all(Path("/proc/stat").read_text(encoding="ascii"))
        self.part = (stolen - self.began[0]) / max(1, whole - self.began[1])


def stolen_and_all(text):
    """In ticks, since the boot, of all cores together: the first line; user to steal."""
    ticks = [int(n) for n in text.splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)    # TIME_WAIT is no server
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def await_true(predicate, seconds):
    """Whether it became true within so many seconds."""
    end = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
    return True


class Server:
    """with Server(argv, env, directory, port) as server: it answers on the port."""

    def __init__(self, argv, env, directory, port):
        self.argv, self.env, self.directory, self.port = [str(a) for a in argv], env, directory, port
        self.process = None
        self.known = set()      # (pid, started) of those seen: one whose parent has ended is no orphan to us

    def __enter__(self):
        if not await_true(lambda: port_is_free(self.port), KILLED_S):
            raise PortTaken(f"port {self.port} is taken")
        with open(self.directory / "server.log", "wb") as log:
            # should we be killed, it is told to stop
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *self.argv], env=self.env,
                                            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            process_group=0)    # a terminal's signals are for us
        try:
            self.await_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def ended(self):
        """The leader is gone; it is not reaped, so that its pid stays ours."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def words(self):
        """The end of what it has said."""
        return (self.directory / "server.log").read_text(errors="replace")[-600:].strip()

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                return probe.recv(16).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def await_answer(self):
        if not await_true(lambda: self.ended() or self.answers(), START_S) or self.ended():
            raise Trouble(f"it does not start: {self.words() or 'not a word from it'}")

    def family(self):
        found = family(self.process.pid, self.known)
        self.known |= {(p.pid, p.started) for p in found}
        return found

    def members(self):
        return [p for p in self.family() if p.lives]

    def cpu_s(self):
        """Of all its processes since their start, those that have ended and were reaped included."""
        return sum(p.cpu_s for p in self.family())

    def memory_kib(self, workers):
        """(mean of its workers, the master) in KiB; the master None when one process is all there is.
        Workers are the largest children, so many as there should be: others only help (uvicorn's)."""
        root = self.process.pid
        children = sorted((pss_kib(p.pid) for p in self.members() if p.pid != root), reverse=True)[:workers]
        if not children:
            return pss_kib(root), None
        return round(sum(children) / len(children)), pss_kib(root)

    def settled_memory_kib(self, workers):
        """The same once it has stopped growing: a server answers before its last worker is ready."""
        looks = [self.memory_kib(workers)]

        def is_still():
            time.sleep(STILL_S)
            looks.append(self.memory_kib(workers))
            return looks[-1] == looks[-2]
        await_true(is_still, SETTLE_S)
        return looks[-1]

    def all_memory_kib(self):
        return [pss_kib(p.pid) for p in self.members()]

    def signal_members(self, number):
        for process in self.members():
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                pass

    def is_gone(self):
        return self.ended() and not self.members()

    def ask_to_stop(self):
        if not self.ended():
            os.kill(self.process.pid, signal.SIGTERM)
            await_true(self.ended, STOP_S)
        if not self.is_gone():      # its leader was a shell that told the others nothing
            self.signal_members(signal.SIGTERM)
            await_true(self.is_gone, STOP_S)

    def stop(self):
        if self.process is None:
            return
        self.family()
        try:
            self.ask_to_stop()
        finally:                    # who interrupts us here wants it at once
            if not self.is_gone():
                self.signal_members(signal.SIGKILL)
                await_true(self.is_gone, KILLED_S)
            self.process.wait()
            self.process = None


LEAST = 19          # nice(2)


def session_gives_way(pid):
    """Whether the session of *pid* gives way to all others as a whole, where the kernel divides its time among
    sessions and nice counts within one only: sched(7), the autogroup feature. Again later if not."""
    try:
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write(str(LEAST))
    except FileNotFoundError:       # it does not divide so
        pass
    except BlockingIOError:         # too soon after the last one
        return False
    return True


class Load:
    """A load generator, in the background until result(). Ends by itself; if not, it is ended. *away*: it stands
    for another machine, which would take no core from the server, and gives way to it. *among*: it has no session
    of its own, but that of the servers."""

    def __init__(self, argv, seconds, away=False, among=False):
        self.limit_s = seconds + 20
        argv = [*(["nice", "-n", LEAST] if away else []), *argv]
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, process_group=0 if among else None,
                                        start_new_session=not among)
        if away and not await_true(lambda: session_gives_way(self.process.pid), SETTLE_S):
            raise Trouble("the kernel does not let the load give way")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def output(self):
        try:
            out, _ = self.process.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            raise Trouble("the load does not end") from None
        text = out.decode(errors="replace")
        if self.process.returncode:
            raise Trouble(f"the load failed: {text.strip()[-300:]}")
        return text
