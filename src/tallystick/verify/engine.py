"""Map and merge: inputs → chunks → scan → merge, on as many threads as there are processors.

The scan runs without the interpreter's lock. No more chunks are in memory than threads can work on.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tallystick import _core
from tallystick.system import processors
from tallystick.verify.inputs import Chunk, Input, expect
from tallystick.verify.job import Beside
from tallystick.verify.memory import Memory
from tallystick.verify.memory.record import sha256
from tallystick.verify.rotated import Rotated, rejoin
from tallystick.verify.sums import Sums

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["scan_all"]

R = TypeVar("R")

Progress = Callable[[int], None]


class _ChangedError(Exception):
    """An input does not hold what is remembered of it."""

    def __init__(self, one: Input) -> None:
        super().__init__(one.path)
        self.one = one


def scan_all(
    keys: _core.Keys,
    inputs: Sequence[Input],
    envelope: _core.Envelope | None,
    *,
    jobs: int | None,
    progress: Progress,
    sums: Sums | None = None,
    memory: Memory | None = None,
    shown: Sequence[tuple[int, bytes]] = (),
    beside: Beside | None = None,
) -> _core.Verification:
    """Scan all inputs, again where a first look cannot tell.

    Args:
        keys: The logs to verify. They cannot be changed while the verification is there.
        inputs: What to read.
        envelope: What carriers wrapped the lines in.
        jobs: Threads; None for one a processor.
        progress: Called with the bytes on the disk that were read for each chunk that was scanned.
        sums: Takes the sum of each chunk, so that a later reader can tell whether it reads the same.
        shown: Signed texts that the lines are held against, with the numbers of their logs.
        memory: What earlier runs found in them. Of what is taken out of envelopes nothing is remembered.
        beside: Others that scan; then there is neither `memory` nor `sums`.

    Returns:
        A verification that has no pass left: it can be finished.
    """
    if envelope is not None and envelope.unwraps:
        memory = None
    passes = _Passes(keys, inputs, envelope, jobs or processors(), sums, memory, shown, beside)
    while True:
        try:
            return passes.all(progress)
        except _ChangedError as changed:
            assert memory is not None
            memory.forget(changed.one)
            progress = _ignore


@dataclass(frozen=True, slots=True)
class _Passes:
    """The passes of a verification; the arguments are those of `scan_all`."""

    keys: _core.Keys
    inputs: Sequence[Input]
    envelope: _core.Envelope | None
    jobs: int
    sums: Sums | None
    memory: Memory | None
    shown: Sequence[tuple[int, bytes]]
    beside: Beside | None

    def all(self, progress: Progress) -> _core.Verification:
        """Read everything as often as it takes.

        Raises:
            _ChangedError: An input that had to be read does not hold what is remembered of it.
        """
        if self.sums is not None:
            self.sums.begin()
        unwraps, nothing = self.envelope is not None and self.envelope.unwraps, Rotated()
        for one in self.inputs:
            one.rotated = Rotated() if unwraps else nothing
            one.ends = ()  # what an earlier look at files that moved found counts no more
            one.threads = self.jobs
        verification = self._begun(progress)
        if rejoin([one.rotated for one in self.inputs]):
            verification = self._begun(_ignore)
        while (mode := verification.next_pass()) is not None:
            verification.merge(self._later(mode))
        return verification

    def _begun(self, progress: Progress) -> _core.Verification:
        verification = _core.Verification(self.keys, list(self.shown))
        if (mode := verification.next_pass()) is not None:
            verification.merge(self._first(mode, progress))
            if self.memory is not None and self.memory.settled is not None:
                verification.take_settled(self.memory.settled)
        return verification

    def _first(self, mode: _core.Mode, progress: Progress) -> _core.Summary:
        """Scan what is not remembered."""
        summary = _core.Summary()
        gathered = self.memory.recall(self.inputs) if self.memory is not None else {}

        def scan(chunk: Chunk) -> tuple[_core.Summary, bytes]:
            digest = sha256(memoryview(chunk.data)[: chunk.end]) if chunk.file in gathered else b""
            return self._scan(mode, chunk), digest

        def start(one: Input) -> tuple[int, int] | None:
            return self.memory.start(one) if self.memory is not None else (0, 0)

        expect((one, begin) for one in self.inputs if (begin := start(one)) is not None)
        chunks = (chunk for one in self.inputs for chunk in _new(one, start(one), progress))
        worked = _worked(scan, chunks, self.jobs) if self.beside is None else self._beside(self.beside, mode, chunks)
        for chunk, (part, digest) in worked:
            if chunk.file in gathered:
                gathered[chunk.file].take(chunk, part, digest)
            else:
                summary.merge(part)
            progress(chunk.read)
        if self.memory is not None:
            self.memory.complete(summary)
        return summary

    def _beside(
        self, beside: Beside, mode: _core.Mode, chunks: Iterable[Chunk]
    ) -> Iterator[tuple[Chunk, tuple[_core.Summary, bytes]]]:
        for chunk, found in beside.scanned(chunks, lambda chunk: self._scan(mode, chunk)):
            yield chunk, (found, b"")

    def _later(self, mode: _core.Mode) -> _core.Summary:
        """Scan what has to be read again."""
        summary = _core.Summary()
        wanted = [one for number, one in enumerate(self.inputs) if mode.wants_file(number)]
        if self.memory is not None:
            wanted = [one for one in wanted if self.memory.is_wanted(one, mode)]
        expect((one, (0, 0)) for one in wanted)
        chunks = (chunk for one in wanted for chunk in self._again(one))
        for _, part in _worked(lambda chunk: self._scan(mode, chunk), chunks, self.jobs):
            summary.merge(part)
        return summary

    def _again(self, one: Input) -> Iterator[Chunk]:
        """Give the chunks of an input, and see that they are what is remembered."""
        if self.memory is None:
            yield from one.chunks()
            return
        check = self.memory.check(one)
        for chunk in one.chunks():
            if check is not None:
                check.take(memoryview(chunk.data)[: chunk.end])
            yield chunk
        if check is not None and not check.is_done:
            raise _ChangedError(one)

    def _scan(self, mode: _core.Mode, chunk: Chunk) -> _core.Summary:
        if self.sums is not None:
            self.sums.take(chunk)
        return chunk.given_to(_core.scan, self.keys, mode, self.envelope)


def _new(one: Input, start: tuple[int, int] | None, progress: Progress) -> Iterator[Chunk]:
    """Give the chunks of an input that are not remembered, from a start on; None where all are."""
    if start is None:
        progress(one.size)
        return
    if start[1] and one.is_plain:
        progress(start[1])
    yield from one.chunks(start)


def _worked(work: Callable[[Chunk], R], chunks: Iterable[Chunk], jobs: int) -> Iterator[tuple[Chunk, R]]:
    """Give each chunk and what became of it, in order; no more of them are in memory than threads work on."""
    if jobs == 1:
        for chunk in chunks:
            yield chunk, work(chunk)
        return
    from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

    running: deque[tuple[Chunk, Future[R]]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="tallystick scan") as pool:
        for chunk in chunks:
            running.append((chunk, pool.submit(work, chunk)))
            del chunk
            if len(running) > jobs:
                done, found = running.popleft()
                yield done, found.result()
                del done, found
        while running:
            done, found = running.popleft()
            yield done, found.result()


def _ignore(_: int) -> None:
    pass
