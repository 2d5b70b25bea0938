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
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import LIMIT

LOCALE = {"LC_ALL": "C.UTF-8"}
TIMEOUT = 60  # seconds of a run
LIBRARIES = {
    "aws-kms:": ["boto3", "botocore.config"], "vault-transit:": ["hvac", "requests"], "openbao:": ["hvac", "requests"],
    "postgresql:": ["psycopg"], "redis:": ["redis"],
}  # fmt: skip
"""What is loaded once for all runs that name such a place."""

LIBRARIES_OF_COMMANDS = {"agent": ["tallystick.agent.service"], "send": ["tallystick.agent.client"]}
"""What is loaded once for all runs of such a command."""

LARGEST = 65_536  # bytes of a request
STARTED_WITH = ("LANG", "LC_", "LD_", "MALLOC_", "PYTHON")  # variables that a process looks at as it starts


def can_run(arguments: list[str], env: dict[str, str], streams: dict[str, Any]) -> bool:
    """Return whether a fork makes no difference to a run with these options of `subprocess.Popen`."""
    started_with = {name: value for name, value in env.items() if name.startswith(STARTED_WITH)}
    return (
        started_with == LOCALE
        and set(streams) <= {"stdin", "stdout", "stderr"}
        and all(isinstance(each, bytes) or _is_stream(each) for each in streams.values())
        and sum(map(len, arguments)) < LARGEST / 8
    )


def wanted(arguments: list[str], env: dict[str, str]) -> tuple[str, ...]:
    """Return the names of the modules that a run with these arguments and this environment loads."""
    said = [*arguments, *(text for name, text in env.items() if name.startswith("TALLYSTICK_"))]
    of_places = (name for scheme in LIBRARIES if any(scheme in word for word in said) for name in LIBRARIES[scheme])
    return (*of_places, *LIBRARIES_OF_COMMANDS.get(arguments[0] if arguments else "", ()))


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
    words, loads = ["tallystick", *arguments], wanted(arguments, env)
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
    """A run that goes on, with what `tests.processes.Started` has: a process, and pipes to and from it.

    Args:
        arguments: Those after `tallystick`, or after the code.
        code: Code that is run instead, as `python -c` does.
        loads: As `execute` has it.
        cwd: Its directory; None for this process's.
        env: Its environment; None for this process's.
        stdin: Where it reads, as `subprocess.Popen` has it; so are the other two streams.
        text: Whether its output is read as lines of UTF-8, and as bytes otherwise.
    """

    def __init__(
        self, arguments: list[str], code: str | None = None, loads: tuple[str, ...] = (), *, cwd: Path | None = None,
        env: dict[str, str] | None = None, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE, text: bool = True,
    ) -> None:  # fmt: skip
        self.args, self.returncode = ["tallystick" if code is None else "-c", *arguments], None
        env = {**os.environ} if env is None else env
        request = {"arguments": self.args, "cwd": os.fspath(cwd or os.getcwd()), "env": env, "loads": loads}
        form: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"} if text else {"buffering": 0}
        self.stdin, given, ours = None, [], {}
        with ExitStack() as theirs:
            for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                if stream == subprocess.PIPE:
                    read, write = os.pipe()
                    mine, other = (write, read) if name == "stdin" else (read, write)
                    theirs.callback(os.close, other)
                    ours[name] = open(mine, ("w" if name == "stdin" else "r") + "b" * (not text), **form)  # noqa: SIM115
                elif stream == subprocess.STDOUT:
                    other = given[1]
                elif stream == subprocess.DEVNULL:
                    other = theirs.enter_context(open(os.devnull, "r+b")).fileno()
                else:
                    other = _number(stream)
                given.append(other)
            self.stdin, self.stdout, self.stderr = (ours.get(name) for name in ("stdin", "stdout", "stderr"))
            self.pid, self._answers = _begin(request if code is None else request | {"code": code}, given)
        self._lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended; raise subprocess.TimeoutExpired where it does not in time."""
        over = LIMIT if timeout is None else timeout
        with self._lock:
            if self.returncode is None:
                if not _is_ready(self._answers, over):
                    raise subprocess.TimeoutExpired(self.args, over)
                self.returncode = int(self._answers.read(12))
                self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status; None if it has not ended."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write what it is given, and return the rest of what it writes until it ends; kill it if that takes long."""
        found: dict[str, Any] = {}
        streams = {
            name: stream
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr))
            if stream is not None and not stream.closed
        }
        with killed_after(LIMIT if timeout is None else timeout, self.pid) as killer:
            readers = [
                threading.Thread(target=lambda name=name, stream=stream: found.update({name: stream.read()}))
                for name, stream in streams.items()
            ]
            for reader in readers:
                reader.start()
            self._give(given)
            for reader in readers:
                reader.join()
            self.wait()
            is_over = not killer.is_alive()
        for stream in streams.values():
            stream.close()
        if is_over:
            raise subprocess.TimeoutExpired(self.args, timeout or LIMIT, found.get("stdout"), found.get("stderr"))
        return found.get("stdout"), found.get("stderr")

    def _give(self, given: Any) -> None:
        if self.stdin is not None and not self.stdin.closed:
            with suppress(BrokenPipeError):
                while given:
                    given = given[self.stdin.write(given) :]
            with suppress(BrokenPipeError):
                self.stdin.close()

    def __enter__(self) -> Self:
        """Be ended by a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until it has ended; kill it where the block raised, or where it does not end in time."""
        if kind is not None:
            self.kill()
        for stream in (self.stdout, self.stderr, self.stdin):
            with suppress(*([BrokenPipeError] if kind else [])):
                if stream is not None:
                    stream.close()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise


