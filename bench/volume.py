"""Verifies production volumes: 10 million lines of 200 bytes, whole processes, as ratios to pure Python.

Used by bench.py. Rounds are interleaved, so a ratio holds when the machine's speed drifts. A target that is missed is
marked in the table; memory above its limit ends the run.
"""

import gzip
import itertools
import os
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from backports import zstd
from measure import Measure, json_line, plain_line, python_seal, python_verify, run, timed

MOST_MEMORY = 300_000_000  # bytes, whatever the size of the log and the order of its lines
WINDOW = 10_000  # lines that are shuffled among each other
FEW = 100_000  # lines for what is slow
SIZE = 200  # bytes of a line before it is sealed
TARGETS = {"V, all cores": (12, 3.0), "V, one core": (None, 1.6), "P, all cores": (12, 3.0), "altered": (12, 3.0)}
"""At least so many times the loop in pure Python, and so many million lines per second."""

NAMES = {
    "V, all cores": "verification key, a thread a processor",
    "V, one core": "verification key, one thread",
    "P, all cores": "public key, a thread a processor",
    "P, one core": "public key, one thread",
    "altered": "the same with one byte altered in the middle",
    "shuffled": f"the same with all lines shuffled in windows of {WINDOW:,}",
}


def filled(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return what makes lines of 200 bytes out of shorter ones."""

    def line(i: int) -> bytes:
        text = make(i)[:-1]
        if text.endswith(b"}"):
            return b'%s,"zone":"%s"}\n' % (text[:-1], b"z" * (SIZE - len(text) - 10))
        return b"%s note=%s\n" % (text, b"n" * (SIZE - len(text) - 6))

    return line


class Volume:
    """One large sealed log, and what was measured of it."""

    def __init__(self, place: Path, form: str, make: Callable[[int], bytes], lines: int) -> None:
        self.measure = Measure(place, f"large-{form}", filled(make), lines)
        self.form, self.lines, self.sealed = form, lines, self.measure.sealed
        run("seal", f"large-{form}", self.measure.source, "-o", self.sealed, "--store", self.measure.store)
        few, self.loop = place / "few.txt", place / f"{form}-loop.log"
        few.write_bytes(b"".join(self.measure.few()))
        python_seal(few, self.loop)
        self.measure.source.unlink()
        self.rates: dict[str, list[float]] = {}
        self.python: list[float] = []
        self.memory: dict[str, int] = {}

    def verify(self, what: str, *arguments: object, status: int = 0, path: Path | None = None) -> None:
        """Verify once as a whole process, and note rate and memory."""
        memory: list[int] = []
        command = ("verify", path or self.sealed, "--pins", "none", "--allow", "open end", *arguments)
        seconds = timed(lambda: run(*command, memory=memory, status=status))
        self.rates.setdefault(what, []).append(self.lines / seconds)
        self.memory[what] = max(memory[0], self.memory.get(what, 0))

    def round(self) -> None:
        """Measure everything once but what is shuffled."""
        self.python.append(FEW / timed(lambda: python_verify(self.loop)))
        key, public = ("--key", self.measure.key), ("--public", self.measure.public)
        self.verify("V, all cores", *key)
        self.verify("V, one core", *key, "--jobs", 1)
        self.verify("P, all cores", *public)
        self.verify("P, one core", *public, "--jobs", 1)
        self.flip()
        self.verify("altered", *key, status=5)
        self.flip()

    def flip(self) -> None:
        """Change a bit of a letter in the middle of the log, or change it back."""
        with self.sealed.open("r+b") as file:
            file.seek(self.sealed.stat().st_size // 2)
            file.readline()
            at = file.tell() + 3
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))

    def shuffled(self) -> None:
        """Verify with the lines out of order."""
        path, order = self.sealed.with_suffix(".shuffled"), random.Random(1)
        with self.sealed.open("rb") as lines, path.open("wb") as out:
            while window := list(itertools.islice(lines, WINDOW)):
                order.shuffle(window)
                out.writelines(window)
        self.verify("shuffled", "--key", self.measure.key, "--allow", "reordered", path=path)
        path.unlink()

    def table(self) -> list[str]:
        """Return the figures as a table."""
        size = self.sealed.stat().st_size
        lines = [
            f"### {self.form} lines: {self.lines:,}, {size / 1e9:.1f} GB sealed",
            "",
            "| verify | million lines/s: median (min to max) | times (a) | target | peak memory |",
            "| --- | --- | --- | --- | --- |",
        ]
        for what, name in NAMES.items():
            figures = [rate / 1e6 for rate in self.rates[what]]
            ratio, rate = self.against(what)
            least, fast = TARGETS.get(what, (None, None))
            wanted = " and ".join([f"{least} times"] * bool(least) + [f"{fast} million"] * bool(fast))
            missed = (least and ratio < least) or (fast and rate < fast)
            lines.append(
                f"| {name} | {rate:.2f} ({min(figures):.2f} to {max(figures):.2f}) | {ratio:.1f} "
                f"| {wanted}{' **missed**' if missed else ''} | {self.memory[what] / 1e6:.0f} MB |"
            )
        python = statistics.median(self.python) / 1e6
        return [*lines, "", f"(a) is {python:.3f} million lines/s here.", ""]

    def against(self, what: str) -> tuple[float, float]:
        """Return the median ratio to the loop in pure Python, and the median of million lines per second."""
        rates = self.rates[what]
        ratios = [rate / python for rate, python in zip(rates, self.python, strict=False)]
        return statistics.median(ratios), statistics.median(rates) / 1e6


def compressed(volume: Volume, place: Path, rounds: int) -> list[str]:
    """Compare verifying compressed files with decompressing them and nothing else, by the same library."""
    part, lines = place / "part.log", volume.lines // 5
    with volume.sealed.open("rb") as source, part.open("wb") as out:
        out.writelines(itertools.islice(source, lines))
    rows = []
    for name, library, level in (("gzip", gzip, {"compresslevel": 1}), ("zstd", zstd, {"level": 3})):
        path = place / f"part.{name}"
        with part.open("rb") as source, library.open(path, "wb", **level) as out:
            while block := source.read(2**20):
                out.write(block)
        ratios, speeds = [], []
        for _ in range(rounds):
            alone = timed(lambda: drained(path, library.open))  # noqa: B023
            command = ("verify", path, "--key", volume.measure.key, "--pins", "none", "--allow", "open end")
            seconds = timed(lambda: run(*command, status=(0, 3)))  # noqa: B023
            ratios.append(alone / seconds)
            speeds.append(lines / seconds / 1e6)
        rows.append(f"| {name} | {statistics.median(speeds):.2f} | {statistics.median(ratios):.2f} |")
        path.unlink()
    part.unlink()
    head = "| compressed with | million lines/s | speed against decompressing alone, on one core |"
    return [f"### {lines:,} {volume.form} lines, compressed", "", head, "| --- | --- | --- |", *rows, ""]


def drained(path: Path, opened: Callable[[Path, str], object]) -> None:
    """Decompress a file and nothing else."""
    with opened(path, "rb") as file:
        while file.read(2**20):
            pass


def volume_section(place: Path, lines: int, rounds: int) -> list[str]:
    """Measure, and return the section of the page."""
    text = [
        "## Production volumes",
        "",
        f"`tallystick verify` on logs of lines of {SIZE} bytes, whole processes, {rounds} rounds.",
        f"(a) is the verifying loop in pure Python, with the first {FEW:,} of these lines.",
        "",
    ]
    for form, make in (("plain", plain_line), ("json", json_line)):
        volume = Volume(place, form, make, lines)
        for number in range(rounds):
            print(f"volume, round {number + 1} of {rounds}, {form} lines", file=sys.stderr)
            volume.round()
        volume.shuffled()
        if (most := max(volume.memory.values())) > MOST_MEMORY:
            raise SystemExit(f"memory: {most / 1e6:.0f} MB for a large log, it must stay below {MOST_MEMORY / 1e6:.0f}")
        text += volume.table()
        if form == "plain":
            text += compressed(volume, place, rounds)
        os.unlink(volume.sealed)
    return text
