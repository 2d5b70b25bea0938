"""Runs of the command line, and of other code, in a process that has loaded all of it: each is a fork of that one.

A run has a process, an environment, a directory and standard streams of its own, and ends as any other does. It saves
what a start costs, a third of a second, thousands of times. A run that depends on how a process starts, such as on its
locale, its limits or its argument vector, does not come here: see `can_run`.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOCALE = {"LC_ALL": "C.UTF-8"}
TIMEOUT = 60  # seconds of a run
LIBRARIES = {
    "aws-kms:": ["boto3", "botocore.config"], "vault-transit:": ["hvac", "requests"], "openbao:": ["hvac", "requests"],
    "postgresql:": ["psycopg"], "redis:": ["redis"],
}  # fmt: skip
"""What is loaded once for all runs that name such a place."""

LARGEST = 65_536  # bytes of a request
STARTED_WITH = ("LANG", "LC_", "LD_", "MALLOC_", "PYTHON")  # variables that a process looks at as it starts


def can_run(arguments: list[str], env: dict[str, str], stdin: Any, more: dict[str, Any]) -> bool:
    """Return whether a fork makes no difference to a run with these options of `subprocess.run`."""
    started_with = {name: value for name, value in env.items() if name.startswith(STARTED_WITH)}
    files = [more["stdout"], *([] if isinstance(stdin, bytes) else [stdin])]
    return (
        started_with == LOCALE
        and set(more) == {"stdout"}
        and all(each == subprocess.PIPE or _number(each) is not None for each in files)
        and sum(map(len, arguments)) < LARGEST / 8
    )


def run(arguments: list[str], cwd: Path, env: dict[str, str], stdin: Any, stdout: Any) -> tuple[int, bytes, bytes]:
    """Run a command line to its end.

    Args:
        arguments: Those after `tallystick`.
        cwd: Its directory.
        env: Its environment.
        stdin: Bytes, or a file.
        stdout: A file, or subprocess.PIPE.

    Returns:
        Exit status, standard output, standard error.

    Raises:
        subprocess.TimeoutExpired: It did not end in time, and was killed.
    """
    said = [*arguments, *(text for name, text in env.items() if name.startswith("TALLYSTICK_"))]
    loads = [name for scheme in LIBRARIES if any(scheme in word for word in said) for name in LIBRARIES[scheme]]
    words = ["tallystick", *arguments]
    return _run({"arguments": words, "cwd": str(cwd), "env": {**env}, "loads": loads}, stdin, stdout)


def execute(code: str, *arguments: str, stdin: bytes = b"", loads: tuple[str, ...] = ()) -> bytes:
    """Run code as `python -c` does, with this process's directory and environment; return its standard output.

    Args:
        code: What is run; the package is loaded already.
        arguments: Those after the code.
        stdin: What it reads.
        loads: Names of modules that are loaded before, as far as they are installed: once for all runs.

    Raises:
        subprocess.CalledProcessError: It ended with another status than 0.
        subprocess.TimeoutExpired: It did not end in time, and was killed.
    """
    words = ["-c", *arguments]
    request = {"arguments": words, "cwd": os.getcwd(), "env": {**os.environ}, "code": code, "loads": loads}
    status, out, said = _run(request, stdin, subprocess.PIPE)
    if status:
        sys.stderr.write(said.decode("utf-8", "backslashreplace"))
        raise subprocess.CalledProcessError(status, words, out, said)
    return out


class Running:
    """A run of the command line that goes on, with those methods of `subprocess.Popen` that tests use.

    Args:
        arguments: Those after `tallystick`, or after the code.
        code: Code that is run instead, as `python -c` does.
        loads: As `execute` has it.
    """

    def __init__(self, arguments: list[str], code: str | None = None, loads: tuple[str, ...] = ()) -> None:
        words = ["tallystick" if code is None else "-c", *arguments]
        request = {"arguments": words, "cwd": os.getcwd(), "env": {**os.environ}, "loads": loads}
        pipes, self.returncode = [os.pipe(), os.pipe()], None
        with open(os.devnull, "rb") as nothing:
            files = [nothing.fileno(), *(write for _, write in pipes)]
            self.pid, self._answers = _begin(request if code is None else request | {"code": code}, files)
        for _, write in pipes:
            os.close(write)
        self.stdout, self.stderr = (open(read, encoding="utf-8", errors="backslashreplace") for read, _ in pipes)  # noqa: SIM115

    def wait(self, timeout: float) -> int:
        """Return the exit status once it has ended; kill it after some seconds."""
        if self.returncode is None:
            with killed_after(timeout, self.pid):
                self.returncode = int(self._answers.read(12))
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status; None if it has not ended."""
        if self.returncode is None and not select.select([self._answers], [], [], 0)[0]:
            return None
        return self.wait(TIMEOUT)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return the rest of what it writes until it ends; kill it after some seconds. Both streams are short."""
        with killed_after(timeout, self.pid):
            said = self.stdout.read(), self.stderr.read()
        self.wait(timeout)
        self.stdout.close()
        self.stderr.close()
        return said


@contextmanager
def killed_after(seconds: float, pid: int) -> Iterator[threading.Timer]:
    """Kill a process unless a block is over within some seconds."""
    killer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    killer.start()
    try:
        yield killer
    finally:
        killer.cancel()


def _begin(request: dict[str, Any], files: list[int]) -> tuple[int, Any]:
    """Begin a run with three standard streams; return its pid, and a file that will say its exit status."""
    mask = os.umask(0)
    os.umask(mask)
    asked = json.dumps(request | {"umask": mask, "signals": _ignored()}).encode("utf-8", "surrogateescape")
    ours, theirs = os.pipe()
    socket.send_fds(_forker(), [asked], [*files, theirs])
    os.close(theirs)
    answers = open(ours, "rb", buffering=0)  # noqa: SIM115
    return int(answers.read(12)), answers


def _run(request: dict[str, Any], stdin: Any, stdout: Any) -> tuple[int, bytes, bytes]:
    pipes = [os.pipe() for _ in range(3)]
    given = [pipes[0][0], pipes[1][1], pipes[2][1]]
    files = [
        given[0] if isinstance(stdin, bytes) else _number(stdin),
        given[1] if stdout == subprocess.PIPE else _number(stdout),
        given[2],
    ]
    pid, answers = _begin(request, files)
    for fd in given:
        os.close(fd)
    found: dict[int, bytes] = {}
    readers = [threading.Thread(target=_read, args=(pipes[number][0], number, found)) for number in (1, 2)]
    feeder = threading.Thread(target=_feed, args=(pipes[0][1], stdin if isinstance(stdin, bytes) else b""))
    for thread in (*readers, feeder):
        thread.start()
    with answers, killed_after(TIMEOUT, pid) as killer:
        for thread in (*readers, feeder):
            thread.join()
        status = int(answers.read(12))
        is_over = not killer.is_alive()
    if is_over:
        raise subprocess.TimeoutExpired(request["arguments"], TIMEOUT, found[1], found[2])
    return status, found[1], found[2]


def _number(file: Any) -> int | None:
    """Return the descriptor of a file."""
    if isinstance(file, int):
        return file if file >= 0 else None
    return file.fileno() if hasattr(file, "fileno") else None


def _ignored() -> list[int]:
    """Return the signals that this process ignores, as one that it starts would."""
    return [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]


def _read(fd: int, number: int, found: dict[int, bytes]) -> None:
    with open(fd, "rb") as file:
        found[number] = file.read()


def _feed(fd: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(fd, "wb", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


@functools.cache
def _forker() -> socket.socket:
    """Start the process that forks, once for each process of tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env={"PATH": os.environ["PATH"], **LOCALE}, stdin=subprocess.DEVNULL,
            cwd=Path(__file__).resolve().parents[1],
        )  # fmt: skip

    def end() -> None:
        ours.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)

    atexit.register(end)
    return ours


