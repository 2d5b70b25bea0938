"""The process of the courier, as its parent sees it: started, spoken to, ended.

Both sides speak in lines of JSON over a pair of sockets. Secrets go by a page of locked memory that both share.
"""

import json
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from tallystick import _core, errors
from tallystick.custody import passphrase
from tallystick.errors import CustodyError, KeyStoreError, TallystickError, reason
from tallystick.keystore import Grant
from tallystick.secreturl import SecretUrl
from tallystick.securefile import hold_standard
from tallystick.system import interpreter, require_linux

__all__ = ["Child"]

_PATIENCE = 120.0  # seconds for work that names no limit of its own: files, and stores with their own timeouts
_SURPLUS = 2.0  # seconds beyond a limit that is named


def _python_path() -> dict[str, str]:
    """Return PYTHONPATH as it was meant where this program was started: it may change its working directory."""
    path = os.environ.get("PYTHONPATH")
    with suppress(OSError):
        return {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, path.split(os.pathsep)))} if path else {}
    return {}


_PYTHON_PATH = _python_path()


class Child:
    """A process of the courier; made by `start`."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket, page: _core.Handover) -> None:
        self._process, self._channel, self._page = process, channel, page
        self._heard = b""
        self._limit, self._who = _PATIENCE, ""
        self._until = math.inf

    @classmethod
    def start(cls, what: str, given: dict[str, Any], leases: Sequence[Grant] = (), until: float = math.inf) -> Self:
        """Start a process that does some work.

        Args:
            what: The kind of work, see `tallystick.courier.work`.
            given: Arguments of the work; no keys.
            leases: Leases that it uses meanwhile.
            until: Moment of the monotonic clock, in seconds, after which no answer is waited for.

        Raises:
            KeyStoreError: It cannot be started.
            SealError: Memory cannot be shared with it, or this is not Linux.
        """
        require_linux()
        hold_standard()  # the child gets three of its own
        page = _core.Handover()
        ours, theirs = socket.socketpair()
        # Copies: Python code may fork the process, as under gevent, and then those of the leases are closed in it.
        lent = [replace(lease, fds=tuple(os.dup(fd) for fd in lease.fds)) for lease in leases]
        fds = [fd for lease in lent for fd in lease.fds]
        with theirs, ExitStack() as copies:
            for fd in fds:
                copies.callback(os.close, fd)
            command = [interpreter(), "-P", "-m", "tallystick.courier", str(theirs.fileno()), str(page.fileno())]
            nowhere = subprocess.DEVNULL
            try:
                # A session of its own: keys typed at a terminal end this process, and this process ends that one.
                process = subprocess.Popen(
                    command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True,
                    env={**os.environ, **_PYTHON_PATH}, pass_fds=[theirs.fileno(), page.fileno(), *fds],
                )  # fmt: skip
            except (OSError, RuntimeError) as error:  # from Python 3.12 on, none is started while the interpreter ends
                ours.close()
                why = reason(error) if isinstance(error, OSError) else error
                raise KeyStoreError(
                    f"the process that opens sealing states cannot be started ({command[0]}): {why}",
                    hint="allow this service to run Python, and one process more",
                ) from None
            except BaseException:
                ours.close()
                raise
        child = cls(process, ours, page)
        child._until = until
        try:
            child.say(
                {"what": what, "parent": os.getpid(), "given": given, "leases": [each.message() for each in lent]}
            )
        except BaseException:
            child.end()
            raise
        return child

    def say(self, message: dict[str, Any]) -> None:
        """Send it a message."""
        with suppress(BrokenPipeError, ConnectionResetError):  # then `hear` says why
            self._channel.settimeout(_PATIENCE)
            self._channel.sendall(json.dumps(message, default=SecretUrl.reveal).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Return its next answer.

        Raises:
            TallystickError: What went wrong there, of the same class; or it did not answer in time, or was ended.
        """
        while True:
            message: dict[str, Any] = json.loads(self._line())
            if "limit" in message:
                self._limit, self._who = message["limit"] or _PATIENCE, message["who"]
            elif "ask" in message:
                self.say(self._answer(message))
            elif "error" in message:
                raise _error(message)
            else:
                return message

    def take_state(self, message: dict[str, Any]) -> _core.SealingState:
        """Return the state that came with a message."""
        return _core.SealingState.take_from(self._page, message["state"])

    def give_state(self, state: _core.SealingState, head: bytearray | None = None) -> str:
        """Put the keys of a state into the page, and a head, which is wiped; return the rest, for the message."""
        if head is not None:
            self._page.put_head(head)
        return state.hand_over(self._page)

    def kill(self) -> None:
        """End its process, so that `hear` fails; another thread or a signal handler may call this."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it and all that it started; the page is wiped."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._channel.close()
        self._process.wait()
        self._page.wipe()

    def __enter__(self) -> Self:
        """Return the process itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.end()

    def _line(self) -> bytes:
        until = min(self._until, time.monotonic() + self._limit + _SURPLUS)
        while b"\n" not in self._heard:
            self._channel.settimeout(max(0.001, until - time.monotonic()))
            try:
                data = self._channel.recv(65536)
            except TimeoutError:
                who = self._who or "the place of the sealing state"
                late = "in time" if until == self._until else f"within {self._limit:g} seconds"
                raise CustodyError(f"{who} did not answer {late}", hint="see that it runs and can be reached") from None
            except ConnectionResetError:
                data = b""
            if not data:
                who = self._who or "the key store"
                raise CustodyError(
                    f"the process that speaks to {who} was ended before it had answered", hint="try again"
                )
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Ask for a passphrase here, where the terminal is; the key goes by the page."""
        try:
            lead, key = passphrase.HERE.key(bytes.fromhex(asked["lead"]) or None, asked["attempt"])
            key.hand_over(self._page)
            return {"lead": lead.hex(), "attempts": passphrase.HERE.attempts(lead)}
        except TallystickError as error:
            return {"error": type(error).__name__, "said": str(error), "hint": error.hint}


def _error(message: dict[str, Any]) -> TallystickError:
    kind = getattr(errors, message["error"], KeyStoreError)
    made: TallystickError = kind(message["said"], hint=message.get("hint"))
    return made
