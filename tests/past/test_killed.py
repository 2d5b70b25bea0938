"""Killed at any call that changes something, a log goes on, and nothing is left that opens its past.

Each change of a log is killed before one of its calls of the system, whichever process makes it: all processes at once,
as in a power failure, or the one that makes the call. Then the service starts again and seals five lines. By then the
key store holds the present state and no other; whoever copied all states before, and has custody now, opens no chain
that was opened; the log verifies, and no number is there twice.

TALLYSTICK_EVERY_CALL=1 tries every call, as `make torture` does; else some are, other ones each time.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import pytest

import tallystick
from tallystick import _core, keystore
from tallystick.errors import FormatError, SealError
from tallystick.moving import migrate
from tests.past.host import Host
from tests.past.loot import Loot, tree
from tests.sealed import position

SEED = int(os.environ.get("TALLYSTICK_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
EVERY = bool(os.environ.get("TALLYSTICK_EVERY_CALL"))
SOME = 2  # calls of each change that are tried otherwise

BEGIN = """
import os, sys, time, tallystick
from contextlib import suppress
from tallystick.errors import KeyStoreError
from tallystick.moving import migrate, rekey
def begin():
    with suppress(ProcessLookupError):
        os.getpriority(os.PRIO_PROCESS, 31249)
"""
ROLLS = """
log = tallystick.open('payments', output='audit.log', epoch_lines=1)
for number in range(%d): log.write('user=0 action=wait')
begin()
for number in range(10): log.write('user=0 action=wait')
until = time.monotonic() + %d
while not log.is_ahead and time.monotonic() < until: time.sleep(0.005)
log.close()
"""
CHANGES = {
    "init": "begin()\ntallystick.create('payments', custody=sys.argv[1], key_file='payments.key')",
    "init that nobody gets the key of": (
        "full = os.open('/dev/full', os.O_WRONLY)\nbegin()\n"
        "with suppress(KeyStoreError): tallystick.create('payments', custody=sys.argv[1], key_file=full)"
    ),
    "rekey": "begin()\nrekey('payments', output='audit.log', key_file='second.key')",
    "migrate": "begin()\nmigrate('payments', to_store='file:' + os.path.abspath('there'))",
    "migrate to another custody": (
        "begin()\nmigrate('payments', to_custody='master-key:' + os.path.abspath('other/master.key'))"
    ),
    "close": "log = tallystick.open('payments', output='audit.log')\nbegin()\nlog.end()",
    "chain roll": ROLLS % (251, 0),
    "early fetch": ROLLS % (126, 2),
}  # fmt: skip


@pytest.fixture(scope="session")
def strike(tmp_path_factory):
    program = tmp_path_factory.mktemp("strike") / "strike"
    source = os.path.join(os.path.dirname(__file__), "strike.c")
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("cc is not installed" if compiler is None else "this is for Linux")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return program


class Changed:
    """A log in a directory, and a change of it that can be begun again and again."""

    def __init__(self, directory, strike, change):
        self.change, self._strike = change, strike
        self._directory, self._before = directory / "log", directory / "before"
        self._directory.mkdir()
        self.host = self._host()
        if not change.startswith("init"):
            self.host.init()
            self.host.library("user=1 action=login")
        self._copies, self._logs, self._keys = self.host.copies, self.host.logs, self.host.keys
        shutil.copytree(self._directory, self._before)

    def _host(self):
        return Host(self._directory, custody=f"master-key:{self._directory}/custody/master.key", copied=True)

    def struck(self, at, how):
        """Begin the change, and kill what does it at a call; return the number of calls, and the last one."""
        shutil.rmtree(self._directory)
        shutil.copytree(self._before, self._directory)
        self.host = self._host()
        self.host.copies, self.host.logs, self.host.keys = [*self._copies], {**self._logs}, [*self._keys]
        command = [self._strike, str(at), how, sys.executable, "-c", BEGIN + CHANGES[self.change], self.host.custody]
        done = subprocess.run(
            command, cwd=self._directory, env=self.host.env, capture_output=True, text=True, check=False, timeout=120
        )
        told = re.search(r"strike: (\d+) (\w+)$", done.stderr.strip())
        assert told, done.stderr
        self.host.record()
        self.host.take(tree(self._directory / "there"))
        if at < 0:
            assert done.returncode == 0, done.stderr
        elif how == "all" and int(told[1]) > at:  # threads make a call more or less
            assert done.returncode == 128 + signal.SIGKILL
        return int(told[1]), told[2]

    def goes_on(self):
        """The service starts again, as whoever runs it would have it start."""
        host, there = self.host, f"file:{self._directory}/there"
        with host.here():
            if self.change.startswith("init"):
                self._set_up_again()
            if self.change == "migrate":  # done once more
                migrate("payments", store=f"file:{self._directory}/store", to_store=there)
                host.url = there
        for name in ("payments.key", "second.key"):
            if (self._directory / name).exists() and self._directory / name not in host.keys:
                host.keys.append(self._directory / name)
        with suppress(*([SealError] if self.change == "close" else [])):
            host.library(*(f"user={number} action=after" for number in range(5)))
        host.record()
        host.take(tree(self._directory / "there"))
        host.keys = [key for key in host.keys if self._log_id(key) in host.logs]

    def _set_up_again(self):
        """What is there without a key is taken away, and set up once more; so is a master key that is not whole."""
        host, key, master = self.host, self._directory / "payments.key", self._directory / "custody" / "master.key"
        if master.exists() and master.stat().st_size < 43:
            master.unlink()
        place = keystore.connect(host.url)
        there = "payments" in (place.names() if host.store.exists() else [])
        if there and key.exists() and self._log_id(key) is not None:
            return
        key.unlink(missing_ok=True)
        if there:
            place.remove("payments")
        tallystick.create("payments", store=host.url, custody=host.custody, key_file=key)

    @staticmethod
    def _log_id(key):
        with open(key) as file, suppress(FormatError):
            return _core.key_info(file.fileno()).log_id
        return None

    def judged(self):
        """What is wrong now, in words."""
        host, wrong = self.host, []
        host.past = {(log_id, position(line)[0]) for log_id in host.logs for line in host.lines_of(log_id)}
        if forged := host.forged():
            wrong.append(f"forged: {forged}")
        left = Loot(b"").add(tree(self._directory / "store", self._directory / "there"))
        if len(left.fronts) > 1 or len(left.secrets) > 1:
            wrong.append(f"{len(left.fronts)} states are left in the key store")
        verdict, kinds = host.verified()
        # Killed between the state without keys and the line that says so, a log has an open end for ever.
        ends = {"open end"} if self.change in ("close", "rekey") else set()
        if not set(kinds) <= {"unclean end", "torn line"} | ends or verdict != (
            "incomplete" if ends & set(kinds) else "ok"
        ):
            wrong.append(f"{verdict}: {kinds}")
        logs = [key for key in host.keys if host.lines_of(self._log_id(key))]
        for key in logs if len(logs) > 1 else []:
            kinds = {found.kind for found in tallystick.verify([host.output], keys=[key], store="none").findings}
            if more := kinds - {"notice", "open end", "unclean end", "torn line", "predecessor", "successor"}:
                wrong.append(f"with {key.name} alone: {sorted(more)}")
        taken = Counter((log_id, position(line)) for log_id in host.logs for line in host.lines_of(log_id))
        wrong += [f"{at} is there {count} times" for at, count in taken.items() if count > 1]
        return wrong


def points(count):
    """Which calls are tried, and how."""
    if EVERY:
        return [(at, how) for at in range(count) for how in ("all", "one")]
    rng = random.Random(SEED)
    step = count / SOME
    return [(min(count - 1, int((n + rng.random()) * step)), rng.choice(("all", "one"))) for n in range(SOME)]


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_a_call(tmp_path, strike, change):
    print(f"TALLYSTICK_SEED={SEED} tries the same calls again")
    changed = Changed(tmp_path, strike, change)
    count, _ = changed.struck(-1, "all")
    assert count > 30
    wrong = []
    for at, how in points(count):
        _, call = changed.struck(at, how)
        try:
            changed.goes_on()
            found = changed.judged()
        except (tallystick.TallystickError, AssertionError) as error:
            found = [f"{type(error).__name__}: {error}"]
        wrong += [f"{change}, killed ({how}) at call {at} of {count}, {call}: {each}" for each in found]
    assert not wrong, "\n".join(wrong)
    print(f"{change}: {count} calls")
