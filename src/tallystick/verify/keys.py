"""The keys that a verification is given, from their files straight into the core."""

import os
from collections import Counter
from collections.abc import Callable, Iterable

from tallystick import _core, securefile
from tallystick.errors import FormatError, ReportError, reason
from tallystick.verify.report import KeyReport

__all__ = ["add_file", "labels", "read_keys"]


def read_keys(
    keys: Iterable[str | os.PathLike[str]], public: Iterable[str | os.PathLike[str]]
) -> tuple[_core.Keys, tuple[KeyReport, ...]]:
    """Return the logs of some verification keys and public files, and what each of these is.

    Raises:
        FormatError: One is invalid.
        ReportError: One cannot be read, or there is none.
    """
    logs = _core.Keys()
    given = [(os.fspath(path), True, add_file(os.fspath(path), logs.add_key)) for path in keys]
    given += [(os.fspath(path), False, add_file(os.fspath(path), logs.add_public)) for path in public]
    if not given:
        raise ReportError(
            "no key was given", hint="give the verification key with --key or the public file with --public"
        )
    return logs, tuple(_reported(logs, *one) for one in given)


def _reported(logs: _core.Keys, path: str, is_secret: bool, number: int) -> KeyReport:
    """Return what may be shown of a key: nothing of it that is secret."""
    name, log_id, _, is_narrowed, *_ = logs.logs()[number]
    kind = "public key" if not is_secret else "narrowed verification key" if is_narrowed else "verification key"
    return KeyReport(path, kind, name, log_id, logs.public_keys()[number])


def labels(logs: _core.Keys) -> list[str]:
    """Return what each log is called in one run: its name, with a dot and its log id where others have that name."""
    names = Counter(name for name, *_ in logs.logs())
    return [name if names[name] == 1 else f"{name}.{log_id}" for name, log_id, *_ in logs.logs()]


def add_file(path: str, read: Callable[[int], int]) -> int:
    """Let the core read a key file by itself, so that no secret comes to Python.

    Args:
        path: The file.
        read: `add_key` or `add_public` of the keys that it is added to.

    Returns:
        The number of its log.

    Raises:
        FormatError: It holds no such key.
        ReportError: It cannot be read.
    """
    try:
        fd = securefile.opened(path, os.O_RDONLY)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name of the key") from error
    try:
        return read(fd)
    except FormatError as error:
        raise FormatError(str(error), hint=error.hint, path=path) from None
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="name a key file") from error
    finally:
        os.close(fd)
