"""Measures `tallystick watch`, and writes docs/benchmarks-watch.md.

    python bench/watch.py [--logs N] [--seconds N] [--rate N] [--history N] [--attacks N] [--write FILE]

Logs are sealed in this process by the core, without custody: what is measured is the watcher, as a whole process. Its
cost is processor time, so that other work on the machine does not count; times of the clock have a column of their own.
"""

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import COMMAND, plain_line, run
from watched import Watcher, Writer, machine, wait, watching

import tallystick

_AGES = (1, 5)  # seconds for which lines came since the last look at a log
_FILE = 500_000  # lines of a rotated file
_NEW = 10_000  # lines that a look finds


def many(place: Path, logs: int, seconds: int, rate: int) -> list[str]:
    """Measure many logs: the start, quiet ones, and what a look at all of them takes."""
    writers = [Writer(place, number) for number in range(logs)]
    for writer in writers:
        writer.write(200)
    rows = ["| what | must be | is |", "| --- | --- | --- |"]
    for what in ("nothing remembered", "again"):
        with watching(place, writers) as watcher:
            took = watcher.wait()
            said = f"{took:.1f} s by the clock, {watcher.spent():.1f} s of a processor"
            rows.append(f"| start, {what} | under 30 s | {said} |")
            if what == "again":
                rows += [quiet(watcher, seconds), *(busy(watcher, writers, rate, age) for age in _AGES)]
                states = {one["state"] for one in watcher.logs()}
                rows.append(f"| states meanwhile | ok | {', '.join(sorted(states))} |")
                rows.append(f"| memory, at most | under 1 GB | {watcher.memory() / 1e6:.0f} MB |")
    return rows


def quiet(watcher: Watcher, seconds: int) -> str:
    """Measure while nothing is written."""
    time.sleep(20)
    before = watcher.spent()
    time.sleep(seconds)
    return f"| quiet | under 2% of a core | {(watcher.spent() - before) / seconds:.1%} |"


def busy(watcher: Watcher, writers: list[Writer], rate: int, age: int) -> str:
    """Measure a look at all logs, to each of which lines came for some seconds.

    What that takes of a processor says whether it keeps up, however much else the machine does.
    """
    begun = {one["name"]: one["seen"]["size"] for one in watcher.logs()}
    sizes, before = {}, watcher.spent()
    for one in writers:
        size = one.live.stat().st_size
        one.write(rate * age)
        sizes[one.name] = begun[one.name] + one.live.stat().st_size - size
    wait(lambda: all(one["seen"]["size"] >= sizes[one["name"]] for one in watcher.logs()), pause=5.0)
    took = watcher.spent() - before
    what = f"a look at each, {age} s after the one before: {rate * age * len(writers):,} lines"
    return f"| {what} | | {took:.1f} s of a processor: {took / age:.0%} of a core |"


class History:
    """A log with many lines in rotated files.

    Args:
        place: Where it is, and what it is watched with.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.lines, self._files = place, 0, 0
        self.name, self.directory, self.key, self.store = "payments", place / "logs", place / "key", place / "store"
        self.directory.mkdir()
        self.live, self._source = self.directory / "app.log", place / "source"
        with self._source.open("wb") as file:
            file.writelines(map(_short_line, range(_FILE)))
        custody = f"master-key:{place}/master.key"
        tallystick.create(self.name, store=f"file:{self.store}", custody=custody, key_file=self.key)

    def grow(self, lines: int) -> None:
        """Write until there are so many lines."""
        while self.lines < lines:
            self._seal(self._source, _FILE)
            self._files += 1
            self.live.rename(self.directory / f"app.log.{self._files}")
            print(f"{self.lines:,} lines", file=sys.stderr)

    def add(self) -> None:
        """Write some more, into the file that is written to."""
        few = self.place / "few"
        few.write_bytes(b"".join(map(_short_line, range(_NEW))))
        self._seal(few, _NEW)

    def going(self) -> tallystick.Log:
        """Return what writes single lines."""
        return tallystick.open(self.name, store=f"file:{self.store}", output=self.live)

    def _seal(self, source: Path, lines: int) -> None:
        run("seal", self.name, source, "-o", self.live, "--store", f"file:{self.store}")
        self.lines += lines

    def resumed(self) -> tuple[float, int]:
        """Let `verify --resume` read what is new; return processor seconds and the most memory in bytes."""
        command = [COMMAND, "verify", self.directory, "--key", self.key, "--store", f"file:{self.store}"]
        command += ["--pins", "none", "--resume", self.place / "memory", "--jobs", "1", "--rescan", "1000d"]
        before, memory = _children(), []
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            memory += _memory(process.pid)
            time.sleep(0.002)
        if process.returncode:
            raise SystemExit(f"verify ended with {process.returncode}")
        return _children() - before, max(memory, default=0)


def _short_line(i: int) -> bytes:
    return b"user=%06d action=login ms=%03d\n" % (i % 999_983, i % 997)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> list[int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]


def resuming(history: History, sizes: list[int]) -> list[str]:
    """Measure what new lines cost behind few and behind many."""
    rows = ["| lines before | processor, s: the first run | nothing new | 10,000 new lines | memory |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for size in sizes:
        history.grow(size)
        first, _ = history.resumed()
        time.sleep(0.3)  # so that any later change of a file shows in its times
        history.resumed()
        idle = min(history.resumed()[0] for _ in range(3))
        costs = []
        for _ in range(3):
            history.add()
            costs.append(history.resumed())
        least, memory = min(costs)
        rows.append(f"| {size:,} | {first:.1f} | {idle:.2f} | {least:.2f} | {memory / 1e6:.0f} MB |")
    return rows


# -- attacks


def altered(data: bytes, at: int) -> bytes:
    """Change a byte."""
    return data[:at] + (b"#" if data[at : at + 1] != b"#" else b"+") + data[at + 1 :]


def removed(data: bytes, at: int) -> bytes:
    """Take a line out."""
    begin, end = _line(data, at)
    return data[:begin] + data[end:]


def repeated(data: bytes, at: int) -> bytes:
    """Put a line in once more."""
    begin, end = _line(data, at)
    return data[:end] + data[begin:end] + data[end:]


def inserted(data: bytes, at: int) -> bytes:
    """Put a line of one's own in."""
    begin, _ = _line(data, at)
    return data[:begin] + b"user=0 action=nothing\n" + data[begin:]


