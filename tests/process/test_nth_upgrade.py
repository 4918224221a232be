"""Upgrades in which the n-th call fails: memory, descriptors, processes, execve(2), in the program that
hands over, in its rehearsal, in the one that takes over. Either it is done, or the one before serves on and
says why; the workers have served all along, no connection is lost, and the next upgrade is done."""

import re

import pytest

from harness.failing import ALWAYS
from harness.nth import JSON, account, ask
from harness.server import BINARY, FAST, await_true
from harness.wire import Closed, Wire
from process.test_upgrade import NEWER, Same, born, exe, install

FAULTS = {
    "memory": ("MEMORY", "ENOMEM"),
    "descriptors": ("OPEN", "EMFILE"),
    "files": ("FILE|READ|WRITE", "EIO"),
    "sockets": ("SOCKET", "ENOMEM"),
    "processes": ("PROCESS|EXEC", "EAGAIN"),
    "interrupted": ("READ|WRITE|OPEN|WAIT", "EINTR"),
}


class Upgrades:
    """A server with two names for its program, NOW that runs and NEXT; the workers of BAD crash."""
    NOW, NEXT = "bin/colmeia-now", "bin/colmeia-next"     # failing.so wants this beginning

    def __init__(self, serve, place, failing):
        (place / "bin").mkdir()
        self.now, self.next = (install(BINARY, place / name) for name in (self.NOW, self.NEXT))
        self.bad = install(NEWER, place / "bin/colmeia-bad", "boot_crash")
        self.failing = failing
        self.server = serve(binary=self.now, env=failing.env, workers=1, config=FAST).await_served()
        self.same = Same(self.server)
        self.signed_up = 0
        self.excused = 0

    def to(self, program):
        """What the caller is told; None: nothing."""
        return ask(self.server, f"upgrade --wait --binary={program}")

    def good(self, program):
        told = self.to(program)
        assert told and told["ok"], (told, self.server.log)

    def runs(self):
        return exe(self.same.pid)

    def count(self, kinds, **where):
        """Such calls in an upgrade that is done."""
        with self.failing.at(kinds, skip=ALWAYS, **where):
            self.good(self.next)
            count = self.failing.seen
        self.good(self.now)
        return count

    def judge(self, told, what):
        """After an upgrade in which something failed: it is done, or refused; then NOW runs again."""
        what = (*what, self.failing.last, told)
        if told is None:
            self.server.await_status("it is over", lambda s: s["state"] == "ready")
        ran = self.runs()
        assert ran in (str(self.now), str(self.next)), what
        if told and told["ok"]:
            assert ran == str(self.next), what
        elif told:
            # who it is that asks is asked of the kernel, too
            assert re.match(r"reload \d+ failed: .|out of memory|only root and the server's own user may ask",
                            told["error"]), what
        self.sign_up(what)
        worker = self.server.await_status("there is a worker", self.the_worker)
        if ran == str(self.next):
            self.good(self.now)
        else:
            await_true("only the old worker is left", lambda: list(self.server.children()) == [worker])
            assert ask(self.server, "reload --wait")["ok"], what

    @staticmethod
    def the_worker(status):
        """Its pid; titles are not shown without memory."""
        ready = [slot["pid"] for slot in status["slots"] if slot["state"] == "ready"]
        return ready[0] if len(ready) == 1 else None

    def sign_up(self, what):
        """Over the connection of the beginning."""
        assert born(self.same.pid) == self.same.born, what
        self.signed_up += 1
        # a worker whose channel is no good has to leave, and closes the connections where nothing is asked
        may_close = "sockets" in what or self.failing.last in ("recv", "send")
        if may_close:
            self.connect()
        try:
            answer = self.ask_sign_up()
        except Closed:
            assert self.is_excused(), what
            self.connect()
            answer = self.ask_sign_up()
        assert answer.status == 201, what
        if answer.header("connection") == "close":      # it was still there, as the only one
            assert may_close, what
            self.connect()

    def ask_sign_up(self):
        return self.same.wire.ask("POST", "/users/", JSON, account(f"u{self.signed_up}")).answer()

    def is_excused(self):
        """A worker that its master cannot tell anything drains: its connections end when they have been silent, be
        it in the next upgrade but one. Each such worker excuses one end."""
        self.excused += 1
        return self.server.log.count("cannot be told; it gets SIGTERM") >= self.excused

    def connect(self):
        self.same.wire.close()
        self.same.wire = Wire(self.server.tcp())

    def end(self):
        """All is well, and nothing was lost."""
        self.good(self.next)
        self.same.judge()
        users = self.same.wire.get("/users/?limit=100000").body
        assert users.count(b'"username"') == self.signed_up > 0
        self.same.wire.close()


