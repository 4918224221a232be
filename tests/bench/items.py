"""items.py: the work items: what is asked of a running server, for how long, and what comes of it."""

import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import checks, loads, seed
from bench.peers import COLMEIA
from bench.processes import Server, Trouble, await_true, port_is_free
from harness.server import clean_environment

CONNECTIONS, HASHING_CONNECTIONS = 64, 16
STOLEN_MAX = 0.005           # part of the cores' time: what a measurement of delays can bear
WARM_UP_S, LEAD_S = 1, 1     # LEAD_S: of the logins before the reads beside them begin
ORDER_DELAY_MS, ORDERS_AT_ONCE, ORDERS_START_S = 300, 1000, 5
START_STOP_S = 2.5           # for estimates


@dataclass
class Sample:
    """One measurement: a line of the TSV. None: has no meaning there."""
    rep: int
    item: str
    peer: str
    requests: int = None
    seconds: float = None
    rate: float = None         # good answers per second; of W7 and W7s: reads
    p50_us: int = None
    p99_us: int = None
    errors: int = 0            # sockets, and answers that were not 2xx
    cpu_us: float = None       # of the whole server for each request
    quiet_p99_us: int = None   # W8s: of the same reads with nothing beside them
    onlooker_p99_us: int = None    # … of a server beside it that has no orders, in the same storm
    served: float = None       # W7: part of the reads due that was served
    logins: float = None       # W7, W7s: per second, beside the reads; W8s: orders
    worker_kib: int = None     # Pss before the load, mean of the workers
    master_kib: int = None
    loaded_kib: int = None     # Pss after the load, of all processes
    stolen: float = None       # part of all cores' time that the host gave to others meanwhile
    note: str = ""

    @property
    def quiet_ratio(self):
        """W8s: how much the reads suffer,"""
        return self.p99_us / self.quiet_p99_us if self.p99_us and self.quiet_p99_us else None

    @property
    def onlooker_ratio(self):
        """and how much of it is the server's own doing."""
        return self.p99_us / self.onlooker_p99_us if self.p99_us and self.onlooker_p99_us else None


@dataclass(frozen=True)
class Run:
    """What a work item is given."""
    server: object
    peer: object
    place: object
    seconds: int
    tag: str                   # differs from run to run


@dataclass(frozen=True)
class Item:
    name: str
    title: str
    unit: str
    perform: object                          # (Run, Sample): fills the sample in
    measure: str = "rate"                    # the field that sums it up
    light: bool = False                      # hashes that cost next to nothing
    orders: bool = False                     # with the orders API and its upstream
    secure: bool = False                     # with a listener that speaks TLS, beside the other
    extra_s: float = field(default=WARM_UP_S)
    beside: str = "logins"                   # what Sample.logins counts
    tries: int = 1                           # while more than STOLEN_MAX was stolen; the least disturbed one counts
    remark: str = ""                         # for who reads the figures


def serve(peer, place):
    argv, extra = peer.start(place)
    return Server(argv, clean_environment(extra), place.directory, place.port)


def take_figures(sample, figures):
    sample.requests, sample.seconds, sample.rate = figures.requests, figures.seconds, figures.rate
    if figures.requests:
        sample.p50_us, sample.p99_us = figures.p50_us, figures.p99_us
    sample.errors += figures.errors + figures.refused


def finish(load):
    with load:
        return loads.figures_in(load.output())


def measured(run, sample, request, connections, secure=False):
    """A steady load, with the server's CPU time."""
    port = run.place.secure_port if secure else run.place.port
    before = run.server.cpu_s()
    figures = finish(loads.wrk(port, request, connections, run.seconds, tag=run.tag, secure=secure))
    take_figures(sample, figures)
    if figures.requests:
        sample.cpu_us = (run.server.cpu_s() - before) / figures.requests * 1e6
    return figures


