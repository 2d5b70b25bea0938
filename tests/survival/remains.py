"""What writers that were killed left behind, read by somebody who knows nothing but the form of lines."""

import gzip
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import tallystick

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SEAL = re.compile(rb'tally(?:=|":")[a-z2-7]{8}\.([0-9]+)\.([0-9]+)\.([0-9]+)\.[0-9]+\.[\w-]{22}(?:"\})?$')
ENTRY = re.compile(rb'(?:run=|\{"run":)([0-9]+)(?: line=|,"line":)([0-9]+)(?: at=|,"at":)([0-9]+)')
DROPPED = re.compile(rb" dropped ([0-9]+)\+lines?\+w(?:as|ere)\+dropped\+from\+")

Position = tuple[int, int, int]


def content(path: Path) -> bytes:
    """Return what a file holds, decompressed."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return zstd.decompress(data) if path.suffix == ".zst" else data


def entry(run: int, number: int, at: int) -> bytes:
    """Return an entry that `Remains` knows again: every other one is JSON. `at` is a time in ms."""
    form = b'{"run":%d,"line":%d,"at":%d}' if number % 2 else b"run=%d line=%d at=%d of a service"
    return form % (run, number, at)


@dataclass
class Remains:
    """All lines of a log, whatever files they stand in."""

    files: list[Path]
    positions: Counter[Position] = field(default_factory=Counter)
    torn: list[tuple[Path, int]] = field(default_factory=list)
    runs: dict[int, list[int]] = field(default_factory=dict)
    times: dict[Position, int] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    opened: list[tuple[int, Position]] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)
    twice: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "Remains":
        """Read files; one that a crash left twice, plain and compressed, counts once."""
        found = cls(sorted(paths))
        seen: dict[str, bytes] = {}
        for path in found.files:
            data, name = content(path), path.name.removesuffix(".gz").removesuffix(".zst")
            if name in seen:
                assert seen[name] == data, f"{path} is there twice and differs"
                found.twice.append(name)
                continue
            seen[name] = data
            for number, line in enumerate(data.split(b"\n"), 1):
                if line.strip(b"\0"):  # zeros are what a power loss leaves, and no line (spec section 9)
                    found.take(path, number, line)
        found.opened.sort()
        return found

    def take(self, path: Path, number: int, line: bytes) -> None:
        seal = SEAL.search(line)
        if seal is None:
            self.torn.append((path, number))
            return
        position = (int(seal[1]), int(seal[2]), int(seal[3]))
        self.positions[position] += 1
        if said := ENTRY.match(line):
            self.runs.setdefault(int(said[1]), []).append(int(said[2]))
            self.times[position] = int(said[3])
            self.newest[int(said[1])] = max(int(said[3]), self.newest.get(int(said[1]), 0))
        elif b"tallystick/v1 open " in line[:40]:
            words = line.split()
            before = words[6].split(b".")
            self.opened.append((position[0], (int(before[0]), int(before[1]), int(before[2]))))
        elif b" closed " in line and b"tallystick/v1 checkpoint " in line[:40]:
            self.closed.add(position[0])

    def unclean(self) -> set[int]:
        """Return the chains that have no `closed`, or one that no head counted before the next opening."""
        begun = {position[0] for position in self.positions}
        passed = {c for chain, head in self.opened for c in range(head[0] + 1, chain) if c in begun}
        return (begun - self.closed) | passed

    def uncounted(self) -> int:
        """Return for how many ms at most lines of one chain were written that no head counted."""
        longest, at = 0, sorted(self.times)
        for chain, head in self.opened:
            times: dict[int, list[int]] = {}  # chains that were killed before their first head are passed over, too
            for position in _between(at, head, (chain, 0, 0)):
                times.setdefault(position[0], []).append(self.times[position])
            longest = max([longest, *(max(each) - min(each) for each in times.values())])
        return longest

    def assert_verifies(self, key: str | Path, store: str) -> None:
        """The verifier says ok, and notes exactly the unclean ends and torn lines that are there."""
        report = tallystick.verify(self.files, keys=[key], store=store, max_findings=10**6)
        kinds = Counter(finding.kind for finding in report.findings)
        assert report.verdict.value == "ok", kinds
        allowed = {"unclean end", "torn line", "notice"} | ({"duplicate"} if self.twice else set())
        assert set(kinds) <= allowed, kinds
        told = Counter(int(f.position.split(".")[0]) for f in report.findings if f.kind == "unclean end")
        assert told == Counter(self.unclean())
        torn = [(f.path, f.line) for f in report.findings if f.kind == "torn line"]
        assert sorted(torn) == sorted((str(path), number) for path, number in self.torn)

    def assert_nothing_twice(self) -> None:
        """No position was taken twice."""
        again = [position for position, count in self.positions.items() if count > 1]
        assert not again, f"taken twice: {again[:5]}"


def _between(positions: list[Position], first: Position, end: Position) -> list[Position]:
    from bisect import bisect_left

    return positions[bisect_left(positions, first) : bisect_left(positions, end)]
