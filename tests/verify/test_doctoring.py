"""Whatever somebody does to a sealed log, it is never `ok` afterwards, and the verifier never breaks."""

import functools
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Report, Verdict
from tests import doctoring

LOGS = int(os.environ.get("TALLYSTICK_DOCTORED", "16"))  # a multiple of 4
DOCTORINGS = 10  # of each log; each is judged with V and with P alone


pytestmark = pytest.mark.usefixtures("no_store")


@functools.cache
def another(number: int) -> doctoring.Sealed:
    """Return a log of another name; sealing takes longer than judging, so there are few."""
    return doctoring.seal(random.Random(number), name="other")


def judge(
    directory: Path, data: bytes, log: doctoring.Sealed, key: str, pins: list[str], allow: Sequence[str] = ()
) -> Report:
    """Verify bytes with V and the head, or with P and pins; nothing but `ended` anchors an end for P."""
    path = directory / "app.log"
    path.write_bytes(data)
    if key == "V":
        return tallystick.verify([path], keys=[directory / "log.key"], head=directory / "log.head", jobs=1)
    return tallystick.verify([path], public=[directory / "log.pub"], pins=pins, allow=allow, jobs=1)


@pytest.mark.parametrize("part", range(4))
def test_no_doctored_log_is_ok_and_no_honest_one_fails(part: int, tmp_path: Path) -> None:
    done = 0
    for seed in range(part * LOGS // 4, (part + 1) * LOGS // 4):
        rng = random.Random(seed)
        log, other = doctoring.seal(rng), another(seed % 8)
        doctoring.write(tmp_path, log)
        for key in "VP":
            honest = judge(tmp_path, log.data, log, key, [log.pin], ["open end"])
            assert honest.verdict is Verdict.OK, (seed, key, honest.findings)
        for number in range(DOCTORINGS):
            what, data = doctoring.doctor(rng, log, other)
            for key in "VP":
                report = judge(tmp_path, data, log, key, [log.pin], ["open end"])
                harmless = doctoring.is_harmless(log, data, with_v=key == "V")
                if key == "V" or not harmless:
                    assert (report.verdict is Verdict.OK) == harmless, (seed, number, what, key, report.findings)
                done += 1
    assert done == LOGS // 4 * DOCTORINGS * 2


def test_a_log_with_crashes_never_fails_and_says_ok_only_with_the_head(tmp_path: Path) -> None:
    for seed in range(1000, 1000 + LOGS):
        rng = random.Random(seed)
        log = doctoring.seal(rng, crashes=True)
        doctoring.write(tmp_path, log)
        with_v = judge(tmp_path, log.data, log, "V", [])
        assert with_v.verdict is Verdict.OK, (seed, with_v.findings)
        with_p = judge(tmp_path, log.data, log, "P", [])
        assert with_p.verdict is not Verdict.FAILED, (seed, with_p.findings)


def test_any_bytes_at_all_are_judged_without_an_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    log = doctoring.seal(rng)
    doctoring.write(tmp_path, log)
    pieces = [b"tally=", b'"tally":"', log.lines[0][-60:], b"\n", b"{", b"}", b"tallystick/v1 ", b"\0", b"\xff", b"."]
    for _ in range(LOGS * 4):
        data = b"".join(rng.choice(pieces) + os.urandom(rng.randrange(4)) for _ in range(rng.randrange(60)))
        for key in "VP":
            assert judge(tmp_path, data, log, key, [log.pin]).verdict is not Verdict.OK
