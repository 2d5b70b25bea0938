"""Measures what sealing and verifying cost: processor time as a multiple of SHA-256, and instructions a line.

    python bench/cost.py [--lines N] [--rounds N] [--beside CORE] [--instructions N]

**Times.** Processor time, user and system, of whole processes on one thread, divided by that of OpenSSL's SHA-256 over
the bytes that the process reads, in the same round: right before it and right after it. So neither a slow machine nor
other work on it moves the figure much; the median and the best of all rounds are given. What the same takes for 100
lines is its start and end: the second figure is without it, the third is it.

**Instructions.** Counted by callgrind (valgrind), which no other work moves. Its processor has neither SHA instructions
nor AVX-512, so compressions are left out: what is counted is everything else. Two inputs of different lengths are
counted, and their difference is divided by that of their lines: start and end are not in it.

With `--beside`, another build of the core (`_core.abi3.so`) is measured in the same rounds: before and after a change.
"""

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import acra
from measure import Measure, first_chain, json_line, plain_line, run

from tallystick import _core

_CORE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tallystick._core", sys.argv.pop(1))
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
sys.modules["tallystick._core"] = core
import tallystick
tallystick._core = core
from tallystick.cli import main
main()
"""
"""A program that does what the command does, with the core that its first argument names."""

_FEW = 100  # lines of a run that is start and end

_FEATURES = ("sha_ni", "avx2", "avx512f", "avx512bw", "sha2")


def features() -> str:
    """Return what this processor has of all that hashing here makes use of."""
    found = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    return ", ".join(each for each in _FEATURES if each in found) or "none of SHA, AVX2 and AVX-512"


class Work:
    """One thing that is measured: a command, and the file whose bytes it reads."""

    def __init__(self, name: str, lines: int, reads: Path, command: Sequence[object]) -> None:
        self.name, self.lines, self.reads, self.command = name, lines, reads, [str(each) for each in command]

    def seconds(self, core: Path) -> float:
        """Return the processor time of the command, in seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run([sys.executable, "-c", _CORE, str(core), *self.command])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def instructions(self, core: Path, place: Path) -> int:
        """Return how many instructions the command takes that are not of the compression function."""
        out = place / "callgrind.out"
        callgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"]
        self._run([*callgrind, sys.executable, "-c", _CORE, str(core), *self.command])
        told = subprocess.run(
            ["callgrind_annotate", "--threshold=100", out], capture_output=True, check=True, text=True
        ).stdout
        counts = [(line.split()[0], line) for line in told.splitlines() if "PROGRAM TOTALS" in line or "[" in line]
        numbers = [(int(count.replace(",", "")), line) for count, line in counts if count.replace(",", "").isdigit()]
        total = next(number for number, line in numbers if "PROGRAM TOTALS" in line)
        return total - sum(number for number, line in numbers if "compress" in line)

    def _run(self, words: Sequence[str]) -> None:
        # Modules are compiled once, as where a package was installed.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(self.reads.parent / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(words, stdout=subprocess.DEVNULL, check=False, env=environment)
        if done.returncode not in (0, 3):
            raise SystemExit(f"{self.name}: exit status {done.returncode}")


def works(place: Path, lines: int) -> Iterator[Work]:
    """Make the inputs, and give all that is measured with them."""
    for form, make in (("plain", plain_line), ("json", json_line)):
        measure = Measure(place, form, make, lines)
        run("seal", form, measure.source, "-o", measure.sealed, "--store", measure.store)
        chain = ("--from", first_chain(measure.sealed), "--pins", "none", "--allow", "open end", "--jobs", 1)
        seal = ("seal", form, measure.source, "-o", "/dev/null", "--store", measure.store)
        yield Work(f"seal, {form}", lines, measure.source, seal)
        for key, option in (("V", ("--key", measure.key)), ("P", ("--public", measure.public))):
            command = ("verify", measure.sealed, *option, *chain)
            yield Work(f"verify with {key}, {form}", lines, measure.sealed, command)
        if form == "plain":
            yield Work(
                "cat with V, plain", lines, measure.sealed, ("cat", measure.sealed, "--key", measure.key, *chain)
            )
    key = place / "acra.key"
    key.write_text(acra.KEY.hex())
    for form, data in (("plain", acra.text_line), ("json", acra.json_members)):
        log = place / f"acra-{form}.log"
        acra.write(log, lines, data, in_json=form == "json", length=lines)
        yield Work(f"acra, {form}, one chain", lines, log, ("acra", log, "--key", key, "--accept-scheme-limits"))


