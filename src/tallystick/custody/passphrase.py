"""A passphrase as custody: `passphrase:`, stretched by Argon2id (RFC 9106).

It is asked for at the terminal; where there is none, the program that the environment variable TALLYSTICK_ASKPASS
names is run with the question as its argument, and prints it. It is asked for once in a process: the key that it gives
stays in locked memory for the chains that follow, since nobody is there to type at night.
"""

import os
import subprocess
from contextlib import suppress
from typing import Protocol

from tallystick._core import DataKey
from tallystick._core import Passphrase as Typed
from tallystick.custody.base import Owner
from tallystick.custody.options import Remembers, unopened
from tallystick.errors import CustodyError, reason

__all__ = ["HERE", "Here", "Passphrase", "Source"]

TERMINAL = "/dev/tty"
_MEMORY, _PASSES = 64 * 1024, 3  # KiB, times: the second recommendation of RFC 9106, with one lane
_SALT, _COSTS = 16, 5  # bytes
_LEAST = 12  # bytes
_ATTEMPTS = 3


class Source(Protocol):
    """Where the keys that passphrases are stretched to come from."""

    def attempts(self, lead: bytes) -> int:
        """Return how often it is worth to ask for the key of a salt and costs, once that was tried."""
        ...

    def key(self, lead: bytes | None, attempt: int) -> tuple[bytes, DataKey]:
        """Return the key of a salt and costs, and these.

        Args:
            lead: Salt and costs; None for new ones, and a new passphrase.
            attempt: How many keys did not fit so far.

        Raises:
            CustodyError: There is neither terminal nor program to ask, or the new passphrase is too short.
        """
        ...


class Here:
    """Passphrases that are asked for in this process, each once."""

    def __init__(self) -> None:
        self._keys: dict[bytes, DataKey] = {}  # by salt and costs
        os.register_at_fork(after_in_child=self.forget)

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return len(self._keys)

    def forget(self) -> None:
        """Wipe all keys."""
        self._keys.clear()

    def attempts(self, lead: bytes) -> int:
        """Return how often it is worth to ask: nobody corrects a program."""
        return _ATTEMPTS if _has_terminal() else 1

    def key(self, lead: bytes | None, attempt: int) -> tuple[bytes, DataKey]:
        """Return the key of a salt and costs, and these; asks unless that was done before."""
        if lead is None:
            lead = _MEMORY.to_bytes(4, "big") + _PASSES.to_bytes(1, "big") + os.urandom(_SALT)
            self._keys[lead] = _stretch(_ask_new(), lead)
        elif attempt or lead not in self._keys:
            self._keys.pop(lead, None)
            self._keys[lead] = _stretch(_ask("Passphrase of the sealing state: "), lead)
        return lead, self._keys[lead]


HERE = Here()
"""The passphrases that this process was given: a writer keeps them, since nobody is there to type at night."""


class Passphrase(Remembers):
    """Custody by a passphrase.

    Args:
        source: Where the keys come from.
    """

    url = "passphrase:"
    remembers = "the same passphrase opens every state"

    def __init__(self, source: Source = HERE) -> None:
        self._source = source
        self._lead: bytes | None = None  # salt and costs of the key in use

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key for a log. Asks for a new passphrase unless one was given.

        Raises:
            CustodyError: There is neither terminal nor program to ask, or what was typed is too short.
        """
        self._lead, stretched = self._source.key(self._lead, 0)
        return self._lead + stretched.wrap(key, self._lead + owner.context)

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt what `wrap` returned for the same log. Asks for the passphrase unless it was given before.

        Raises:
            CustodyError: There is neither terminal nor program to ask, or it is another passphrase, or a byte was
                changed.
        """
        lead, inner = wrapped[: _COSTS + _SALT], wrapped[_COSTS + _SALT :]
        attempt = 0
        while attempt == 0 or attempt < self._source.attempts(lead):
            with suppress(ValueError):
                opened = self._source.key(lead, attempt)[1].unwrap(inner, lead + owner.context)
                self._lead = lead
                return opened
            attempt += 1
        raise unopened("the passphrase")


def _stretch(typed: Typed, lead: bytes) -> DataKey:
    memory, passes = int.from_bytes(lead[:4], "big"), int.from_bytes(lead[4:_COSTS], "big")
    return typed.stretch(lead[_COSTS:], memory, passes)


def _ask_new() -> Typed:
    first = _ask("New passphrase for the sealing state: ")
    if first.length < _LEAST:
        raise CustodyError(
            "the passphrase is too short", hint=f"take {_LEAST} letters at least, better five random words"
        )
    if _has_terminal() and not first.same(_ask("The same once more: ")):
        raise CustodyError("the two passphrases differ", hint="try again")
    return first


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return False


def _ask(question: str) -> Typed:
    try:
        terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return _ask_program(question)
    try:
        return Typed.ask(terminal, question)
    finally:
        os.close(terminal)


def _ask_program(question: str) -> Typed:
    program = os.environ.get("TALLYSTICK_ASKPASS")
    if not program:
        raise CustodyError(
            "there is no terminal to ask for the passphrase at",
            hint="name a program that prints it by the environment "
            "variable TALLYSTICK_ASKPASS, or take another custody for what starts without people",
        )
    try:
        with subprocess.Popen([program, question], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
            assert child.stdout
            typed = Typed.read(child.stdout.fileno())
    except OSError as error:
        raise CustodyError(f"{program}, which TALLYSTICK_ASKPASS names, cannot be run: {reason(error)}") from None
    if child.returncode or not typed.length:
        raise CustodyError(f"{program}, which TALLYSTICK_ASKPASS names, gave no passphrase")
    return typed