# In the process that forks


def serve(line: socket.socket) -> dict[str, Any]:
    """Fork for each request; return it in the fork."""
    waiting: dict[int, tuple[int, int]] = {}  # by descriptors of the runs: their pids, and where to answer
    while True:
        ready, _, _ = select.select([line, *waiting], [], [])
        for pidfd in {*ready} & {*waiting}:
            pid, answers = waiting.pop(pidfd)
            _, status = os.waitpid(pid, 0)
            with suppress(BrokenPipeError):
                os.write(answers, b"%12d" % os.waitstatus_to_exitcode(status))
            os.close(pidfd)
            os.close(answers)
        if line not in ready:
            continue
        text, fds, _, _ = socket.recv_fds(line, 4 * LARGEST, 4)
        if not text:
            sys.exit()
        request: dict[str, Any] = json.loads(text.decode("utf-8", "surrogateescape"))
        for name in request.get("loads", ()):
            with suppress(ImportError):
                importlib.import_module(name)
        if (pid := os.fork()) == 0:
            line.close()
            for answers in (fds[3], *(fd for pidfd, (_, other) in waiting.items() for fd in (pidfd, other))):
                os.close(answers)
            for number, fd in enumerate(fds[:3]):
                os.dup2(fd, number)
                os.close(fd)
            return request
        os.write(fds[3], b"%12d" % pid)
        for fd in fds[:3]:
            os.close(fd)
        waiting[os.pidfd_open(pid)] = pid, fds[3]


def become(request: dict[str, Any]) -> None:
    """Have all that a process gets as it starts."""
    os.umask(request["umask"])
    for number in request["signals"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for name, number, mode, errors in (
        ("stdin", 0, "r", "surrogateescape"), ("stdout", 1, "w", "surrogateescape"),
        ("stderr", 2, "w", "backslashreplace"),
    ):  # fmt: skip
        stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        if number == 2:
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        setattr(sys, name, stream)
    sys.argv[:] = request["arguments"]


def load() -> None:
    """Import all that commands may want, so that no run has to."""
    import tallystick.cli
    import tallystick.reports
    from tests import couriers

    for package in (tallystick.cli, tallystick.reports):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in ("concurrent.futures.thread", "rich.console", "tallystick.courier.state", "tallystick.witness.client"):
        importlib.import_module(name)
    couriers.install()
    gc.freeze()  # a fork that ends need not look at what it shares


class Ending:
    """The end of a run: as that of an interpreter, which then takes all apart that was loaded, at a high price."""

    def __init__(self) -> None:
        self._status: int | None = None
        atexit.register(self._last)  # the first one is called last

    def of(self, work: Callable[[], object]) -> None:
        """Do the work of a run; where that ends with a number, so will its process."""
        try:
            work()
        except SystemExit as left:
            if isinstance(left.code, int | None):
                self._status = left.code or 0
            raise
        self._status = 0

    def _last(self) -> None:
        if self._status is not None:
            with suppress(OSError, ValueError):  # which the interpreter meets again, and reports
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(self._status)


if __name__ == "__main__":
    ending = Ending()
    load()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked)
    if "code" in asked:
        code = compile(asked["code"], "<string>", "exec")
        ending.of(lambda: exec(code, {"__name__": "__main__"}))
    else:
        from tallystick.cli import main

        ending.of(main)
