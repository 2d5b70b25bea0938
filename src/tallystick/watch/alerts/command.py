"""A command as receiver: started for each event, with the event as one line of JSON on its standard input.

No shell takes its arguments apart, and it gets few variables of the environment. It has 30 seconds; then it and all it
started in its process group are killed. Exit status 0 means that the event was delivered, 75 that nothing can be
delivered at present, anything else that this event was refused. The end of its output is shown with the reason.

>>> from tallystick.watch.config import AlertCommand
>>> Command(AlertCommand(("sh", "-c", "echo no such user; exit 1"))).deliver({"id": "1"}, threading.Event())
Traceback (most recent call last):
    ...
tallystick.watch.alerts.receiver.RefusedError: exit status 1: no such user
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Any

from tallystick.errors import reason
from tallystick.watch.alerts.form import as_line, clipped
from tallystick.watch.alerts.receiver import AwayError, RefusedError
from tallystick.watch.config import AlertCommand

__all__ = ["Command"]

_SECONDS = 30.0
_OUTPUT = 4096  # bytes of output that are looked at
_SHOWN = 200  # characters of it in a message
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CREDENTIALS_DIRECTORY")
_TEMPORARY = 75  # EX_TEMPFAIL


class Command:
    """A command as receiver."""

    def __init__(self, config: AlertCommand, seconds: float = _SECONDS) -> None:
        self._arguments, self._seconds = config.arguments, seconds
        self.name = f"command {clipped(os.path.basename(config.arguments[0]), 60)}"
        self.key = "\0".join(("command", *config.arguments))

    def deliver(self, plain: dict[str, Any], stop: threading.Event) -> None:
        """Start the command and wait until it ends."""
        try:
            process = subprocess.Popen(
                self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            what = reason(error) if isinstance(error, OSError) else str(error)
            raise AwayError(f"the command cannot be started: {what}") from None
        try:
            output = self._talk(process, as_line(plain), stop)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.wait()
        status = process.returncode
        if status:
            end = clipped(output.decode("utf-8", "replace").strip(), _SHOWN)
            what = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            what += f": {end}" if end else ""
            raise AwayError(what) if status == _TEMPORARY else RefusedError(what)

    def _talk(self, process: "subprocess.Popen[bytes]", given: bytes, stop: threading.Event) -> bytes:
        """Write the event, read the output, and return the end of it once the process has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        over = time.monotonic() + self._seconds
        output, reading, pause = b"", process.stdout.fileno(), 0.002
        with selectors.DefaultSelector() as selector:
            for pipe, what in ((process.stdin, selectors.EVENT_WRITE), (process.stdout, selectors.EVENT_READ)):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe.fileno(), what)
            # The end of the output is not waited for: something that it left behind may hold the pipe.
            while process.poll() is None:
                if stop.is_set():
                    raise AwayError("the command was stopped, for the service ends")
                if time.monotonic() > over:
                    raise AwayError(f"the command took longer than {self._seconds:g} s", is_about_event=True)
                if not selector.get_map():
                    time.sleep(pause)
                for key, _ in selector.select(pause) if selector.get_map() else ():
                    if key.fd == reading:
                        more = _read(reading)
                        output = (output + more)[-_OUTPUT:]
                        if not more:
                            selector.unregister(reading)
                        continue
                    given = given[_write(key.fd, given) :]
                    if not given:
                        selector.unregister(key.fd)
                        process.stdin.close()
                pause = min(pause * 2, 0.05)
            while more := _read(reading):  # no more than a pipe holds, unless somebody goes on writing
                output = (output + more)[-_OUTPUT:]
                if time.monotonic() > over:
                    break
        return output


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # nothing there at present
        return b""


def _write(fd: int, data: bytes) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except OSError:  # it does not want to read it
        return len(data)
