"""Map and merge: inputs → chunks → scan → merge, on as many threads as there are processors.

The scan runs without the interpreter's lock. No more chunks are in memory than threads can work on.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tallystick import _core
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.rotated import Rotated, rejoin
from tallystick.verify.sums import Sums

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["scan_all"]


def scan_all(
    keys: _core.Keys,
    inputs: Sequence[Input],
    envelope: _core.Envelope | None,
    *,
    jobs: int | None,
    progress: Callable[[int], None],
    sums: Sums | None = None,
) -> _core.Verification:
    """Scan all inputs, again where a first look cannot tell.

    Args:
        keys: The logs to verify. They cannot be changed while the verification is there.
        inputs: What to read.
        envelope: What carriers wrapped the lines in.
        jobs: Threads; None for one a processor.
        progress: Called with the bytes on the disk that were read for each chunk that was scanned.
        sums: Takes the sum of each chunk, so that a later reader can tell whether it reads the same.

    Returns:
        A verification that has no pass left: it can be finished.
    """
    jobs = jobs or len(os.sched_getaffinity(0))

    def begun(report: Callable[[int], None]) -> _core.Verification:
        verification = _core.Verification(keys)
        if (mode := verification.next_pass()) is not None:
            verification.merge(scan(mode, report))
        return verification

    def scan(mode: _core.Mode, report: Callable[[int], None]) -> _core.Summary:
        chunks = (chunk for one in inputs for chunk in one.chunks())
        return _scan(keys, mode, chunks, envelope, jobs, report, sums)

    if sums is not None:
        sums.begin()
    for one in inputs:
        one.rotated = Rotated()  # what an earlier look at files that moved found counts no more
    verification = begun(progress)
    if rejoin([one.rotated for one in inputs]):
        verification = begun(_ignore)
    while (mode := verification.next_pass()) is not None:
        verification.merge(scan(mode, _ignore))
    return verification


def _scan(
    keys: _core.Keys,
    mode: _core.Mode,
    chunks: Iterator[Chunk],
    envelope: _core.Envelope | None,
    jobs: int,
    progress: Callable[[int], None],
    sums: Sums | None,
) -> _core.Summary:
    summary = _core.Summary()

    def scan(chunk: Chunk) -> _core.Summary:
        if sums is not None:
            sums.take(chunk)
        return _core.scan(
            keys,
            mode,
            chunk.data,
            chunk.end,
            file=chunk.file,
            chunk=chunk.number,
            offset=chunk.offset,
            cut=chunk.cut,
            lines=chunk.lines,
            envelope=envelope,
        )

    if jobs == 1:
        for chunk in chunks:
            summary.merge(scan(chunk))
            progress(chunk.read)
        return summary
    from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

    running: deque[tuple[Future[_core.Summary], int]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="tallystick scan") as pool:
        for chunk in chunks:
            running.append((pool.submit(scan, chunk), chunk.read))
            del chunk
            if len(running) > jobs:
                part, size = running.popleft()
                summary.merge(part.result())
                progress(size)
        for part, size in running:
            summary.merge(part.result())
            progress(size)
    return summary


def _ignore(_: int) -> None:
    pass
