"""Struck at every step of a reload: told to stop or to reload again, robbed of an old or of a new worker.
The steps are the fault points of the master's reload (shared/fault.def)."""

import os
import re
import signal

import pytest

from harness.faults import await_held, go_on, table
from harness.load import Load
from harness.server import FAST, await_gone
from harness.wire import Wire
from process.test_reload import RECEIPT

# With two workers these are passed twice.
TWICE = {"reload_start", "reload_started", "reload_ready", "reload_move", "reload_left"}
# The child that judges comes there, not the master.
IN_CHILD = {"reload_judge"}
# Not in a reload that succeeds.
BACKWARDS = {"reload_rollback"}
STEPS = [(point, visit) for point in table() if point.startswith("reload_") and point not in BACKWARDS
         for visit in ((0, 1) if point in TWICE else (0,))]
NAMES = [f"{point}-{visit + 1}" if point in TWICE else point for point, visit in STEPS]
UNTIL = NAMES.index("reload_settled")      # before: a lost new worker is the reload's failure
OUTCOME = r"reload {}(: \d+ workers? replaced| failed: .*)"


def order(step, name):
    """What sends the master a signal at that step."""
    point, visit = step
    return f"skip {visit} once {'signal-parent' if point in IN_CHILD else 'signal'} {name}"


def nothing_left(server, pids):
    for pid in pids:
        await_gone(pid)
    server.await_end_of_log()
    assert not (server.directory / "ctl.sock").exists()
    told = re.findall(r"\[master pid \d+\] (reload 1(?:: \d| failed).*)", server.log)
    assert len(told) == 1, told


def stop_at(serve, faults, step, name):
    """(exit code, server, load) of a server that gets a signal at that step."""
    server = serve(workers=2, config=FAST, env=faults.env)
    pids = list(server.workers())
    with Load(server, until_stop=True, keepalive=6, connect=4, slow=2) as load:
        load.await_progress(2)
        faults.set(step[0], order(step, name))
        server.send_signal(signal.SIGHUP)
        server.await_line("stopping(?: quickly)?: ")
        load.await_end()
    code = server.wait()
    assert faults.is_struck(step[0]), "nobody came there"
    nothing_left(server, pids)
    return code, server, load


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_term(serve, faults, step):
    """Obeyed: whoever had asked is answered, newcomers are refused, and it ends well."""
    code, server, load = stop_at(serve, faults, step, "TERM")
    assert code == 0, server.log
    load.judge()


def test_term_while_it_goes_back(serve, faults):
    server = serve(workers=2, config=FAST, env=faults.env)
    pids = list(server.workers())
    with Load(server, until_stop=True, keepalive=6, connect=4, slow=2) as load:
        load.await_progress(2)
        faults.set("channel_socketpair", "skip 1 once errno EMFILE")
        faults.set("reload_rollback", "once signal TERM")
        server.send_signal(signal.SIGHUP)
        load.await_end()
    assert server.wait() == 0, server.log
    assert faults.is_struck("reload_rollback")
    nothing_left(server, pids)
    load.judge()


@pytest.mark.parametrize("name", ["INT", "QUIT"])
@pytest.mark.parametrize("step", [s for i, s in enumerate(STEPS) if i % 3 == 0], ids=NAMES[::3])
def test_int_and_quit(serve, faults, step, name):
    """The same; QUIT may cut, then it says so."""
    code, server, load = stop_at(serve, faults, step, name)
    cut = "cut in mid-request" in server.log
    assert code == (5 if cut else 0), server.log
    load.judge(may_fail=12 if cut and name == "QUIT" else 0)


def test_hup(serve, faults):
    """A second one, at each step: one more reload follows, and nobody notices either of them."""
    server = serve(workers=2, config=FAST, env=faults.env)
    with Load(server, keepalive=2, connect=2, slow=4) as load:
        for i, step in enumerate(STEPS):
            faults.set(step[0], order(step, "HUP"))
            begin = server.mark()
            server.send_signal(signal.SIGHUP)
            for number in (2 * i + 1, 2 * i + 2):
                server.await_line(rf"\breload {number}: 2 workers replaced, .* 0 cut", after=begin)
            faults.await_struck(step[0])
        load.await_progress(2)
    assert server.status()["generation"] == 2 * len(STEPS) + 1
    assert " failed" not in server.status()["last_reload"]["text"]
    load.judge()


