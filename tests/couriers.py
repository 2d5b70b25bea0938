"""Couriers that are forks of a process that has loaded all that they want: a start costs ten times as much.

A writer starts a courier for each chain, so that starts were two thirds of what the whole suite took. A fork has
memory, descriptors and a session of its own, as the process has that `python -m tallystick.courier` would begin, runs
the same code, is a child of the writer's process, and is ended in the same way. Programs that tests start have real
ones, and so have tests that depend on it: see `real`.

The process of the tests itself has hundreds of megabytes once it has collected them all: it has a nursery, a small
process that forks in its place. A fork of the tests' process forks by itself; where threads run beside the one that
starts a courier there, it is a real one: what they are in the middle of would come to its end in a fork.
"""

import atexit
import ctypes
import fcntl
import gc
import importlib
import itertools
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from tallystick import _core
from tallystick.courier import __main__ as courier
from tallystick.courier import child
from tallystick.courier.channel import Channel

IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by each Python that starts
LIBRARIES = ("boto3", "botocore.config", "hvac", "requests", "psycopg", "redis")
"""What key stores and custodies import when they are used; the nursery has what the process of the tests has."""

NAMESPACES = ("ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts")
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
LARGEST = 200_000  # bytes of a request
CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())  # the system call
CLONE_PARENT = 0x8000
_LIBC = ctypes.PyDLL(None)  # a fork by it keeps the interpreter's lock, and asks no hook of a writer to wait


class Forked(subprocess.Popen):
    """A courier where one is started as usual, and any other process as it is."""

    def __init__(self, command, **options):
        is_courier = command[:4] == [sys.executable, "-P", "-m", "tallystick.courier"]
        self.pid = None
        if is_courier and _NURSERY is not None and _NURSERY.is_like_here():
            self.pid = _NURSERY.bear(*map(int, command[4:]), options["pass_fds"], options["env"])
        if self.pid is None and not (is_courier and is_alone()):
            super().__init__(command, **options)
            return
        self.args, self.returncode = command, None
        self.stdin = self.stdout = self.stderr = None
        if self.pid is None:
            self._fork(list(map(int, command[4:])), options["pass_fds"])

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


class Nursery:
    """A small process that forks couriers, which are children of this one."""

    def __init__(self):
        self._of, self._surroundings = os.getpid(), surroundings()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.couriers", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[1],
            )  # fmt: skip
        atexit.register(self._end)

    def is_like_here(self):
        """Return whether what it forks has all that a fork of this process has."""
        return (self._of, self._surroundings) == (os.getpid(), surroundings())

    def bear(self, channel, page, fds, env):
        """Start a courier, whose descriptors have the same numbers; return its pid, or None where it cannot."""
        begins, begun = os.pipe()
        here = os.open(".", os.O_PATH)
        ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
        mask = Path("/proc/self/status").read_text().partition("Umask:")[2].split()[0]  # no thread sees another one
        request = {
            "channel": channel, "page": page, "fds": [*fds], "env": env, "umask": int(mask, 8), "ignored": ignored,
            "loads": [name for name in LIBRARIES if name in sys.modules],
        }  # fmt: skip
        asked = json.dumps(request).encode("utf-8", "surrogateescape")
        socket.send_fds(self._line, [asked], [begun, here, *fds])
        os.close(begun)
        os.close(here)
        with open(begins, "rb", buffering=0) as answers:
            pid = int(answers.read(12))  # once it has a session, which is what a writer ends
            answers.read(1)  # until this is closed there, too
        return pid if pid > 0 else None

    def _end(self):
        if os.getpid() == self._of:
            self._line.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)


_NURSERY = None


def begin():
    """Start the nursery of this process, where there can be one."""
    global _NURSERY
    if CLONE is not None:
        _NURSERY = Nursery()


def serve(line):
    """Fork for each request; return it, and its descriptors, in the fork."""
    loaded = set()
    while True:
        asked, fds, _, _ = socket.recv_fds(line, LARGEST, 250)
        if not asked:
            sys.exit()
        request = json.loads(asked.decode("utf-8", "surrogateescape"))
        if new := {*request["loads"]} - loaded:
            for name in new:
                with suppress(ImportError):
                    importlib.import_module(name)
            loaded |= new
            gc.freeze()
        pid = _LIBC.syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            return request, fds
        if pid < 0:  # emulators of other processors know nothing of CLONE_PARENT
            os.write(fds[0], b"%12d" % pid)
        for fd in fds:
            os.close(fd)


def become(request, fds):
    """Have what a process has that the tests' one starts, and be a courier."""
    above = max(request["fds"]) + 1
    here, *moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, above) for fd in fds[1:]]
    begun = fcntl.fcntl(fds[0], fcntl.F_DUPFD, above)
    os.fchdir(here)
    for fd in range(3, above):
        with suppress(OSError):
            os.close(fd)
    for fd, number in zip(moved, request["fds"], strict=True):
        os.dup2(fd, number)
    for number in signal.valid_signals():
        with suppress(OSError):
            signal.signal(number, signal.SIG_IGN if number in request["ignored"] else signal.SIG_DFL)
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    become_courier(request["channel"], request["page"], request["fds"], begun)


def become_courier(channel, page, fds, begun=None):
    """Have what a process has that begins, say so, and do what that one does."""
    os.setsid()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    bounds = sorted({2, *fds, *([begun] if begun else []), os.sysconf("SC_OPEN_MAX")})
    for before, after in itertools.pairwise(bounds):
        os.closerange(before + 1, after)
    if begun:
        os.write(begun, b"%12d" % os.getpid())
        os.close(begun)
    _core.refuse_dumps()
    way = socket.socket(fileno=channel)
    way.setblocking(True)
    courier.main(Channel(way, _core.Handover(page)))


def surroundings():
    """Return what a process inherits and a nursery does not follow: users, limits, namespaces."""
    limits = [resource.getrlimit(number) for number in LIMITS]
    places = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES if os.path.exists(f"/proc/self/ns/{name}")]
    return os.getresuid(), os.getresgid(), os.getgroups(), limits, places


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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for each in ("aws_kms", "master_key", "passphrase", "pkcs11", "systemd_creds", "tpm2", "vault_transit"):
        importlib.import_module(f"tallystick.custody.{each}")
    for each in ("file", "openbao", "remote", "postgresql", "redis"):
        importlib.import_module(f"tallystick.keystore.{each}")
    gc.freeze()  # a fork that ends need not look at what it shares
    try:
        become(*serve(socket.socket(fileno=int(sys.argv[1]))))
    finally:
        os._exit(1)
