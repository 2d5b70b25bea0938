"""Couriers that are forks of the process that starts one, as in tests/preloaded.py: a start costs ten times as much.

A writer starts a courier for each chain, so that starts were two thirds of what the whole suite took. A fork has
memory, descriptors and a session of its own, as the process has that `python -m tallystick.courier` would begin, runs
the same code, and is ended in the same way. Programs that tests start have real ones, and so have tests that depend on
it: see `real`. Where threads run beside the one that starts a courier, it is a real one, too: what they are in the
middle of would come to its end in a fork.
"""

import ctypes
import gc
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from unittest import mock

from tallystick import _core
from tallystick.courier import __main__ as courier
from tallystick.courier import child
from tallystick.courier.channel import Channel

IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by each Python that starts
_LIBC = ctypes.PyDLL(None)  # a fork by it keeps the interpreter's lock, and asks no hook of a writer to wait


class Forked(subprocess.Popen):
    """A courier where one is started as usual, and any other process as it is."""

    def __init__(self, command, **options):
        if command[:4] == [sys.executable, "-P", "-m", "tallystick.courier"] and is_alone():
            self.args, self.returncode = command, None
            self.stdin = self.stdout = self.stderr = None
            self._fork(list(map(int, command[4:])), options["pass_fds"])
        else:
            super().__init__(command, **options)

    def _fork(self, given, fds):
        """Fork; what subprocess.Popen keeps of a process is its pid."""
        begins, begun = os.pipe()
        collects = gc.isenabled()
        gc.disable()  # a fork does not look for garbage among what belongs to threads that it has not: Python may crash
        self.pid = _LIBC.fork()
        if self.pid == 0:
            try:
                ctypes.pythonapi.PyOS_AfterFork_Child()
                become_courier(*given, fds)
            finally:
                os._exit(1)
        if collects:
            gc.enable()
        os.close(begun)
        os.read(begins, 1)  # until all is closed there: it has a session, which is what a writer ends
        os.close(begins)

    def poll(self):
        return self._reaped(os.WNOHANG)

    def wait(self, timeout=None):
        assert timeout is None
        return self._reaped(0)

    def _reaped(self, how):
        if self.returncode is None:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, how)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def __del__(self):
        """A writer ends each; subprocess.Popen would look for what it knows of a process that it started itself."""


def is_alone():
    """Return whether no threads run but this one, the main one, and those of the tests' own machinery."""
    return {*threading.enumerate()} - _BEFORE == {threading.main_thread()} == {threading.current_thread()}


def become_courier(channel, page, fds):
    """Have what a process has that begins, and do what that one does."""
    os.setsid()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    bounds = sorted({2, *fds, os.sysconf("SC_OPEN_MAX")})
    for before, after in itertools.pairwise(bounds):
        os.closerange(before + 1, after)
    _core.refuse_dumps()
    way = socket.socket(fileno=channel)
    way.setblocking(True)
    courier.main(Channel(way, _core.Handover(page)))


_BEFORE = {*threading.enumerate()} - {threading.main_thread()}
FORKED = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})


def install():
    """Have couriers of this process be forks of it."""
    child.subprocess = FORKED


@contextmanager
def real():
    """Have them start as everywhere else."""
    with mock.patch.object(child, "subprocess", subprocess):
        yield
