"""What can go wrong, by what a caller can do about it.

The text of an error says what happened; its `hint` says what to do.

>>> error = FormatError("the seal is cut off", path="audit.log", line=7, hint="restore the file")
>>> str(error), error.hint
('audit.log:7: the seal is cut off', 'restore the file')
>>> explain(error)
'audit.log:7: the seal is cut off; restore the file'
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Self

__all__ = [
    "ONE_WRITER",
    "CustodyError",
    "FormatError",
    "KeyStoreError",
    "LeaseLostError",
    "LogBusyError",
    "NoRoomError",
    "OutputError",
    "ReportError",
    "SealError",
    "TallystickError",
    "UnknownError",
    "explain",
    "reason",
    "safely",
]


class TallystickError(Exception):
    """The root of all errors of this package: catch it to catch them all.

    Args:
        message: What happened. This is the text of the error.
        hint: What to do about it, if something can be done. Tracebacks show it as a note.
    """

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")


class FormatError(TallystickError):
    """Invalid bytes: of a key, a head, a pin, a public file, an exceptions file.

    Args:
        message: What is wrong.
        hint: What to do about it.
        path: The file it was found in, if it was a file.
        line: The line in that file, from 1.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line

    def found_in(self, path: str, line: int | None = None) -> Self:
        """Return the same error with the place where it was found: a file, and a line in it from 1."""
        return type(self)(self.args[0], hint=self.hint, path=path, line=line)

    def __str__(self) -> str:
        """Return the message, led by the place where it was found."""
        place = [str(part) for part in (self.path, self.line) if part is not None]
        return ": ".join([":".join(place), self.args[0]] if place else [self.args[0]])


def explain(error: BaseException) -> str:
    """Return what happened and what to do, in one line, for people.

    >>> explain(CustodyError("the master key is not there", hint="restore it"))
    'the master key is not there; restore it'
    >>> explain(ValueError("no such thing"))
    'no such thing'
    """
    hint = error.hint if isinstance(error, TallystickError) else None
    return f"{error}; {hint}" if hint else str(error)


def reason(error: OSError) -> str:
    """Return the reason that the operating system gives, in the form of our messages.

    >>> reason(FileNotFoundError(2, "No such file or directory", "audit.log"))
    'no such file or directory'
    """
    return (error.strerror or str(error)).lower()


def safely(report: Callable[[str], None]) -> Callable[[str], None]:
    """Return what reports in the same way, and never fails: a report must not end a thread, or half of a step.

    An error goes where those of threads go: to `threading.excepthook`, which prints it.

    >>> safely(print)("no room")
    no room
    """

    def reported(message: str) -> None:
        try:
            report(message)
        except Exception as error:
            import threading  # verifiers report nothing in this way

            error.add_note(f"tallystick was to report: {message}")
            with suppress(Exception):
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    return reported


class KeyStoreError(TallystickError):
    """State and head cannot be read or written, or another writer holds the lease (spec section 6)."""


class NoRoomError(KeyStoreError):
    """The key store has no room left. With `on_full="drop"` a log goes on without it."""


class LeaseLostError(KeyStoreError):
    """The lease of a log is lost: its writer must stop at once (spec section 6)."""


class CustodyError(TallystickError):
    """The sealing state cannot be encrypted or decrypted (spec section 6)."""


class SealError(TallystickError):
    """A line cannot be sealed, or the log must not be written any more (spec sections 4 to 6)."""


class UnknownError(SealError):
    """A line is sealed, and whether enough witnesses have it is not known: they may, or may still get it.

    It is no error of the line, which stays in the log: to write it again would seal it twice.
    """


class LogBusyError(KeyStoreError, SealError):
    """Another process writes the log (spec section 6). A KeyStoreError at opening, a SealError in a forked child."""


ONE_WRITER = (
    "only one writer at a time: let `tallystick agent` write it for all processes, or let `tallystick run` seal the"
    " output of all of them, or open one log for each process"
)
"""The hint of most LogBusyErrors."""


class OutputError(SealError):
    """The output takes no lines for the time being. Sealed lines stay pending and go first (spec section 6)."""


class ReportError(TallystickError):
    """A verification cannot be carried out as asked: its input or its demands contradict each other."""
