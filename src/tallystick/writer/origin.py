"""Where a writer comes from: the key store and the output that it was opened with, and how they are opened again.

A forked child opens both for itself, and may have changed its directory, its descriptors and its user before that.
"""

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tallystick import keystore
from tallystick.errors import SealError
from tallystick.keystore import Lease
from tallystick.secreturl import SecretUrl
from tallystick.securefile import Actor
from tallystick.sinks import Sink, open_sink
from tallystick.sinks.rotation import Rotation
from tallystick.writer.opening import take_lease

__all__ = ["Origin", "Output"]

Output = str | os.PathLike[str] | int | Callable[[bytes], object]


class Origin:
    """The key store and the output of one log.

    State: the absolute path of the output, or what stood behind its descriptor when it was opened first.
    Invariant: what is opened again is the same place; where that cannot be, it is refused.
    """

    def __init__(
        self,
        name: str,
        output: Output,
        store: str | SecretUrl | None,
        custody: str | None,
        rotation: Rotation | None,
        user: str | None,
    ) -> None:
        """Take the arguments of `open_log`; nothing is opened yet.

        Raises:
            KeyStoreError: The URL of the key store cannot be read.
            SealError: There is no such user, or this process may not become one.
        """
        self.name = name
        self._output, self._custody, self._rotation = output, custody, rotation
        self._actor = None if user is None else Actor.named(user)
        self._store = keystore.connect(store)
        self._behind: tuple[int, ...] | None = None

    def take_lease(self, undoing: ExitStack) -> tuple[Lease, Sequence[str]]:
        """Take the lease; see `tallystick.writer.opening.take_lease`. `undoing` gives it back."""
        lease, tidied = take_lease(self._store, self.name, self._custody)
        undoing.callback(lease.release)
        return lease, tidied

    def open_sink(self, undoing: ExitStack, on_trouble: Callable[[str], None]) -> Sink:
        """Open the output; `undoing` closes it.

        Raises:
            SealError: It cannot be written or not rotated, or its descriptor means something else than at first.
        """
        if isinstance(self._output, int):
            self._check_descriptor(self._output)
        sink = open_sink(self._output, self._rotation, on_trouble, self._actor)
        undoing.callback(sink.close)
        if isinstance(self._output, str | os.PathLike):
            self._output = os.path.abspath(self._output)
        return sink

    def _check_descriptor(self, fd: int) -> None:
        try:
            found = os.fstat(fd)
            behind: tuple[int, ...] = (found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode), found.st_rdev)
        except OSError:
            behind = ()
        if self._behind is None:
            self._behind = behind
        elif behind != self._behind:
            raise SealError(
                f"file descriptor {fd} is not what it was when log {self.name} was opened",
                hint="open the log after the process has become a daemon",
            )