def cut(data: bytes, at: int) -> bytes:
    """Cut the end off."""
    return data[: _line(data, at)[0]]


def gone(data: bytes, at: int) -> bytes | None:
    """Remove the file."""
    return None


def _line(data: bytes, at: int) -> tuple[int, int]:
    begin = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at) + 1
    return begin, end or len(data)


ATTACKS: tuple[Callable[[bytes, int], bytes | None], ...] = (altered, removed, repeated, inserted, cut, gone)


def detection(history: History, rounds: int, rate: int) -> list[str]:
    """Measure how long it takes until an attack on an old file is alerted, while the log goes on."""
    rng, times, costs = random.Random(1), list[float](), list[float]()
    files = sorted(history.directory.glob("app.log.*"))
    with history.going() as log, watching(history.place, [history]) as watcher:
        watcher.wait()
        for number in range(rounds):
            path, attack = rng.choice(files), ATTACKS[number % len(ATTACKS)]
            seconds, spent = _attacked(watcher, log, path, attack, rng, rate)
            times.append(seconds)
            costs.append(spent)
            print(f"attack {number + 1}, {attack.__name__}: {seconds:.2f} s, processor {spent:.2f} s", file=sys.stderr)
        memory = watcher.memory()
    return [
        "| what | median | p99 | longest |",
        "| --- | --- | --- | --- |",
        row("alerted after, s by the clock", times),
        row("processor until then, s", costs),
        "",
        f"None of {rounds} was missed; {memory / 1e6:.0f} MB of memory at most.",
    ]


def row(what: str, seconds: list[float]) -> str:
    """Return a row of median, p99 and the longest."""
    last = sorted(seconds)[int(len(seconds) * 0.99)]
    return f"| {what} | {statistics.median(seconds):.2f} | {last:.2f} | {max(seconds):.2f} |"


def _attacked(
    watcher: Watcher,
    log: tallystick.Log,
    path: Path,
    attack: Callable[[bytes, int], bytes | None],
    rng: random.Random,
    rate: int,
) -> tuple[float, float]:
    """Attack a file while the log goes on; return the seconds until the alert, and of a processor."""
    good = path.read_bytes()
    bad = attack(good, rng.randrange(len(good) // 10, len(good)))
    count, wrote = len(watcher.alerted(0)), time.monotonic()

    def comes(state: str) -> bool:
        nonlocal wrote
        if (lines := int((time.monotonic() - wrote) * rate)) >= rate // 10:
            for number in range(lines):
                log.write(plain_line(number).decode().rstrip())
            wrote = time.monotonic()
        return any(one["after"] == state for one in watcher.alerted(count))

    wait(lambda: comes("") or time.monotonic() - wrote > 0.05)
    new = path.with_name(".attack")
    if bad is not None:
        new.write_bytes(bad)
    spent, began = watcher.spent(), time.monotonic()
    if bad is not None:
        new.rename(path)
    else:
        path.unlink()
    wait(lambda: comes("failed"))
    found = time.monotonic() - began, watcher.spent() - spent
    count = len(watcher.alerted(0))
    new.write_bytes(good)
    new.rename(path)
    wait(lambda: comes("ok"))
    return found


def page(options: argparse.Namespace) -> list[str]:
    """Measure, and return the page."""
    text = [
        "# Benchmarks of watching",
        "",
        "Written by `make bench-watch`. The core seals the logs in the process that measures; `tallystick watch` is a",
        "process of its own. Processor time is what counts: other work on the machine does not change it much.",
        "",
        f"- Machine: {machine()}.",
        "",
    ]
    if options.logs:
        rate = f"{options.rate} lines a second each"
        text += [f"## {options.logs:,} logs, {rate}", ""]
        with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
            text += [*many(Path(name), options.logs, options.seconds, options.rate), ""]
    if options.history:
        with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
            history = History(Path(name))
            sizes = [size for size in (1_000_000, options.history) if size <= options.history]
            text += ["## New lines behind old ones", "", f"`verify --resume`, files of {_FILE:,} lines.", ""]
            text += [*resuming(history, sorted(set(sizes))), ""]
            if options.attacks:
                said = f"{options.attacks} attacks behind {options.history:,} lines, at 2,000 lines a second"
                text += [f"## {said}", "", *detection(history, options.attacks, 2000), ""]
    return text


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60, help="for which nothing is written")
    parser.add_argument("--rate", type=int, default=20, help="lines a second of each log")
    parser.add_argument("--history", type=int, default=20_000_000, help="lines of the log that is attacked")
    parser.add_argument("--attacks", type=int, default=200)
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = "\n".join(page(options)).rstrip() + "\n"
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