def steady(check, secure=False):
    def perform(run, sample):
        request = check(run)
        port = run.place.secure_port if secure else run.place.port
        finish(loads.wrk(port, request, CONNECTIONS, WARM_UP_S, secure=secure))
        measured(run, sample, request, CONNECTIONS, secure)
    return perform


def logins(run, sample):
    # no warm-up: hashes of clients that are gone would go on and take their share
    measured(run, sample, checks.login(run.place.port), HASHING_CONNECTIONS)


def sign_ups(connections):
    def perform(run, sample):
        request = checks.sign_up(run.place.port)
        before = seed.count(run.place.database)
        figures = measured(run, sample, request, connections)
        judge_acknowledged(figures, connections, seed.count(run.place.database) - before)
    return perform


def judge_acknowledged(figures, connections, new):
    """Every sign-up answered with 201 is there; besides, at most those that were in flight."""
    acknowledged = figures.requests - figures.refused
    if not acknowledged <= new <= acknowledged + connections + figures.errors + figures.refused:
        raise Trouble(f"{acknowledged} sign-ups acknowledged, but {new} are in the database")


def reads_beside_logins(run, sample, reads):
    """*reads*: a load that has not begun; () -> Load."""
    login = checks.login(run.place.port)
    checks.one_user(run.place.port)
    with loads.wrk(run.place.port, login, HASHING_CONNECTIONS, run.seconds + LEAD_S, threads=1) as storm:
        time.sleep(LEAD_S)
        figures = finish(reads())
        take_figures(sample, figures)
        beside = loads.figures_in(storm.output())
    sample.logins = beside.rate
    sample.errors += beside.errors + beside.refused
    return figures


def paced_reads(run, sample):
    figures = reads_beside_logins(run, sample, lambda: loads.paced(
        run.place.binaries, run.place.port, checks.USER.path, run.seconds))
    sample.served = figures.served / figures.due if figures.due else 0.0


def greedy_reads(run, sample):
    reads_beside_logins(run, sample, lambda: loads.wrk(run.place.port, checks.USER, CONNECTIONS, run.seconds))


def with_upstream(perform, away=False):
    """The upstream answers items after ORDER_DELAY_MS."""
    def performs(run, sample):
        port = run.place.upstream_port
        with loads.upstream(run.place.binaries, port, ORDER_DELAY_MS, checks.ORDER_PACKAGES, 3 * run.seconds,
                            away):
            if not await_true(lambda: not port_is_free(port), ORDERS_START_S):
                raise Trouble("the upstream of the orders does not start")
            perform(run, sample)
    return performs


def one_order(run, sample):
    request = checks.order(run.place.port)
    take_figures(sample, finish(loads.wrk(run.place.port, request, 1, run.seconds, threads=1)))


def upstream_calls(place):
    """That colmeia has begun so far."""
    done = subprocess.run([COLMEIA, "ctl", "--control", place.directory / "ctl.sock", "--json", "status"],
                          capture_output=True, text=True, check=True, env=clean_environment())
    return json.loads(done.stdout)["status"]["totals"]["upstream_calls"]


@contextmanager
def onlooker(run):
    """A second server of the same kind, whom nobody gives orders: its port."""
    place = run.place.neighbour()
    with serve(run.peer, place):
        yield place.port


def paced_hellos(run, port):
    return finish(loads.paced(run.place.binaries, port, checks.HELLO.path, run.seconds))


def reads_of_the_server(run, sample):
    """With its CPU time for each call of the upstream."""
    cpu_s, calls = run.server.cpu_s(), upstream_calls(run.place)
    figures = paced_hellos(run, run.place.port)
    cpu_s, calls = run.server.cpu_s() - cpu_s, upstream_calls(run.place) - calls
    take_figures(sample, figures)
    sample.served = figures.served / figures.due if figures.due else 0.0
    sample.cpu_us = cpu_s / calls * 1e6 if calls else None


def reads_of_the_onlooker(run, sample, port):
    figures = paced_hellos(run, port)
    sample.onlooker_p99_us = figures.p99_us
    sample.errors += figures.errors + figures.refused


