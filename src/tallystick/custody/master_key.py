"""A master key as custody, in a file or in an environment variable (spec section 6).

Its text form is 43 letters of base64url. The file is 0600 and belongs to who runs this; anything else is
refused. The key is read for each use and kept no longer.

>>> MasterKey.in_variable("DOCTEST_MASTER_KEY")
Traceback (most recent call last):
    ...
tallystick.errors.CustodyError: environment variable DOCTEST_MASTER_KEY is not set; put the master key into it
"""

import os
from collections.abc import Callable
from typing import Self

from tallystick import _private
from tallystick._core import DataKey
from tallystick.custody.base import Owner
from tallystick.custody.options import Remembers
from tallystick.errors import CustodyError

__all__ = ["MasterKey"]


class MasterKey(Remembers):
    """Custody by a master key; made by `in_file`, `in_variable` or `create`."""

    def __init__(self, place: str, read: Callable[[], DataKey]) -> None:
        self.url = f"master-key:{place}"
        self._place = place
        self._read = read
        read()  # so that a wrong place is told at once

    @classmethod
    def in_file(cls, path: str | os.PathLike[str]) -> Self:
        """Return the custody by the master key in a file.

        Raises:
            CustodyError: The file is not there, is open to other users, or holds something else.
        """
        path = os.path.abspath(path)
        return cls(path, lambda: _read_file(path))

    @classmethod
    def in_variable(cls, name: str) -> Self:
        """Return the custody by the master key in an environment variable.

        Raises:
            CustodyError: The variable is not set, or holds something else.
        """
        return cls(name, lambda: _read_variable(name))

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make a master key in a new file, and the directories above it where they are not there.

        Raises:
            CustodyError: There is such a file, or it cannot be written.
        """
        path = os.path.abspath(path)
        above = os.path.dirname(path)
        with _private.telling(CustodyError, above):
            _private.make_directories(above)
            with _private.creating(path, None) as fd:
                DataKey.generate().write(fd)
            _private.sync_directory(above)
        return cls.in_file(path)

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key; it is authenticated together with the log's context.

        Raises:
            CustodyError: The master key cannot be read.
        """
        return self._read().wrap(key, owner.context)

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt what `wrap` returned for the same log.

        Raises:
            CustodyError: The master key cannot be read, or is another one, or a byte was changed.
        """
        master = self._read()
        try:
            return master.unwrap(wrapped, owner.context)
        except ValueError:
            raise CustodyError(
                f"the master key in {self._place} does not open the state of this log: "
                "wrong key, or the state was changed; restore the one or the other"
            ) from None


def _read_file(path: str) -> DataKey:
    with _private.telling(CustodyError, path):
        try:
            fd = _private.open_file(path, None, os.O_RDONLY)
        except FileNotFoundError:
            raise CustodyError(
                f"the master key {path} is not there; "
                "restore it, the sealing states that it encrypts cannot be opened without it"
            ) from None
        try:
            return DataKey.read(fd)
        except ValueError:
            raise CustodyError(f"{path} holds no master key (43 letters of base64url); restore it") from None
        finally:
            os.close(fd)


def _read_variable(name: str) -> DataKey:
    text = os.environ.get(name)
    if text is None:
        raise CustodyError(f"environment variable {name} is not set; put the master key into it")
    try:
        return DataKey.parse(text)
    except ValueError:
        raise CustodyError(
            f"environment variable {name} holds no master key (43 letters of base64url); set it right"
        ) from None
