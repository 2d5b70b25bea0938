"""Whatever somebody writes into a log, judging it takes bounded time and memory."""

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import Verdict
from tests.cases import EVERY
from tests.doctoring import TIME
from tests.sealed import Taking
from tests.verify.test_constructed import FAKE, Writer, text

SEALED = 1_000_000 if EVERY else 250_000
"""Lines of a long log; `make torture` has a million."""


pytestmark = pytest.mark.usefixtures("no_store")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the keys of a small log."""
    return tmp_path_factory.mktemp("cost")


@pytest.fixture(scope="module")
def writer(place: Path) -> Writer:
    writer = Writer().open().write(3).close()
    writer.key(place)
    (place / "head").write_bytes(writer.head)
    return writer


@pytest.fixture(scope="module")
def big(place: Path) -> list[bytes]:
    """Many lines of a log, in order; its keys and head are in the directory."""
    log, lines = Writer("big"), []
    entries = b"".join(b"2026-11-23T08:15:45 app user=%d action=login ok=true\n" % n for n in range(4095))
    while len(lines) < SEALED:
        sealer = Taking(log.state.open_chain(log.head, TIME))
        for _ in range(SEALED // 16_384):  # a quarter of them, in epochs of 4,096
            lines += sealer.seal_lines(entries, 0, TIME)[0].split(b"\n")[:-1]
        lines += sealer.close(TIME).split(b"\n")[:-1]
        log.head = bytes(sealer.head() or b"")
    log.key(place)
    (place / "big.head").write_bytes(log.head)
    return lines


# -- time


def quickest(work: Callable[[], object], times: int = 5) -> float:
    """Return the least processor time that some work took, in seconds."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def hashing(megabytes: float) -> float:
    """Return how long hashing so much takes here: about 50 ms for 100 MB with SHA instructions."""
    data = bytes(10**7)
    return quickest(lambda: hashlib.sha256(data).digest()) * megabytes / 10


def keys(place: Path) -> _core.Keys:
    """Return keys that nobody has walked with yet."""
    found = _core.Keys()
    with open(place / "app.key", "rb") as file:
        found.add_key(file.fileno())
    return found


def scan(keys: _core.Keys, data: bytes) -> _core.Summary:
    return _core.scan(keys, _core.Mode.all(), data, len(data), file=0, chunk=0, offset=0)


def facts(keys: _core.Keys, data: bytes) -> _core.Facts:
    verification = _core.Verification(keys)
    while (mode := verification.next_pass()) is not None:
        verification.merge(_core.scan(keys, mode, data, len(data), file=0, chunk=0, offset=0))
    return verification.finish(_core.Expected(whole=[0]), set())


FAR = ["1.0.65535", "1.255.65535", "131072.255.65535", "131073.0.1", "16777216.255.65535", "4294967295.255.65535"]
FORMS = ["x tally={id}.{at}.1." + FAKE, "[redacted] tally={id}.{at}.~" + "A" * 43 + "." + FAKE]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", FAR)
def test_one_forged_line_costs_no_more_than_50_ms(at: str, form: str, writer: Writer, place: Path) -> None:
    line = form.format(id=writer.id, at=at).encode()
    times = []
    for _ in range(5):
        fresh = keys(place)
        times.append(quickest(lambda: scan(fresh, line), 1))  # noqa: B023
    assert min(times) < hashing(100), times


