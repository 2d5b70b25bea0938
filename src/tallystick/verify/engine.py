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

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["scan_all"]

_BATCH = 400_000  # lines that are looked at one by one in one pass; about 100 bytes of memory each


def scan_all(
    keys: _core.Keys,
    inputs: Sequence[Input],
    envelope: _core.Envelope | None,
    *,
    jobs: int | None,
    progress: Callable[[int], None],
) -> _core.Summary:
    """Scan all inputs, again where a first look cannot tell, and settle what was found.

    Args:
        keys: The logs to verify.
        inputs: What to read.
        envelope: What carriers wrapped the lines in.
        jobs: Threads; None for one a processor.
        progress: Called with the bytes on the disk that were read for each chunk that was scanned.
    """
    jobs = jobs or len(os.sched_getaffinity(0))

    def pass_over(mode: _core.Mode, told: Callable[[int], None]) -> _core.Summary:
        chunks = (chunk for one in inputs for chunk in one.chunks())
        return _scan(keys, mode, chunks, envelope, jobs, told)

    for one in inputs:
        one.rotated = Rotated()  # what an earlier look at files that moved found counts no more
    summary = pass_over(_core.Mode.all(), progress)
    if rejoin([one.rotated for one in inputs]):
        summary = pass_over(_core.Mode.all(), _ignore)
    summary.settle(keys)
    if rewritten := summary.rewritten(keys):
        rewritten = summary.adopt(pass_over(_core.Mode.canonical(rewritten), _ignore))
    for epochs in _batches(summary.doubtful()):
        summary.merge(pass_over(_core.Mode.detail(epochs, rewritten), _ignore))
        summary.resolve(keys)
    return summary


def _scan(
    keys: _core.Keys,
    mode: _core.Mode,
    chunks: Iterator[Chunk],
    envelope: _core.Envelope | None,
    jobs: int,
    progress: Callable[[int], None],
) -> _core.Summary:
    summary = _core.Summary()

    def scan(chunk: Chunk) -> _core.Summary:
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

    waiting: deque[tuple[Future[_core.Summary], int]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="tallystick scan") as pool:
        for chunk in chunks:
            waiting.append((pool.submit(scan, chunk), chunk.read))
            del chunk
            if len(waiting) > jobs:
                part, size = waiting.popleft()
                summary.merge(part.result())
                progress(size)
        for part, size in waiting:
            summary.merge(part.result())
            progress(size)
    return summary


def _batches(epochs: list[tuple[tuple[int, int, int], int]]) -> Iterator[list[tuple[int, int, int]]]:
    batch: list[tuple[int, int, int]] = []
    lines = 0
    for epoch, count in epochs:
        batch.append(epoch)
        lines += count
        if lines >= _BATCH:
            yield batch
            batch, lines = [], 0
    if batch:
        yield batch


def _ignore(_: int) -> None:
    pass
