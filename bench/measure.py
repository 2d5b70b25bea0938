"""What the benchmarks share: lines, whole processes, and the baselines in pure Python."""

import base64
import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tallystick

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


def run(*arguments: object, memory: list[int] | None = None, status: int | tuple[int, ...] = 0) -> None:
    """Run tallystick as a whole process, which must end with this exit status; note its peak memory in bytes."""
    wanted = (status,) if isinstance(status, int) else status
    process = subprocess.Popen([COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, ended, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode not in wanted:
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
        verify = ("verify", self.sealed, "--pins", "none", "--allow", "open end", "--from")
        chain = first_chain(self.sealed)
        key, public = ("--key", self.key), ("--public", self.public)
        memory = self.memory.setdefault("verify", [])
        one = timed(lambda: run(*verify, chain, *key, "--jobs", 1, memory=memory))
        self.note("verify with V, one core", self.lines, one)
        self.note("verify with V, all cores", self.lines, timed(lambda: run(*verify, chain, *key)))
        self.note("verify with P, one core", self.lines, timed(lambda: run(*verify, chain, *public, "--jobs", 1)))
        cat = ("cat", *verify[1:], chain)
        self.note("cat with V, all cores", self.lines, timed(lambda: run(*cat, *key)))
        self.note("cat with P, all cores", self.lines, timed(lambda: run(*cat, *public)))
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