@pytest.mark.parametrize("form", FORMS)
def test_a_flood_of_forged_lines_costs_in_proportion_to_its_bytes(form: str, writer: Writer, place: Path) -> None:
    positions = [f"{2 + n // 256}.{n % 256}.65535" for n in range(30_000)]
    flood = "".join(form.format(id=writer.id, at=at) + "\n" for at in positions).encode()
    small = flood[: flood.index(b"\n", len(flood) // 4) + 1]
    for data in (small, flood):
        assert "effort" in {event.reason for event in facts(keys(place), data).events()}
        # Two hashes for each byte, and a million.
        budget = hashing(64 * (2 * len(data) + 2**20) / 10**6)
        assert quickest(lambda: scan(keys(place), data), 1) < 3 * budget  # noqa: B023


def test_what_was_cut_short_is_reported(writer: Writer, place: Path) -> None:
    flood = b"".join(
        b"x tally=%s.%d.%d.65535.1.%s\n" % (writer.id.encode(), 2 + n // 256, n % 256, FAKE.encode())
        for n in range(30_000)
    )
    (place / "flood.log").write_bytes(text(writer.lines) + flood)
    report = tallystick.verify([place / "flood.log"], keys=[place / "app.key"], head=place / "head")
    assert report.verdict is Verdict.FAILED
    assert any("took all the time" in finding.detail for finding in report.findings)
    assert sum(finding.count for finding in report.findings if finding.kind == "altered") == 30_000
    assert report.logs[0].sealed == len(writer.lines)


def test_honest_lines_of_a_high_chain_verify_where_the_caller_names_it(tmp_path: Path) -> None:
    # A log that was opened 131,073 times; walking there with the sealing state would take too long here.
    writer = Writer().open().write(3).close()
    high = text(writer.lines).replace(b".1.0.1.", b".131073.0.1.")
    (tmp_path / "app.log").write_bytes(high)

    def why(**options: int) -> set[str]:
        report = tallystick.verify([tmp_path / "app.log"], keys=[writer.key(tmp_path)], **options)
        assert report.verdict is Verdict.FAILED
        return {finding.detail.split(":")[0] for finding in report.findings if finding.position == "131073.0.1"}

    assert why() == {"not looked at"}
    assert why(start=2) == {"the seal does not match the line"}
    pin = f"tallypin {writer.id} 2.0.1.{'A' * 43}"
    report = tallystick.verify([tmp_path / "app.log"], keys=[writer.key(tmp_path)], pins=[pin])
    assert not any("not looked at" in finding.detail for finding in report.findings)


def seconds(place: Path, data: bytes, key: str) -> float:
    """Return the processor time that verifying takes."""
    (place / "linear.log").write_bytes(data)
    given = {"keys": [place / "app.key"]} if key == "V" else {"public": [place / "app.pub"]}
    return quickest(lambda: tallystick.verify([place / "linear.log"], jobs=1, **given), 2)  # type: ignore[arg-type]


MANY = {
    "chains": lambda n: f"{2 + n}.0.1",
    "epochs": lambda n: f"{2 + n // 256}.{n % 256}.7",
    "indices": lambda n: f"{2 + n // 65536}.0.{n * 7919 % 65536}",
    "the same": lambda n: "1.0.2",
}


@pytest.mark.parametrize("key", "VP")
@pytest.mark.parametrize("what", MANY)
def test_time_grows_with_the_lines_and_not_faster(what: str, key: str, writer: Writer, place: Path) -> None:
    def flood(count: int) -> bytes:
        positions = (MANY[what](n) for n in range(count))
        return text(writer.lines) + b"".join(
            f"x{n} tally={writer.id}.{at}.{len(str(n)) + 1}.{FAKE}\n".encode() for n, at in enumerate(positions)
        )

    few, many = seconds(place, flood(5_000), key), seconds(place, flood(20_000), key)
    assert many < 10 * few + 0.1, (few, many)


# -- memory


MEASURE = """
import pathlib, re, sys, tallystick
form, key, head, path, *allow = sys.argv[1:]
given = {"keys": [key], "head": head} if form == "V" else {"public": [key]}
report = tallystick.verify([path], allow=allow, **given)
status = pathlib.Path("/proc/self/status").read_text()
duplicates = sum(finding.count for finding in report.findings if finding.kind == "duplicate")
print(report.verdict.value, re.search(r"VmHWM:\\s*(\\d+) kB", status)[1], duplicates, len(report.findings))
"""


@dataclass(frozen=True)
class Measured:
    """What a verifier of its own took and found: its verdict, most MB of memory, duplicates, and findings."""

    verdict: str
    megabytes: float
    duplicates: int
    findings: int


def measured(place: Path, data: bytes, log: str = "app", forms: str = "VP", allow: Sequence[str] = ()) -> Measured:
    """Return what verifiers took and found, one with each kind of key: where they differ, the worst."""
    (place / "memory.log").write_bytes(data)
    head, found = place / ("head" if log == "app" else f"{log}.head"), []
    for form in forms:
        key = place / f"{log}.{'key' if form == 'V' else 'pub'}"
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, form, key, head, place / "memory.log", *allow],
            capture_output=True,
            check=False,
            env={**os.environ, "TALLYSTICK_STORE": "/nonexistent/store"},
        )
        assert done.stderr == b""
        verdict, kilobytes, *counts = done.stdout.split()
        found.append(Measured(verdict.decode(), int(kilobytes) / 1000, *map(int, counts)))
    (verdict,) = {one.verdict for one in found}
    return Measured(
        verdict,
        max(one.megabytes for one in found),
        min(one.duplicates for one in found),
        max(one.findings for one in found),
    )


def most(megabytes: float) -> float:
    """Return the bound for a long log, of the one for a million lines: little of it does not grow with them."""
    return megabytes if EVERY else 0.55 * megabytes


def lines_of(count: int, line: Callable[[int], bytes]) -> bytes:
    return b"".join(line(n) + b"\n" for n in range(count))


FLOODS: dict[str, Callable[[bytes], bytes]] = {
    "each unsealed by itself": lambda log: lines_of(
        SEALED, lambda n: b"x" if n % 2 else b"x tally=aaaaaaaa.1.0.1.1." + FAKE.encode()
    ),
    "each of a log of its own": lambda log: lines_of(
        SEALED, lambda n: b"tally=%s.1.0.1.1." % bytes(97 + (n >> 4 * i) % 16 for i in range(8)) + FAKE.encode()
    ),
    "deep JSON": lambda log: lines_of(
        20_000, lambda n: b'{"d":%s%s,"tally":"%s.1.0.1.9.%s"}' % (b"[" * 500, b"]" * 500, log, FAKE.encode())
    ),
    "one deep JSON": lambda log: (
        b'{"d":%s%s,"tally":"%s.1.0.1.9.%s"}\n' % (b"[" * 8_000_000, b"]" * 8_000_000, log, FAKE.encode())
    ),
    "one with many seals": lambda log: (b"tally=%s.1.0.1.1.%s " % (log, FAKE.encode())) * 300_000,
    "one with a giant seal": lambda log: b"x tally=%s.1.0.1.1.%s\n" % (log, b"A" * 16_000_000),
    "one with many beginnings of seals": lambda log: b" tally=" * 2_300_000 + b"\n",
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_takes_little_memory(what: str, writer: Writer, place: Path) -> None:
    found = measured(place, text(writer.lines) + FLOODS[what](writer.id.encode()))
    assert found.verdict == "failed"
    assert found.megabytes < (most(150) if what.startswith("each") else 150)


def test_forged_lines_that_claim_an_epoch_each_take_little_memory(writer: Writer, place: Path) -> None:
    def line(n: int) -> bytes:
        return b"x tally=%s.%d.%d.7.1.%s" % (writer.id.encode(), 2 + n // 8, n % 8, FAKE.encode())

    found = measured(place, text(writer.lines) + lines_of(SEALED, line), forms="V")
    assert found.verdict == "failed"
    assert found.megabytes < most(300)


@pytest.mark.parametrize("at", ["{n}.0.7", "{m}.{k}.7"])
def test_with_the_public_key_lines_of_made_up_epochs_take_bounded_memory(at: str, writer: Writer, place: Path) -> None:
    """With P only, a seal is taken at its word; but nobody writes more epochs than there is room for checkpoints."""

    def line(n: int) -> bytes:
        claimed = at.format(n=2 + n, m=2 + n // 256, k=n % 256).encode()
        return b"x tally=%s.%s.1.%s" % (writer.id.encode(), claimed, FAKE.encode())

    found = measured(place, text(writer.lines) + lines_of(300_000, line), forms="P")
    assert found.verdict == "failed"
    assert found.megabytes < 250


def test_a_long_log_that_is_shuffled_in_windows_is_reordered_and_nothing_else(big: list[bytes], place: Path) -> None:
    rng, shuffled = random.Random(1), []
    for start in range(0, len(big), 10_000):
        window = big[start : start + 10_000]
        rng.shuffle(window)
        shuffled += window
    data = text(shuffled)
    for form, allow, verdict in (("VP", (), "failed"), ("P", ("reordered", "open end"), "ok")):
        found = measured(place, data, "big", form, allow)
        assert (found.verdict, found.megabytes < most(300)) == (verdict, True), found


DISORDER: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "reversed": lambda big: big[::-1],
    "twice": lambda big: big + big,
    "duplicates": lambda big: big + [big[n * 37 % len(big)] for n in range(SEALED // 10)],
}


@pytest.mark.parametrize("what", DISORDER)
def test_lines_in_disorder_take_little_memory_and_duplicates_are_counted_in_full(
    what: str, big: list[bytes], place: Path
) -> None:
    lines = DISORDER[what](big)
    found = measured(place, text(lines), "big")
    assert (found.verdict, found.megabytes < most(300)) == ("failed", True), found
    assert found.duplicates == len(lines) - len(big)
    assert found.findings < 200
