"""Where a writer comes from: the key store and the output that it was opened with, and how they are opened again.

A forked child opens both for itself, and may have changed its directory, its descriptors and its user before that.
"""

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from tallystick import custody as custodies
from tallystick import keystore
from tallystick.courier import Next
from tallystick.errors import SealError
from tallystick.secreturl import SecretUrl
from tallystick.securefile import Actor
from tallystick.sinks import Sink, open_sink
from tallystick.sinks.rotation import Rotation
from tallystick.taking_back import empty_file
from tallystick.writer.adopting import Past, past_of, refuse_begun
from tallystick.writer.opening import Taken, private_again, refuse_older_store, refuse_other_log
from tallystick.writer.waiting import wait_for_lease

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
        user: str | None = None,
        wait: float | None = None,
        *,
        mixed: bool = False,
        adopt: bool = False,
    ) -> None:
        """Take the arguments of `open_log`; nothing is opened yet.

        Raises:
            KeyStoreError: The URL of the key store cannot be read.
            SealError: There is no such user, or this process may not become one.
        """
        self.name = name
        self._output, self._rotation, self._mixed, self._adopts = output, rotation, mixed, adopt
        self.custody = None if custody is None else custodies.resolved(custody)
        self._actor = None if user is None else Actor.named(user)
        self.store = keystore.connect(store)
        self._wait = wait
        self._taken: Taken | None = None
        self._private: list[str] = []
        self._behind: tuple[int, ...] | None = None

    def prepare(self, report: Callable[[str], None]) -> None:
        """Make private again what the start of a pod opened to a group; `report` is called with what was done."""
        self._private = private_again(self.store, self.name, self.custody)
        for each in self._private:
            report(each)

    def have(self, taken: Taken) -> None:
        """Use a lease that was taken already, once."""
        self._taken = taken

    def take_lease(self, undoing: ExitStack, report: Callable[[str], None]) -> Taken:
        """Take the lease, the first time after a wait if need be; see `tallystick.writer.waiting.wait_for_lease`.

        Args:
            undoing: Gives it back.
            report: Called with what is waited for.
        """
        (taken, self._taken), (wait, self._wait) = (self._taken, None), (self._wait, None)
        if taken is None:
            self.prepare(report)
            taken = wait_for_lease(self.store, self.name, self.custody, wait, report)
        undoing.callback(taken.lease.release)
        return taken._replace(done=[*self._private, *taken.done])

    def unwritten(self) -> AbstractContextManager[None]:
        """Return a block: if it fails, a file that it made for the output and wrote nothing to is removed."""
        return empty_file(self._output)

    def open_sink(self, undoing: ExitStack, on_trouble: Callable[[str], None], *, later: bool) -> Sink:
        """Open the output, perhaps `later`; `undoing` closes it. See `tallystick.sinks.open_sink`.

        Raises:
            SealError: It cannot be written or not rotated, or its descriptor means something else than at first.
        """
        if isinstance(self._output, int):
            self._check_descriptor(self._output)
        sink = open_sink(self._output, self._rotation, on_trouble, actor=self._actor, later=later)
        undoing.callback(sink.close)
        if isinstance(self._output, str | os.PathLike):
            self._output = os.path.abspath(self._output)
        return sink

    def past(self, sink: Sink) -> Past | None:
        """Return what the log adopts, if it is to.

        Raises:
            SealError: It is nothing that can be adopted.
        """
        return past_of(sink) if self._adopts else None

    def begun(self) -> None:
        """Note that the log has begun: nothing is adopted any more."""
        self._adopts = False

    def check(self, state: Next, sink: Sink, report: Callable[[str], None]) -> None:
        """Refuse a key store that is older than the log, and the file of another log, unless that is wanted.

        Raises:
            KeyStoreError: The store is older.
            SealError: It is the file of another log; or the log is to adopt what the file held, and has begun.
        """
        refuse_older_store(state, sink)
        if self._adopts:  # whatever the file held
            refuse_begun(state)
        else:
            refuse_other_log(state, sink, report if self._mixed else None)

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
