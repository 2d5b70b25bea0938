"""The way back: the lines of a log as they were before they were sealed, byte for byte.

All is verified first. Then the files are read once more, and the lines that hold come in the order of their positions,
without seals and control lines, each position once.

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key")
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     with texts([f"{d}/app.log"], key=f"{d}/app.key", **place) as found:
...         print(found.report.verdict, b"".join(found.pieces()))
Verdict.OK b'user=7 action=login\\n'

With the verification key a line holds if its tag matches and nothing that was found speaks against it: it does not
stand after what ended its epoch, its chain or the log, its epoch's R does not contradict, and no other line claims its
position. With the public file alone a line holds if a checkpoint covers it, or a signed head of a witness or a file.

Two readings of a file may differ. So a tag is computed from the very bytes that are written, and the SHA-256 of each
chunk must be that of the chunk that was verified: where it is not, nothing of that chunk is written.

Memory does not grow with the log. The lowest position of each chunk is known, and a chunk is read when no line before
that position is lacking any more. So rotated files are read one after the other, whatever their names, files that
overlap are merged, and lines that stand in a wrong place come in the right one. No more than `MOST_HELD` chunks are
held for that: where more of them overlap, the lowest lines at hand come first.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tallystick import _core
from tallystick.errors import ReportError, reason
from tallystick.system import processors
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.report import Report
from tallystick.verify.run import Request, Verified, carried_out
from tallystick.verify.sums import Sums

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Texts", "texts"]

StrPath = str | os.PathLike[str]
_At = tuple[int, int, int]
_Planned = tuple[_At | None, int, int]  # lowest position from here on in the file, file, chunk

MOST_HELD = 32
"""Chunks (about 8 MiB each) of which lines wait for those of others."""

_PIECE = 2**20  # bytes


class Texts:
    """What was verified, and the lines of it that hold.

    Attributes:
        report: The report, as of `tallystick.verify`.
        verified: What was verified.
        merger: Puts the lines together, and knows which ones were given.
    """

    def __init__(self, verified: Verified, sums: Sums, *, marked: bool, jobs: int) -> None:
        """Take what was verified, and the sums of its chunks."""
        self.report: Report = verified.report
        self.verified, self.merger = verified, _core.Merger()
        self._sums, self._marked, self._jobs = sums, marked, jobs
        holding = verified.facts.holding(verified.logs)
        self._mode = _core.Mode.texts(holding, marked)

    def reads(self, device: int, inode: int) -> bool:
        """Is a file one of those that are read?"""
        return any(one.identity == (device, inode) for one in self.verified.inputs)

    def pieces(self) -> Iterator[bytes]:
        """Give the lines that hold: whole lines, each ended by LF, about a megabyte at a time.

        Raises:
            ReportError: A file is not any more what it was when it was verified. What was given before holds.
        """
        plan, merger = self._plan(), self.merger
        for number, block in enumerate(self._blocks(plan)):
            merger.add(block)
            before = plan[number + 1][0] if number + 1 < len(plan) else None
            while piece := merger.take(before, _PIECE):
                yield piece
            while merger.held > MOST_HELD and (piece := merger.take(None, _PIECE)):
                yield piece

    def _plan(self) -> list[_Planned]:
        """Return the chunks in the order in which they are read: that of each file, and by the lowest position."""
        lowest = {(file, chunk): at for file, chunk, at in self.verified.facts.lowest(0)}
        plan: list[_Planned] = []
        low: _At | None = None
        file = -1
        for chunk in reversed(self.verified.facts.chunks()):
            if chunk.file != file:
                file, low = chunk.file, None
            low = min((at for at in (low, lowest.get((file, chunk.chunk))) if at is not None), default=None)
            if low is not None or self._marked:
                plan.append((low, file, chunk.chunk))
        return sorted(plan, key=lambda one: (one[0] is None, one))

    def _blocks(self, plan: list[_Planned]) -> Iterator[_core.Block]:
        """Take the texts of each chunk, on several threads."""
        with ExitStack() as stack:
            chunks = self._chunks(plan, stack)
            if self._jobs == 1:
                yield from map(self._taken, chunks)
                return
            from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

            pool = stack.enter_context(ThreadPoolExecutor(self._jobs, thread_name_prefix="tallystick texts"))
            running: deque[Future[_core.Block]] = deque()
            for chunk in chunks:
                running.append(pool.submit(self._taken, chunk))
                del chunk
                if len(running) > self._jobs:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def _chunks(self, plan: list[_Planned], stack: ExitStack) -> Iterator[Chunk]:
        """Read the chunks of a plan, each file from its beginning to the last chunk that is wanted."""
        last = {file: chunk for _, file, chunk in sorted(plan, key=lambda one: one[1:])}
        readers: dict[int, tuple[ExitStack, Iterator[Chunk]]] = {}
        for _, file, number in plan:
            one = self.verified.inputs[file]
            if file not in readers:
                own = stack.enter_context(ExitStack())
                readers[file] = own, own.enter_context(_reading(one))
            own, chunks = readers[file]
            chunk = next((chunk for chunk in chunks if chunk.number == number), None)
            if chunk is None:
                raise _changed(one)
            yield chunk
            if number == last[file]:
                own.close()

    def _taken(self, chunk: Chunk) -> _core.Block:
        """Take the texts of a chunk that is what it was when it was verified."""
        if not self._sums.take(chunk) or chunk.file in self._sums.changed:
            raise _changed(self.verified.inputs[chunk.file])
        return chunk.given_to(_core.take_texts, self.verified.logs, self._mode, self.verified.envelope)


@contextmanager
def _reading(one: Input) -> Iterator[Iterator[Chunk]]:
    """Give the chunks of a file, which stays open meanwhile though others are read in between."""
    try:
        held = one.file.hold()
    except OSError as error:
        raise ReportError(f"{one.path}: {reason(error)}", hint="try again when it stays where it is") from error
    try:
        with contextlib.closing(one.again()) as chunks:
            yield chunks
    finally:
        if held:
            one.file.release()


def _changed(one: Input) -> ReportError:
    what = f"{one.path} was changed after it was verified; the lines before this place were written, and hold"
    return ReportError(what, hint="begin again; follow a log that is written with --follow")


@contextmanager
def texts(
    paths: Iterable[StrPath],
    *,
    key: StrPath | None = None,
    public: StrPath | None = None,
    marked: bool = False,
    jobs: int | None = None,
    **options: Any,
) -> Iterator[Texts]:
    """Verify a log, and give its lines as they were before they were sealed.

    Args:
        paths: What holds them, as `tallystick.verify` takes it.
        key: The log's verification key.
        public: Its public file; without `key`, only lines that a checkpoint or a signed head covers are given.
        marked: Give lines that do not hold as well, as they are, each after the line that it was read after. Then `! `
            stands before each of them, and two blanks stand before each line that holds.
        jobs: Threads; None for one a processor.
        options: What else `tallystick.verify` takes.

    Yields:
        The report, and the lines; its files are open in the block.

    Raises:
        FormatError: A key, head or exceptions file is invalid.
        KeyStoreError: The key store that was named cannot be read.
        ReportError: Nothing can be read, the keys are not those of one log, or the demands contradict each other.
    """
    sums, jobs = Sums(), jobs or processors()
    keys, publics = [[one] if one is not None else [] for one in (key, public)]
    asked = Request.of(paths, keys=keys, public=publics, jobs=jobs, **options)
    with carried_out(asked, sums) as verified:
        if len(verified.logs.logs()) > 1:
            raise ReportError("the two keys are of different logs", hint="give keys of one log")
        yield Texts(verified, sums, marked=marked, jobs=jobs)
