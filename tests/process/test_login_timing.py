"""Whether an account exists cannot be told from how long a login takes: unknown accounts and wrong passwords,
asked for in random order over one connection, and compared by rank (Mann and Whitney): how often does one
of the one kind take longer than one of the other? Half of the time, if they are alike."""

import random
import time

import pytest

from harness.wire import Wire

FORM = [("Content-Type", "application/x-www-form-urlencoded")]


def seconds(wire, email):
    body = f"username={email}&password=wrong-pw-of-some-length".encode()
    begun = time.perf_counter()
    answer = wire.ask("POST", "/auth/token", FORM, body).answer()
    taken = time.perf_counter() - begun
    assert answer.status == 401 and answer.body == b'{"detail":"Incorrect email or password"}'
    return taken


def measure(server, count):
    """Times of unknown accounts, and of wrong passwords."""
    times = {False: [], True: []}
    order = [False, True] * count
    random.Random(4711).shuffle(order)
    with Wire(server.tcp()) as wire:
        for known in (False, True) * 5:
            seconds(wire, "teste@test.com" if known else "nobody@test.com")
        for i, known in enumerate(order):
            times[known].append(seconds(wire, "teste@test.com" if known else f"no{i:03}@test.com"))
    return times[False], times[True]


def share_of_longer(a, b):
    """How many of all pairs have the greater one in b; 0.5 when they are alike."""
    return sum((y > x) + 0.5 * (y == x) for x in a for y in b) / (len(a) * len(b))


# The deviation of the share is 0.41 / sqrt(count): the bounds are six of them.
@pytest.mark.parametrize("memory, iterations, count, bound", [
    ("8m", "2", 50, 0.35),
    pytest.param("1m", "1", 1000, 0.08, marks=pytest.mark.long),
    pytest.param("64m", "3", 150, 0.2, marks=pytest.mark.long)], ids=["small", "small-often", "default"])
def test_unknown_accounts_take_as_long_as_wrong_passwords(serve, memory, iterations, count, bound):
    server = serve(workers=1, config={"auth.hash_memory": memory, "auth.hash_iterations": iterations,
                                      "auth.throttle": "no", "debug.enabled": "no", "log.level": "info",
                                      "log.access": "off"})
    with server.api() as api:
        assert api.sign_up().status_code == 201
    unknown, wrong = measure(server, count)
    share = share_of_longer(unknown, wrong)
    medians = [sorted(times)[count // 2] * 1000 for times in (unknown, wrong)]
    print(f"unknown {medians[0]:.3f} ms, wrong {medians[1]:.3f} ms, share {share:.3f}, "
          f"z {(share - 0.5) / (0.41 / count ** 0.5):.1f}")
    assert abs(share - 0.5) < bound, (share, medians)