@pytest.fixture
def upgrades(serve, place, failing):
    return Upgrades(serve, place, failing)


def sweep_back(upgrades, fault, chosen, times=1):
    """In the program before, when it is executed again because the next one was bad."""
    kinds, error = FAULTS[fault]
    where = {"pid": upgrades.same.pid, "program": Upgrades.NOW}
    with upgrades.failing.at(kinds, skip=ALWAYS, **where):
        assert "rolled back" in upgrades.to(upgrades.bad)["error"]
        count = upgrades.failing.seen
    for n in chosen(count):
        with upgrades.failing.at(kinds, skip=n, error=error, times=times, **where):
            told = upgrades.to(upgrades.bad)
        assert upgrades.runs() == str(upgrades.now) and (told is None or not told["ok"]), (n, told)
        upgrades.judge(told, ("back", fault, n))
    print(f"back, {fault}: {count} calls")


WHO = {"before": Upgrades.NOW, "next": Upgrades.NEXT}
each_fault = pytest.mark.parametrize("fault", FAULTS)
each_program = pytest.mark.parametrize("who", WHO)


def sweep(upgrades, who, fault, chosen, times=1):
    """Of the n: the quick set has three, the last one is beyond what happens every time."""
    kinds, error = FAULTS[fault]
    where = {"pid": upgrades.same.pid, "program": WHO[who]}
    count = upgrades.count(kinds, **where)
    struck = 0
    for n in chosen(count):
        with upgrades.failing.at(kinds, skip=n, error=error, **where):
            told = upgrades.to(upgrades.next)
            struck += upgrades.failing.struck
        upgrades.judge(told, (who, fault, n))
    assert struck
    print(f"{who}, {fault}: {count} calls")


@each_program
def test_some(upgrades, who):
    """The quick set."""
    for fault in FAULTS:
        sweep(upgrades, who, fault, lambda count: {count // 5, count * 3 // 4})
    upgrades.end()


@pytest.mark.long
@each_fault
@each_program
def test_all(upgrades, who, fault):
    """In the master, before and after execve(2)."""
    sweep(upgrades, who, fault, lambda count: range(count + 1))
    upgrades.end()


def test_some_on_the_way_back(upgrades):
    for fault in FAULTS:
        sweep_back(upgrades, fault, lambda count: {count - 1 - count // 4})
    upgrades.end()


@pytest.mark.long
@each_fault
def test_all_on_the_way_back(upgrades, fault):
    sweep_back(upgrades, fault, lambda count: range(count + 1))
    upgrades.end()


def test_next_has_no_memory_at_all(upgrades, failing):
    """From its first call on; the way back needs none."""
    with failing.at("MEMORY", times=ALWAYS, pid=upgrades.same.pid, program=Upgrades.NEXT):
        told = upgrades.to(upgrades.next)
    assert told and f"rolled back from {upgrades.next}: " in told["error"], told
    assert upgrades.runs() == str(upgrades.now)
    upgrades.judge(told, ("no memory",))
    upgrades.end()


def test_neither_there_nor_back(upgrades, failing):
    """The next program can start no worker, and cannot go back either: it stays, with the old worker."""
    with failing.at("PROCESS|EXEC", error="EAGAIN", times=ALWAYS, pid=upgrades.same.pid, program=Upgrades.NEXT):
        told = upgrades.to(upgrades.next)
    assert told and "could not be started: Resource temporarily unavailable" in told["error"], told
    assert upgrades.runs() == str(upgrades.next)
    upgrades.server.await_line(f"{upgrades.now} cannot be executed: Resource temporarily unavailable")
    upgrades.judge(told, ("neither",))
    upgrades.end()
