"""The command that `run` runs: started, sent signals, and its end noticed without waiting for it.

As process 1 of a container it also reaps processes that lost their parents; otherwise they would stay as zombies
until the container ends.
"""

import os
import signal
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType

from tallystick.cli.given import sockets
from tallystick.cli.writing import hear

__all__ = ["Child", "Signals"]


class Child:
    """A process that was started with pipes for standard output and standard error."""

    def __init__(self, arguments: Sequence[str], withheld: Collection[str] = ()) -> None:
        """Start it.

        Args:
            arguments: The command.
            withheld: Names of variables that it does not get.

        Raises:
            OSError: It cannot be started.
        """
        # These name the process that they are for, and that was us. A watchdog's may be left out, sockets' may not.
        withheld = {"WATCHDOG_PID", *withheld}
        environment = {name: text for name, text in os.environ.items() if name not in withheld}
        bring_up = None
        if environment.get("LISTEN_PID") == str(os.getpid()):
            bring_up = partial(_take_sockets, withheld)
        self._process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=sockets(),
            env=None if bring_up else environment,
            preexec_fn=bring_up,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.pid = self._process.pid
        self.streams = [self._process.stdout.fileno(), self._process.stderr.fileno()]
        self.status: int | None = None

    def look(self) -> None:
        """Note whether it has ended, as `status`: 128 + n if signal n ended it."""
        everybody = os.getpid() == 1
        while (dead := _dead(None if everybody else self.pid)) is not None:
            if dead.si_pid == self.pid:
                # Noted before it is reaped: after that its number may be another process's.
                self.status = dead.si_status if dead.si_code == os.CLD_EXITED else 128 + dead.si_status
                self._process.returncode = self.status
            with suppress(ChildProcessError):
                os.waitpid(dead.si_pid, 0)

    def send(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        # A process of another user cannot be signalled; that is no error of ours.
        with suppress(PermissionError, ProcessLookupError):
            if self.status is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it; it cannot refuse."""
        self.send(signal.SIGKILL)


def _dead(pid: int | None) -> os.waitid_result | None:
    """Return a child that has ended, any one or the one named, and do not reap it."""
    try:
        kind, number = (os.P_ALL, 0) if pid is None else (os.P_PID, pid)
        return os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _take_sockets(withheld: Collection[str]) -> None:
    """In the child: say that the sockets of a manager are for it."""
    for name in withheld:
        os.unsetenv(name)
    os.putenv("LISTEN_PID", str(os.getpid()))


# Faults are our own; job control acts on the whole group; SIGALRM is the timer of `Writing`.
_OURS = {
    "SIGKILL", "SIGSTOP", "SIGCHLD", "SIGALRM", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS",
    "SIGPIPE", "SIGXFSZ", "SIGXCPU", "SIGTSTP", "SIGTTIN", "SIGTTOU",
}  # fmt: skip


class Signals:
    """Signals for the child; those that come before there is one wait for it."""

    def __init__(self) -> None:
        """Handle them from now on."""
        self.child: Child | None = None
        self.early: list[int] = []
        # A terminal sends these to the whole group, so the child has them already.
        self._from_terminal = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH) if os.isatty(0) else ()
        ours = {getattr(signal, word) for word in _OURS if hasattr(signal, word)}
        hear(signal.valid_signals() - ours, self._hear)
        # Ignored, it would let the kernel reap the child, and its status with it.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def heard(self, number: int) -> None:
        """Do what else a signal asks for; for subclasses."""

    def pass_on(self, child: Child) -> None:
        """Name the child; it gets the signals that came before."""
        self.child = child
        for number in self.early:
            child.send(number)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.heard(number)
        if number in self._from_terminal:
            return
        if self.child is None:
            self.early.append(number)
        else:
            self.child.send(number)