def reads_beside_orders(run, sample):
    """As many orders as are said, each time all at once; the server and the onlooker are read one after the
    other, and each repetition begins with the other one."""
    request = checks.order(run.place.port)
    with onlooker(run) as beside:
        turns = [lambda: reads_of_the_server(run, sample), lambda: reads_of_the_onlooker(run, sample, beside)]
        sample.quiet_p99_us = paced_hellos(run, run.place.port).p99_us
        with loads.wrk(run.place.port, request, ORDERS_AT_ONCE, len(turns) * run.seconds + LEAD_S, threads=1,
                       away=True) as storm:
            time.sleep(LEAD_S)
            for turn in turns if sample.rep % 2 else reversed(turns):
                turn()
            orders = loads.figures_in(storm.output())
    if not orders.rate:
        raise Trouble("not one order was answered beside the reads: the machine has no time left for who gives way")
    sample.logins = orders.rate
    sample.errors += orders.errors + orders.refused


def on_port(check):
    return lambda run: check(run.place.port)


ITEMS = {i.name: i for i in [
    Item("W1", "GET /", "requests/s", steady(on_port(checks.hello))),
    Item("W2", "GET /users/1, a read of SQLite", "requests/s", steady(on_port(checks.one_user))),
    Item("W3", "GET /users/?limit=100", "requests/s", steady(on_port(checks.page))),
    Item("W4", "bearer token verified, user read (colmeia also signs a new token)", "requests/s",
         steady(lambda run: checks.bearer(run.place.port, run.peer.kind == "ours"))),
    Item("W5", "logins, argon2id 64 MiB × 3, 16 connections", "logins/s", logins, extra_s=0.5),
    Item("W6", "sign-ups, argon2id 64 MiB × 3, 16 connections", "sign-ups/s", sign_ups(HASHING_CONNECTIONS),
         extra_s=0.5),
    Item("W7", f"{loads.PACE_PER_S} paced reads/s while 16 connections log in", "p99 of the reads", paced_reads,
         measure="p99_us", extra_s=2, tries=4,
         remark=f"A measurement during which the host of this machine gave more than {100 * STOLEN_MAX:g} % of the "
                "cores' time to others (steal) is repeated, at most three times, and the least disturbed one "
                "counts: a core that is not there answers late, whoever is the server. The client that reads is "
                "of the servers' session: where the kernel divides its time among sessions first (sched(7), "
                "autogroup), one of its own would wait for hashes of any priority."),
    Item("W7s", "logins of 16 connections while 64 read as fast as they can", "logins/s", greedy_reads,
         measure="logins", extra_s=2),
    Item("W9", "sign-ups with a near-free hash, fsync before each answer", "sign-ups/s", sign_ups(CONNECTIONS),
         light=True, extra_s=0.2),
    Item("W10", "W2 over TLS 1.3, AES-GCM, P-256; connections kept", "requests/s",
         steady(on_port(checks.one_user), secure=True), secure=True),
    Item("W8", f"an order of {checks.ORDER_PACKAGES} packages, {ORDER_DELAY_MS} ms each upstream", "median",
         with_upstream(one_order), measure="p50_us", orders=True),
    Item("W8s", f"{loads.PACE_PER_S} paced reads/s of GET / while {ORDERS_AT_ONCE:,} such orders are under way",
         "p99 of the reads", with_upstream(reads_beside_orders, away=True), measure="p99_us", orders=True, extra_s=22, beside="orders",
         remark="Who gives the orders and who answers them stand for other machines, but share these cores (and "
                "give way), so part of what the reads lose to the storm any server here would lose: the onlooker, the same "
                "server without orders, tells how much, and the goal is judged against it."),
]}
LEFT_OUT = {}       # {item: why it is not measured}


def estimate_s(item, seconds):
    return seconds + item.extra_s + START_STOP_S
