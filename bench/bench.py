"""Measures sealing and verifying, in one run and as ratios, and writes docs/benchmarks.md.

    python bench/bench.py [--lines N] [--rounds N] [--large N] [--write FILE]

Every figure is lines per second. Baselines run in the same rounds, one after the other, so that a ratio holds when
the machine's speed drifts:
  (a) a loop in pure Python, file to file, that does what a simple sealed log does: SHA-256 ratchet and HMAC-SHA-256
      a line, the tag put behind it in base64; and its verifier, which splits, tags and compares;
  (b) plain SHA-256 over the same bytes in one go, which no scheme that hashes every byte can pass on one core.
"""

import argparse
import base64
import hashlib
import hmac
import itertools
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tallystick

MOST_MEMORY = 150_000_000  # bytes, whatever the size of the log
MOST_SHUFFLED = 300_000_000  # bytes, if its lines came in disorder
COMMAND = Path(sys.executable).with_name("tallystick")


def plain_line(i: int) -> bytes:
    """Return a plain line of which the sealed form has about 200 bytes."""
    return (
        b"2026-11-23T06:%02d:%02dZ app-%02d api[4711]: user=%06d action=login ok=true path=/v1/items/%08d "
        b"ms=%03d agent=curl/8.11.1 tls=1.3 region=eu-1\n" % (i // 60 % 60, i % 60, i % 12, i % 999_983, i, i % 997)
    )


def json_line(i: int) -> bytes:
    """Return a JSON line of which the sealed form has about 200 bytes."""
    return (
        b'{"action":"login","host":"app-%02d","item":%d,"ms":%d,"ok":true,"region":"eu-central-1",'
        b'"service":"api","time":"2026-11-23T06:%02d:%02dZ","user":"u%06d"}\n'
        % (i % 12, 10_000_000 + i, i % 997, i // 60 % 60, i % 60, i % 999_983)
    )


def timed(work: Callable[[], object]) -> float:
    """Return how long some work takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(*arguments: object, memory: list[int] | None = None) -> None:
    """Run tallystick as a whole process; note its peak memory in bytes."""
    process = subprocess.Popen([COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"tallystick {' '.join(map(str, arguments))}: exit status {process.returncode}")
    if memory is not None:
        memory.append(usage.ru_maxrss * 1024)


class Measure:
    """One form of lines: its files, and what was measured of it."""

    def __init__(self, place: Path, form: str, make: Callable[[int], bytes], lines: int) -> None:
        self.place, self.form, self.lines = place, form, lines
        self.source = place / f"{form}.txt"
        with self.source.open("wb") as file:
            file.writelines(make(i) for i in range(lines))
        self.store, self.key = f"file:{place}/store-{form}", place / f"{form}.key"
        self.public, self.sealed = place / f"{form}.pub", place / f"{form}.log"
        tallystick.create(
            form, store=self.store, custody=f"master-key:{place}/master.key", key_file=self.key,
            public_file=self.public,
        )  # fmt: skip
        self.rates: dict[str, list[float]] = {}
        self.memory: dict[str, list[int]] = {}

    def note(self, what: str, lines: int, seconds: float) -> None:
        """Note a rate."""
        self.rates.setdefault(what, []).append(lines / seconds)

    def round(self) -> None:
        """Measure everything once."""
        few = self.few()
        loop = self.place / "loop.log"
        self.note("python primitives", len(few), timed(lambda: python_primitives(few)))
        (self.place / "few.txt").write_bytes(b"".join(few))
        self.note("python seal", len(few), timed(lambda: python_seal(self.place / "few.txt", loop)))
        self.note("python verify", len(few), timed(lambda: python_verify(loop)))
        few.clear()
        self.note("sha256", self.lines, self.plain_sha256())
        self.sealed.unlink(missing_ok=True)
        seal = ("seal", self.form, self.source, "-o", self.sealed, "--store", self.store)
        memory = self.memory.setdefault("seal", [])
        self.note("seal", self.lines, timed(lambda: run(*seal, memory=memory)))
        verify = ("verify", self.sealed, "--allow", "open end", "--from")
        chain = first_chain(self.sealed)
        key, public = ("--key", self.key), ("--public", self.public)
        memory = self.memory.setdefault("verify", [])
        one = timed(lambda: run(*verify, chain, *key, "--jobs", 1, memory=memory))
        self.note("verify with V, one core", self.lines, one)
        self.note("verify with V, all cores", self.lines, timed(lambda: run(*verify, chain, *key)))
        self.note("verify with P, one core", self.lines, timed(lambda: run(*verify, chain, *public, "--jobs", 1)))
        few = self.few()
        few_sealed = self.place / f"{self.form}-calls.log"
        with tallystick.open(self.form, output=few_sealed, store=self.store) as log:
            self.note("write() per call", len(few), timed(lambda: [log.write(line) for line in few]))
        few_sealed.unlink()

    def few(self) -> list[bytes]:
        """Return the first lines, for what is slow."""
        with self.source.open("rb") as file:
            return [line for line, _ in zip(file, range(100_000), strict=False)]

    def plain_sha256(self) -> float:
        """Return how long SHA-256 takes over the bytes of the source, reading not counted."""
        hasher, seconds = hashlib.sha256(), 0.0
        with self.source.open("rb") as file:
            while block := file.read(2**20):
                began = time.perf_counter()
                hasher.update(block)
                seconds += time.perf_counter() - began
        return seconds


def first_chain(log: Path) -> int:
    """Return the number of the chain that a sealed file begins with."""
    with log.open("rb") as file:
        return int(file.readline().split()[4])


def python_primitives(lines: list[bytes]) -> bytes:
    """Ratchet a key and tag each line, in memory: the two primitives and nothing else."""
    key, tag = bytes(32), b""
    for line in lines:
        key = hashlib.sha256(key).digest()
        tag = hmac.new(key, line, hashlib.sha256).digest()
    return tag


def python_seal(source: Path, target: Path) -> None:
    """Seal a file line by line: ratchet, tag, append the tag."""
    key = bytes(32)
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            text = line[:-1]
            key = hashlib.sha256(key).digest()
            tag = hmac.new(key, text, hashlib.sha256).digest()[:16]
            out.write(b"%s tag=%s\n" % (text, base64.urlsafe_b64encode(tag).rstrip(b"=")))


def python_verify(sealed: Path) -> None:
    """Verify what `python_seal` wrote."""
    key = bytes(32)
    with sealed.open("rb") as lines:
        for line in lines:
            text, _, seal = line[:-1].rpartition(b" tag=")
            key = hashlib.sha256(key).digest()
            tag = hmac.new(key, text, hashlib.sha256).digest()[:16]
            if not hmac.compare_digest(base64.urlsafe_b64encode(tag).rstrip(b"="), seal):
                raise SystemExit("the baseline does not verify what it sealed")


TARGETS = {"seal": (4, 1.0), "verify with V, one core": (5, 1.2)}
"""At least so many times (a), and so many million lines per second on a machine like the one of the first figures."""

WHAT = (
    ("seal", "`tallystick seal FILE -o FILE`"),
    ("write() per call", "`Log.write()`, a call a line"),
    ("verify with V, one core", "`verify --key`, one thread"),
    ("verify with V, all cores", "`verify --key`, a thread a processor"),
    ("verify with P, one core", "`verify --public`, one thread"),
    ("python seal", "(a) sealing loop in pure Python"),
    ("python verify", "(a) verifying loop in pure Python"),
    ("python primitives", "ratchet and HMAC alone in pure Python, in memory"),
    ("sha256", "(b) plain SHA-256 over the same bytes"),
)


def machine() -> str:
    """Return what this was measured on."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    extra = "with" if "sha_ni" in flags else "without"
    return f"{model}, {os.cpu_count()} processors, {extra} SHA instructions; Linux {platform.release()}"


def against(rates: dict[str, list[float]], what: str) -> list[float]:
    """Return the ratios of single rounds to (a): to its verifier for what verifies, else to its sealer."""
    base = rates["python verify" if "verify" in what else "python seal"]
    return [mine / theirs for mine, theirs in zip(rates[what], base, strict=True)]


def table(measure: Measure) -> list[str]:
    """Return the figures of one form as a table."""
    rates = measure.rates
    size = measure.sealed.stat().st_size / measure.lines
    lines = [
        f"## {measure.form} lines, {size:.0f} bytes each when sealed",
        "",
        "| what | million lines/s: median (min to max) | times (a) | of (b) |",
        "| --- | --- | --- | --- |",
    ]
    for what, name in WHAT:
        ratios = against(rates, what)
        limit = [mine / theirs for mine, theirs in zip(rates[what], rates["sha256"], strict=True)]
        figures = [rate / 1e6 for rate in rates[what]]
        lines.append(
            f"| {name} | {statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f}) "
            f"| {statistics.median(ratios):.1f} | {statistics.median(limit):.0%} |"
        )
    peaks = {what: max(values) / 1e6 for what, values in measure.memory.items()}
    lines += ["", f"Peak memory: seal {peaks['seal']:.0f} MB, verify on one thread {peaks['verify']:.0f} MB.", ""]
    return lines


def large(place: Path, lines: int) -> list[str]:
    """Seal and verify one large log, for memory: it must not grow with the log."""
    measure = Measure(place, "large", plain_line, lines)
    seal: list[int] = []
    verify: list[int] = []
    run("seal", "large", measure.source, "-o", measure.sealed, "--store", measure.store, memory=seal)
    run("verify", measure.sealed, "--key", measure.key, "--store", measure.store, memory=verify)
    if max(seal[0], verify[0]) > MOST_MEMORY:
        raise SystemExit(f"memory: {max(seal[0], verify[0]) / 1e6:.0f} MB for a large log, it must stay flat")
    size = measure.sealed.stat().st_size / 1e9
    peaks = f"peak memory {seal[0] / 1e6:.0f} MB to seal, {verify[0] / 1e6:.0f} MB to verify with a thread a processor"
    shuffled: list[int] = []
    shuffle(measure.sealed, place / "shuffled.log")
    known = ("--key", measure.key, "--store", measure.store, "--allow", "reordered")
    run("verify", place / "shuffled.log", *known, memory=shuffled)
    if shuffled[0] > MOST_SHUFFLED:
        raise SystemExit(f"memory: {shuffled[0] / 1e6:.0f} MB for a shuffled log, it must stay flat")
    also = f"With its lines shuffled in windows of 10,000: {shuffled[0] / 1e6:.0f} MB to verify."
    return ["## Memory with a large log", "", f"{lines:,} lines, {size:.1f} GB sealed: {peaks}.", also, ""]


def shuffle(source: Path, target: Path) -> None:
    """Write the lines of a file in disorder, as what comes over several connections arrives."""
    rng = random.Random(1)
    with open(source, "rb") as lines, open(target, "wb") as out:
        while window := list(itertools.islice(lines, 10_000)):
            rng.shuffle(window)
            out.writelines(window)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=10_000_000, help="lines of a large log, for memory")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        place = Path(name)
        forms = [Measure(place, "plain", plain_line, options.lines), Measure(place, "json", json_line, options.lines)]
        for number in range(options.rounds):
            for form in forms:
                print(f"round {number + 1} of {options.rounds}, {form.form} lines", file=sys.stderr)
                form.round()
        few = min(100_000, options.lines)
        given = f"{options.lines:,} lines of each form, {options.rounds} rounds; (a) and per-call with {few:,} lines"
        text = [
            "# Benchmarks",
            "",
            "Written by `make bench`. Whole processes are measured, start and end included; each ratio is the median",
            "of the ratios of single rounds, in which everything runs one after the other on the same machine.",
            "",
            f"- Machine: {machine()}.",
            f"- Versions: tallystick {version()}, Python {platform.python_version()}, {openssl()} (baselines).",
            f"- Input: {given}.",
            "",
        ]
        text += targets(forms)
        for form in forms:
            text += table(form)
        if options.large:
            text += large(place, options.large)
    print("\n".join(text))
    if options.write:
        options.write.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def targets(forms: list[Measure]) -> list[str]:
    """Return how the figures stand against what the project sets itself."""
    lines = ["## Targets", "", "| what | target | plain | json |", "| --- | --- | --- | --- |"]
    for what, (least, rate) in TARGETS.items():
        ratios = [f"{statistics.median(against(form.rates, what)):.1f}" for form in forms]
        rates = [f"{statistics.median(form.rates[what]) / 1e6:.2f}" for form in forms]
        lines.append(f"| {what}, times (a) | {least} | {' | '.join(ratios)} |")
        lines.append(f"| {what}, million lines/s | {rate} | {' | '.join(rates)} |")
    return [*lines, ""]


def version() -> str:
    """Return the version of the package."""
    from importlib.metadata import version as of

    return of("tallystick")


def openssl() -> str:
    """Return the version of the library that the baselines hash with."""
    import ssl

    return ssl.OPENSSL_VERSION


if __name__ == "__main__":
    main()