def sha256_seconds(path: Path) -> float:
    """Return the processor time of SHA-256 over a file, reading not counted, in seconds."""
    hasher, seconds = hashlib.sha256(), 0.0
    with path.open("rb") as file:
        while block := file.read(2**20):
            began = time.process_time()
            hasher.update(block)
            seconds += time.process_time() - began
    return seconds


def times(work: Work, start: Work, cores: dict[str, Path], rounds: int) -> dict[str, list[tuple[float, float, float]]]:
    """Return of each round, by core: the multiple of SHA-256, the same without start and end, and these in ms."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cores}
    work.seconds(next(iter(cores.values())))  # the first run compiles modules
    for _ in range(rounds):
        for name, core in cores.items():
            before = sha256_seconds(work.reads)
            whole, ends = work.seconds(core), start.seconds(core)
            one = (before + sha256_seconds(work.reads)) / 2
            found[name].append((whole / one, (whole - ends) / one, ends * 1000))
    return found


def times_section(place: Path, cores: dict[str, Path], lines: int, rounds: int) -> list[str]:
    """Measure times, and return them as a table."""
    heads = " | ".join(f"{name}: whole, median (best) | without start | start, ms" for name in cores)
    text = [f"| times SHA-256, {lines:,} lines | {heads} |", "| --- |" + " --- | --- | --- |" * len(cores)]
    (place / "start").mkdir()
    (place / "all").mkdir()
    for start, work in zip(works(place / "start", _FEW), works(place / "all", lines), strict=True):
        print(work.name, file=sys.stderr)
        cells = []
        for each in times(work, start, cores, rounds).values():
            for column, digits in enumerate((2, 2, 0)):
                figures = [one[column] for one in each]
                cells.append(f"{statistics.median(figures):.{digits}f} ({min(figures):.{digits}f})")
        text.append(f"| {work.name} | {' | '.join(cells)} |")
    return text


def instructions_section(place: Path, cores: dict[str, Path], lines: int) -> list[str]:
    """Count instructions, and return them as a table."""
    text = [f"| instructions a line, no compressions | {' | '.join(cores)} |", "| --- |" + " --- |" * len(cores)]
    (place / "few").mkdir()
    (place / "many").mkdir()
    for few, many in zip(works(place / "few", lines), works(place / "many", 3 * lines), strict=True):
        print(f"{few.name}, instructions", file=sys.stderr)
        counts: Callable[[Path], int] = lambda core: (  # noqa: E731
            many.instructions(core, place) - few.instructions(core, place)  # noqa: B023
        )
        text.append(f"| {few.name} | {' | '.join(f'{counts(core) / 2 / lines:,.0f}' for core in cores.values())} |")
    return text


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=300_000, help="lines of each input; 0: no times")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--beside", type=Path, metavar="CORE", help="another build of the core")
    parser.add_argument("--instructions", type=int, default=0, metavar="LINES", help="count them, with so many lines")
    options = parser.parse_args()
    cores = {"here": Path(_core.__file__)}
    if options.beside is not None:
        cores = {"before": options.beside.resolve(), "after": cores["here"]}
    print(f"Processor features: {features()}.\n")
    with tempfile.TemporaryDirectory(prefix="tallystick-cost-") as name:
        if options.lines:
            print("\n".join(times_section(Path(name), cores, options.lines, options.rounds)), flush=True)
    with tempfile.TemporaryDirectory(prefix="tallystick-cost-") as name:
        if options.instructions:
            print("\n" + "\n".join(instructions_section(Path(name), cores, options.instructions)))


if __name__ == "__main__":
    main()