def held_at(server, faults, step):
    """Begins a reload that stands still at a step; {"old": pids, "new": pids} of then."""
    old = list(server.workers())
    faults.set(step[0], f"skip {step[1]} once signal STOP")
    server.send_signal(signal.SIGHUP)
    faults.await_struck(step[0])
    await_held(server.process.pid)
    return {"old": [pid for pid in old if pid in server.children()],
            "new": [pid for pid in server.children() if pid not in old]}


@pytest.mark.parametrize("whose", ["old", "new"])
def test_kill(serve, faults, whose):
    """A worker dies while the master is at that step. An old one is nobody's failure; a new one is the
    reload's until it has settled, and like any other worker from then on."""
    server = serve(workers=2, config=FAST, env=faults.env).await_served()
    number = killed = 0
    with Load(server, keepalive=4, connect=4) as load:
        for i, step in enumerate(STEPS):
            if step[0] in IN_CHILD:
                continue
            begin = server.mark()
            there = held_at(server, faults, step)
            number += 1
            if there[whose]:
                os.kill(there[whose][0], signal.SIGKILL)
                await_gone(there[whose][0])
                killed += 1
            go_on(server.process.pid)
            told = server.await_line(OUTCOME.format(number), after=begin)[1]
            failed = whose == "new" and there["new"] and i < UNTIL
            assert ("failed" in told) == bool(failed), (step, there, told)
            if failed:
                assert f"pid {there['new'][0]}) killed by signal 9" in told, told
            # whoever was killed has been replaced, and has served long enough to be one of the old
            server.await_status("all is quiet", lambda s: s["state"] == "ready" and len(s["slots"]) == 2)
            assert all(f" gen {server.status()['generation']} " in t
                       for t in server.await_workers(2, without=there[whose][:1]).values())
    assert killed >= 8
    load.judge(may_fail=8 * killed)


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_master_is_killed(serve, faults, step):
    """Its children, of whatever generation and age, finish and leave; the port is free again."""
    server = serve(workers=2, config=FAST, env=faults.env)
    address = server.tcp()
    with Load(server, until_stop=True, keepalive=6, slow=2) as load:
        load.await_progress(2)
        faults.set(step[0], order(step, "KILL"))
        server.send_signal(signal.SIGHUP)
        load.await_end()
    assert server.wait() == -signal.SIGKILL
    load.judge()
    again = serve(workers=1, bind="%s:%d" % address)
    with Wire(again.tcp()) as wire:
        assert wire.get().status == 200


def test_kill_of_the_judge(serve, faults):
    server = serve(workers=2, config=FAST, env=faults.env)
    before = server.workers()
    faults.set("reload_judge", "once signal KILL")
    told = server.ctl("reload", "--wait", code=1)
    assert "the check of the configuration killed by signal 9" in told["error"], told
    assert server.workers() == before
    assert re.match(RECEIPT, server.reload())


def test_judge_that_hangs(serve, faults):
    server = serve(workers=2, config=FAST, env=faults.env)
    before = server.workers()
    faults.set("reload_judge", "once signal STOP")
    told = server.ctl("reload", "--wait", code=1)    # after ten seconds
    assert "the check of the configuration" in told["error"], told
    assert server.workers() == before
    assert re.match(RECEIPT, server.reload())


def test_held_master_loses_nobody(serve, faults):
    """While the master stands still at a step, the workers serve on."""
    server = serve(workers=2, config=FAST, env=faults.env)
    with Load(server, keepalive=4, connect=4) as load:
        for step in STEPS[::4]:
            if step[0] in IN_CHILD:
                continue
            held_at(server, faults, step)
            load.await_progress(3)
            with Wire(server.tcp()) as wire:
                assert wire.get().status == 200
            go_on(server.process.pid)
            assert re.match(RECEIPT, server.ctl("reload", "--wait")["text"])
    load.judge()
