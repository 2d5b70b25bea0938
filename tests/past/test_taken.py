"""A writer dies at any moment, root takes all there is, and forges: again and again, all in one log.

All there is: the writer's memory right before, the key store as it was left, custody as it answers now; and where
custody forgets, copies of the states before. `make torture` plays it 200 times for each pair of
tests/past/places.py.
"""

import os
import random
import signal
import time

import pytest

from tallystick import keystore
from tests.past.host import Host
from tests.past.loot import memory_of
from tests.past.places import FORGETTING, PAIRS, custody_at, store_at
from tests.sealed import position
from tests.servers import until

TIMES = int(os.environ.get("TALLYSTICK_TAKEN", "0"))
SEED = int(os.environ.get("TALLYSTICK_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

WRITES = """
import itertools, sys, tallystick
with tallystick.open("payments", output="audit.log", epoch_lines=4, custody=sys.argv[1] or None) as log:
    print("opened", flush=True)
    for number in itertools.count():
        log.write(f"user={number} action=pay")
"""


class Taken:
    """A log whose writers die."""

    def __init__(self, host, rng, rest):
        self.host, self._rng, self.rest = host, rng, rest
        host.init()
        host.library("user=0 action=begin")

    def once(self):
        """Let a writer write, or just begin to, and take all; return what can be forged of what was sealed before."""
        host, rng = self.host, self._rng
        with host.python(WRITES, host.named or "") as writer:
            try:
                if rng.random() < 0.7:
                    assert writer.stdout.readline() == b"opened\n"
                time.sleep(rng.random() ** 3 * 0.6)  # some get beyond the middle of a chain, and few beyond its end
                writer.send_signal(signal.SIGSTOP)
                memory = memory_of(writer.pid)
            finally:
                writer.kill()
        with host.here():
            until(lambda: keystore.connect(host.url).holder("payments") is None, "the end of the right", 10)
        self.rest()  # only now everything that the writer had is gone, too
        host.take(memory)
        host.library("user=0 action=after")
        found = host.forged()
        if host.copied:
            del host.copies[:-20]  # the search takes each with each
        else:
            host.copies.clear()
        return found


def places():
    if TIMES:
        return PAIRS
    return [("file", "master key"), ("file", "variable")]


def rest(request, custody):
    """Return what becomes of a custody whose user was killed: what a token or a kernel would do by itself."""
    if custody == "tpm":
        return request.getfixturevalue("tpm").forget_sessions
    return request.getfixturevalue("hsm").recover if custody == "hsm" else lambda: None


@pytest.mark.parametrize(("store", "custody"), places(), ids=map(" and ".join, places()))
def test_whoever_takes_all_forges_nothing(tmp_path, request, monkeypatch, store, custody):
    print(f"TALLYSTICK_SEED={SEED} plays the same again")
    (url, env), (keeper, more) = store_at(request, store, tmp_path), custody_at(request, custody, tmp_path)
    for name, text in (env | more).items():
        monkeypatch.setenv(name, text)
    host = Host(tmp_path, keeper, url, env | more, copied=custody in FORGETTING)
    taken, times = Taken(host, random.Random(SEED), rest(request, custody)), TIMES or 3
    for number in range(times):
        assert taken.once() == [], f"round {number}"
    sealed = [position(line) for line in host.sealed()]
    assert len({chain for chain, *_ in sealed}) > times
    print(f"{store}, {custody}: {times} times, {len(sealed)} lines, up to chain {sealed[-1][0]}")
