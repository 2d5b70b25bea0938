"""Follows a source for ever, and goes on after any end, of this process too, with each line sealed once.

What the agent has acknowledged is noted with the position in the source after it. A process that begins again says the
same id, and sends again what comes after that position with the same numbers: the agent seals none of it twice.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory, Notes(f"{directory}/state") as notes:
...     notes.put(Progress(b"x" * 16, 7, "line 7"))
...     notes.get()
Progress(id=b'xxxxxxxxxxxxxxxx', through=7, position='line 7')
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tallystick.agent.conversation import Conversation
from tallystick.agent.frames import NEW
from tallystick.agent.reach import Reach
from tallystick.agent.sources import MOST, Source
from tallystick.errors import SealError
from tallystick.securefile import exchange_file, lock, make_directories, open_path, read_file, reporting

__all__ = ["Following", "Notes", "Progress"]

_TICK = 0.05  # seconds
_PAUSE = 1.0  # seconds for which a source is waited for
_END = 5.0  # seconds that the end waits for acknowledgements
_LARGEST = 2**16  # bytes of the notes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source came.

    Args:
        id: The id that the agent issued; zeros before it did.
        through: The number of the last line that it acknowledged.
        position: The position in the source after that line; nothing for its beginning.
    """

    id: bytes = NEW
    through: int = 0
    position: str = ""


class Notes:
    """The progress, in a private directory."""

    def __init__(self, path: str) -> None:
        """Open the directory, which is made if it is not there.

        Raises:
            SealError: It cannot be used, others may read it, or another process notes its progress there.
        """
        self._path = os.path.abspath(path)
        with reporting(SealError, self._path):
            make_directories(self._path)
            self._directory = open_path(self._path)
        try:
            lock(self._directory, wait=False)
        except OSError:
            os.close(self._directory)
            raise SealError(
                f"{self._path}: another process notes its progress there", hint="name a directory for each source"
            ) from None

    def get(self) -> Progress:
        """Return what was noted last.

        Raises:
            SealError: It cannot be read.
        """
        try:
            with reporting(SealError, self._path):
                data = self._read()
            if not data:
                return Progress()
            found = json.loads(data)
            return Progress(bytes.fromhex(found["id"]), int(found["through"]), str(found["position"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SealError(
                f"{self._path}: it is damaged", hint="remove the directory; all of the source is then sent again"
            ) from error

    def _read(self) -> bytearray:
        try:
            return read_file("progress", self._directory, bytearray, limit=_LARGEST)
        except FileNotFoundError:
            return bytearray()

    def put(self, progress: Progress) -> None:
        """Note how far it came.

        Raises:
            SealError: There is no room.
        """
        found = {"id": progress.id.hex(), "through": progress.through, "position": progress.position}
        with reporting(SealError, self._path):
            exchange_file("progress", json.dumps(found).encode(), self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._directory)


class Following:
    """Sends what a source has.

    Invariant: what is noted is acknowledged, and the position is the one after it. An id is noted before any line is
    sent with it; of the lines after the noted one, no more than `MOST` were sent.
    """

    def __init__(
        self, reach: Reach, state: int, notes: Notes, report: Callable[[str], None], goes_on: Callable[[], bool]
    ) -> None:
        """Begin where the notes say.

        Args:
            reach: Where the agent is.
            state: The state of which acknowledgements are awaited.
            notes: What was noted.
            report: Called with what is wrong.
            goes_on: Is asked again and again whether to go on.
        """
        self._reach, self._state, self._notes = reach, state, notes
        self._report, self._goes_on = report, goes_on
        self.progress = notes.get()
        self._talk = self._begun()

    def _begun(self) -> Conversation:
        talk = Conversation(self._reach, self._state)
        if self.progress.id != NEW:
            talk.outbox.resume(self.progress.id, self.progress.through)
        return talk

    def run(self, source: Source) -> None:
        """Follow a source until it is asked to end.

        Raises:
            SealError: The source has come to an end; or lines were not acknowledged in time at the end.
        """
        if not self.progress.position:
            self._note(Progress(position=source.position))
        try:
            while self._goes_on():
                if lines := source.read(_PAUSE):
                    self._send(lines, source.position)
        finally:
            self._talk.close()
            self._tell()

    def _send(self, lines: list[bytes], position: str) -> None:
        for line in lines:
            self._talk.outbox.put(line)
        until = None
        while count := self._talk.outbox.count:
            if until is None and not self._goes_on():
                until = time.monotonic() + _END
            if until is not None and time.monotonic() > until:
                missing = f"{count} lines that {self._reach.address} has not acknowledged"
                raise SealError(missing, hint="they are sent again next time")
            self._step()
        self._note(Progress(self._talk.outbox.id, self._talk.outbox.through, position))

    def _step(self) -> None:
        talk = self._talk
        if talk.link is None:
            if talk.pause > 0:
                time.sleep(min(_TICK, talk.pause))
                return
            talk.begin(self._reach.open())
        before = list(talk.outbox.lines)
        talk.hear()
        if talk.outbox.id == NEW and self.progress.id != NEW:
            self._again(before)
        elif talk.outbox.is_connected:
            if talk.outbox.id != self.progress.id:
                self._note(Progress(talk.outbox.id, 0, self.progress.position))
            talk.say_all()
        self._tell()
        if self._talk.link is not None:
            self._talk.link.wait(_TICK, writes=bool(self._talk.rest))

    def _again(self, before: list[bytes]) -> None:
        """Go on with a new id: the agent does not know this one any more."""
        talk = self._talk
        left = talk.lost + talk.outbox.count
        talk.said.append(f"the agent at {self._reach.address} does not know what it has of {MOST} lines at most that "
                         "were sent last: they are sent again, and may be in the log twice")  # fmt: skip
        self._tell()
        self.progress = Progress(position=self.progress.position)
        self._talk = self._begun()
        for line in before[len(before) - left :]:
            self._talk.outbox.put(line)

    def _note(self, progress: Progress) -> None:
        self._notes.put(progress)
        self.progress = progress

    def _tell(self) -> None:
        while self._talk.said:
            self._report(self._talk.said.popleft())
