"""Upgrade in place: what an agent hands to the program that takes its place (spec/agent.md section 6).

The process stays the same one. It closes its logs, which ends its keys, and executes the program once more, with the
sockets left open, and with a description of them in a file in memory: no key is in it.

>>> import os, tempfile
>>> held = Held(7, "unix:/s", "uid:0", "process 9 of uid 0", (("uid", 0),), lines=(b"half", b"", None, 0, 0))
>>> file = described([Listening("unix:/s", 5, True)], [held])
>>> taken = take({"TALLYSTICK_AGENT_HANDED": f"{os.getpid()}:{file}"})
>>> taken.connections == (held,), taken.listening
(True, (Listening(address='unix:/s', fd=5, is_ours=True, drops=0),))
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from tallystick.errors import SealError

__all__ = ["SIGNALS", "Handed", "Held", "Left", "Listening", "check_program", "described", "replace_program", "take"]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""Signals that the agent handles; they wait while one program takes the place of another."""

Left = tuple[bytes, bytes, int | None, int, int]
"""What is left of a stream of lines: see `LineStream.left`."""

_VARIABLE = "TALLYSTICK_AGENT_HANDED"
_PATIENCE = 60.0  # seconds for the new program to say that it starts


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, or takes datagrams.

    Args:
        address: The address that it was made for.
        fd: Its descriptor.
        is_ours: Did an agent make it, and is to remove its file?
        drops: How many datagrams it has dropped of which the log knows.
    """

    address: str
    fd: int
    is_ours: bool
    drops: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A connection.

    Args:
        fd: Its descriptor.
        address: The address at which it was accepted.
        identity: Who it is, as of connect; so are the next two.
        name: The same for people.
        fields: What is known of it.
        lines: What is left of a stream of lines.
        conversation: What is left of a conversation; at most one of both is there.
        id: The client's id.
        state: The state that it wants to know of.
        owed: Bytes of frames that it has not taken.
    """

    fd: int
    address: str
    identity: str
    name: str
    fields: tuple[tuple[str, str | int], ...]
    lines: Left | None = None
    conversation: bytes | None = None
    id: bytes = b""
    state: int = 0
    owed: bytes = b""


@dataclass(frozen=True, slots=True)
class Handed:
    """All that was handed over."""

    listening: tuple[Listening, ...] = ()
    connections: tuple[Held, ...] = ()


def check_program() -> None:
    """See whether the program that is installed now starts at all.

    Raises:
        SealError: It does not, so nothing is to be handed to it.
    """
    words = [*_words()[: -len(sys.argv[1:]) or None], "agent", "--help"]
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE, stdin=subprocess.DEVNULL)
        failed = f"exit status {done.returncode}" if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        failed = str(error)
    if failed:
        raise SealError(f"the program that is installed now does not start: {failed}", hint="nothing was handed to it")


def described(listening: Sequence[Listening], connections: Sequence[Held]) -> int:
    """Return the descriptor of a file in memory that describes sockets."""
    parts = {"listening": [asdict(each) for each in listening], "connections": [asdict(each) for each in connections]}
    text = json.dumps(parts, default=lambda value: {"base64": base64.b64encode(value).decode()})
    file = os.memfd_create("tallystick-agent")
    with open(file, "wb", closefd=False) as out:
        out.write(text.encode())
    return file


def replace_program(listening: Sequence[Listening], connections: Sequence[Held], late: Sequence[int]) -> NoReturn:
    """Execute the program once more, in this process, with these sockets. All logs are closed.

    Args:
        listening: Sockets that listen.
        connections: Connections.
        late: Signals that the new program is to handle, with those that come from now on.

    Raises:
        OSError: It cannot be executed.
    """
    file = described(listening, connections)
    for fd in (file, *(each.fd for each in listening), *(each.fd for each in connections)):
        os.set_inheritable(fd, True)
    os.environ[_VARIABLE] = f"{os.getpid()}:{file}"
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in set(late):
        signal.raise_signal(number)  # it stays pending
    words = _words()
    os.execv(words[0], words)


def take(environment: MutableMapping[str, str]) -> Handed:
    """Return what the program before handed over to this process; the variable is removed.

    Args:
        environment: That of this process.
    """
    pid, _, number = environment.pop(_VARIABLE, "").partition(":")
    if pid != str(os.getpid()) or not number.isdecimal():
        return Handed()
    with open(int(number), "rb") as file:
        file.seek(0)
        found = json.loads(file.read(), object_hook=_value)
    return Handed(
        tuple(Listening(**each) for each in found["listening"]), tuple(_held(each) for each in found["connections"])
    )


def _value(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["base64"]) if found.keys() == {"base64"} else found


def _held(found: dict[str, Any]) -> Held:
    found["fields"] = tuple((name, value) for name, value in found["fields"])
    found["lines"] = None if found["lines"] is None else tuple(found["lines"])
    return Held(**found)


def _words() -> list[str]:
    """Return the command line of this process, with the interpreter that it runs in."""
    return [sys.executable, *sys.orig_argv[1:]]
