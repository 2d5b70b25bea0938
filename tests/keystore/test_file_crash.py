"""What a directory as key store promises about crashes: old or new, all or nothing, and nothing is left."""

import os
import signal
import subprocess
import sys

from tallystick.keystore import FileKeyStore, Stored
from tests.keystore.suite import in_a_child
from tests.processes import Started

FILES = {"state", "head", "lock", "note"}
CRASHED = 3


class Dying:
    """The module os for a process that dies before its n-th call of it."""

    def __init__(self, calls):
        self._calls = calls

    def __getattr__(self, name):
        found = getattr(os, name)
        return self._counted(found) if callable(found) else found

    def _counted(self, function):
        def call(*args, **kwargs):
            self._calls -= 1
            if self._calls < 0:
                os._exit(CRASHED)
            return function(*args, **kwargs)

        return call


def die_at(calls):
    """From now on this process dies before its n-th call of the system in the key store."""
    dying = Dying(calls)
    for name, module in sys.modules.items():
        if name.startswith(("tallystick.keystore.", "tallystick.securefile.")) and hasattr(module, "os"):
            module.os = dying


def every_crash(work):
    """Run work(calls) for each step that a process can crash before, until it returns False: none is left."""
    calls = 0
    while work(calls):
        calls += 1
    assert calls > 10
    return calls


def test_a_crash_while_replacing_leaves_the_old_or_the_new(tmp_path):
    seen = []

    def crash(calls):
        store = FileKeyStore(tmp_path / str(calls))
        store.create("payments", b"old state", b"head")
        log, held = tmp_path / str(calls) / "payments", tmp_path / f"held {calls}"
        os.link(log / "state", held)

        def replace():
            lease = store.lease("payments")
            die_at(calls)
            lease.replace_state(b"new state")

        crashed = in_a_child(replace) == CRASHED
        found = store.load("payments").state
        store.lease("payments").release()
        assert store.load("payments") == Stored(found, b"head")
        # The next writer erases the old one, if it is replaced, and whatever else was left.
        assert held.read_bytes() == (b"old state" if found == b"old state" else bytes(9))
        assert set(os.listdir(log)) == FILES
        seen.append(found)
        return crashed

    every_crash(crash)
    assert set(seen) == {b"old state", b"new state"}
    assert seen[-1] == b"new state"


def is_whole(store, directory):
    """Is the log there, and whole? The next change of the store erases all remains of a crash."""
    names = store.names()
    if "payments" in names:
        assert store.load("payments") == Stored(b"state", b"head")
    store.create("another", b"state", b"head")
    assert sorted(os.listdir(directory)) == sorted([*names, "another"])
    return "payments" in names


def test_a_crash_while_making_a_log_leaves_all_or_nothing(tmp_path):
    seen = []

    def crash(calls):
        store = FileKeyStore(tmp_path / str(calls))
        store.create("other", b"state", b"head")

        def create():
            die_at(calls)
            store.create("payments", b"state", b"head")

        crashed = in_a_child(create) == CRASHED
        seen.append(is_whole(store, tmp_path / str(calls)))
        return crashed

    every_crash(crash)
    assert set(seen) == {False, True}


def test_a_crash_while_removing_a_log_leaves_all_or_nothing(tmp_path):
    seen = []

    def crash(calls):
        store = FileKeyStore(tmp_path / str(calls))
        store.create("payments", b"state", b"head")

        def remove():
            die_at(calls)
            store.remove("payments")

        crashed = in_a_child(remove) == CRASHED
        seen.append(is_whole(store, tmp_path / str(calls)))
        return crashed

    every_crash(crash)
    assert set(seen) == {False, True}


REPLACER = """
import sys
from tallystick import keystore
with keystore.connect(sys.argv[1]).lease("payments") as lease:
    lease.replace_head(b"a" * 100)
    print("writing", flush=True)
    while True:
        for letter in b"ab":
            lease.replace_head(bytes([letter]) * 100)
"""


def test_a_killed_writer_leaves_a_whole_head(tmp_path):
    store = FileKeyStore(tmp_path / "store")
    store.create("payments", b"state", b"old head")
    for _ in range(5):
        command = [sys.executable, "-c", REPLACER, store.url]
        with Started(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "writing\n"
            for _ in range(20):
                assert store.load("payments").head in (b"a" * 100, b"b" * 100)
            process.send_signal(signal.SIGKILL)
        assert store.load("payments").head in (b"a" * 100, b"b" * 100)