_COMMAND = """#!%(python)s -IS
import _socket, json, os, signal, sys
from array import array
BOUND = ("LD_", "LISTEN_", "MALLOC_", "NOTIFY_", "PYTHON")
fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
if any(name.startswith(BOUND) for name in os.environ) or [fd for fd in fds[:-1] if fd > 2 and fd != %(line)d]:
    os.execv(%(real)r, sys.argv)
numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
mask = os.umask(0)
os.umask(mask)
ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
request = {"arguments": ["tallystick", *sys.argv[1:]], "cwd": os.getcwd(), "env": {**os.environ}}
asked = json.dumps(request | {"umask": mask, "signals": ignored}).encode("utf-8", "surrogateescape")
ours, theirs = os.pipe()
given = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [0, 1, 2, theirs]))]
_socket.socket(fileno=%(line)d).sendmsg([asked], given)
os.close(theirs)
for fd in (0, 1):
    os.close(fd)
pid = int(os.read(ours, 12))
for number in numbers - {*ignored}:
    signal.signal(number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
status = int(os.read(ours, 12) or b"-9")
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def put_command(directory: Path) -> int:
    """Put a program `tallystick` into a directory that has its runs here; return a descriptor that it must inherit.

    It runs the installed one itself where that makes a difference, or may: with descriptors beside the standard
    streams, and with variables that are for a process alone.
    """
    line = _forker().fileno()
    real = os.path.join(sysconfig.get_path("scripts"), "tallystick")
    (directory / "tallystick").write_text(_COMMAND % {"python": sys.executable, "line": line, "real": real})
    (directory / "tallystick").chmod(0o755)
    return line


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


def _is_ready(file: Any, seconds: float) -> bool:
    """Return whether there is something to read, or an end, within some seconds."""
    waiting = select.poll()  # any descriptor will do, however high it is
    waiting.register(file, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _is_stream(stream: Any) -> bool:
    return stream in (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL) or _number(stream) is not None


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
            for pidfd in waiting:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            sys.exit()
        request: dict[str, Any] = json.loads(text.decode("utf-8", "surrogateescape"))
        named = request["loads"] if "loads" in request else wanted(request["arguments"][1:], request["env"])
        for name in named:
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
    sys.orig_argv[:] = [sys.executable, os.path.join(sysconfig.get_path("scripts"), sys.argv[0]), *sys.argv[1:]]


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
