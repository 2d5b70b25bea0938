"""The way back: lines that hold, as they were, in the order of their positions, each once; nothing else."""

import contextlib
import gzip
import json
import os
import random
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify import Verdict
from tallystick.verify import texts as module
from tallystick.verify.texts import texts
from tests import doctoring, sealed
from tests.carriers.test_carriers import HERE as CARRIERS
from tests.carriers.test_carriers import PREFIXED, WRAPPED

pytestmark = pytest.mark.usefixtures("no_store")

LOGS = int(os.environ.get("TALLYSTICK_DOCTORED", "12"))  # an even number
DOCTORINGS = 5  # of each log
At = tuple[int, int, int]


def entries(lines: list[bytes]) -> dict[At, bytes]:
    """Return the entries of a log by their positions.

    What an application copied from the log, as a notice that stands elsewhere, is an entry.
    """
    control = re.compile(rb'({"tallystick":")?tallystick/v1 (open|checkpoint) \w+ [a-z2-7]{8} ')
    notice = re.compile(rb'({"tallystick":")?tallystick/v1 notice \w+ [a-z2-7]{8} ([0-9]+) ([0-9]+) ([0-9]+) ')
    found = {}
    for line in lines:
        at, said = sealed.position(line), notice.match(line)
        if not control.match(line) and (said is None or tuple(map(int, said.groups()[1:])) != at):
            found[at] = sealed.stripped(line)
    return found


def written(*paths: Path, **asked: Any) -> list[bytes]:
    """Return the lines that come out of some files."""
    with texts(paths, **asked) as found:
        data = b"".join(found.pieces())
    assert data == b"" or data.endswith(b"\n")
    return data.split(b"\n")[:-1]


def chunks_of(size: int) -> contextlib.AbstractContextManager[Any]:
    """Read files in chunks of so many bytes, or of one line if that is longer."""
    return mock.patch("tallystick.verify.inputs.CHUNK", size)


def is_part_of(lines: list[bytes], whole: list[bytes]) -> bool:
    """Are these some of those, in the same order?"""
    rest = iter(whole)
    return all(line in rest for line in lines)


@pytest.mark.parametrize("part", range(2))
def test_a_doctored_log_gives_lines_that_hold_and_no_others(part: int, tmp_path: Path) -> None:
    for seed in range(part * LOGS // 2, (part + 1) * LOGS // 2):
        rng = random.Random(seed)
        log, other = (
            doctoring.seal(rng, crashes=seed % 3 == 0),
            doctoring.seal(random.Random(1000 + seed % 8), name="other"),
        )
        doctoring.write(tmp_path, log)
        path, key, public = tmp_path / "app.log", tmp_path / "log.key", tmp_path / "log.pub"
        truth = entries(log.lines)
        in_order = [truth[at] for at in sorted(truth)]
        path.write_bytes(log.data)
        assert written(path, key=key, jobs=1) == in_order, seed
        assert is_part_of(written(path, public=public, jobs=1), in_order), seed
        for _ in range(DOCTORINGS):
            what, data = doctoring.doctor(rng, log, other)
            path.write_bytes(data)
            there = set(data.split(b"\n"))
            untouched = entries([line for line in log.lines if line in there])
            with chunks_of(rng.choice([100, 1000, 2**20])):
                with_v = written(path, key=key, jobs=1)
                with_p = written(path, public=public, jobs=1)
            assert is_part_of(with_v, in_order), (seed, what)
            assert is_part_of([untouched[at] for at in sorted(untouched)], with_v), (seed, what)
            assert is_part_of(with_p, with_v), (seed, what)


@pytest.fixture
def log(tmp_path: Path) -> doctoring.Sealed:
    """A log of several chains and epochs, and the files that go with it."""
    made = next(made for seed in range(100) if len((made := doctoring.seal(random.Random(seed))).lines) > 60)
    doctoring.write(tmp_path, made)
    return made


def test_with_the_public_key_come_the_lines_that_a_checkpoint_covers(log: doctoring.Sealed, tmp_path: Path) -> None:
    last = max(number for number, line in enumerate(log.lines) if b"tallystick/v1 checkpoint" in line[:60])
    open_end = [line for line in log.lines[:last] if sealed.position(line)[:2] != sealed.position(log.lines[last])[:2]]
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(line + b"\n" for line in log.lines[:last]))
    assert written(path, public=tmp_path / "log.pub") == list(entries(open_end).values())
    assert written(path, key=tmp_path / "log.key") == list(entries(log.lines[:last]).values())


@pytest.mark.parametrize("key", ["key", "public"])
def test_files_in_any_mixture_give_each_position_once_and_in_order(
    key: str, log: doctoring.Sealed, tmp_path: Path
) -> None:
    rng = random.Random(7)
    asked = {key: tmp_path / ("log.key" if key == "key" else "log.pub")}
    in_order = list(entries(log.lines).values())
    for _ in range(20):
        cuts = sorted(rng.sample(range(len(log.lines)), 3))
        parts = [log.lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(log.lines)], strict=True)]
        parts += [log.lines[cuts[0] - 3 : cuts[2]]]  # a copy
        rng.shuffle(parts)
        if rng.random() < 0.5:  # a carrier that mixes up what is near
            for part in parts:
                part.sort(key=lambda line: (log.lines.index(line) // 7, rng.random()))
        for number, part in enumerate(parts):
            data = b"".join(line + b"\n" for line in part)
            name = tmp_path / f"part.{number}"
            name.write_bytes(gzip.compress(data) if rng.random() < 0.5 else data)
        with chunks_of(rng.choice([50, 700, 5000])):
            for jobs in (1, 2):
                assert written(tmp_path / "part.*", jobs=jobs, **asked) == in_order


def test_where_too_many_chunks_overlap_no_line_is_lost_or_twice(log: doctoring.Sealed, tmp_path: Path) -> None:
    lines = list(log.lines)
    random.Random(3).shuffle(lines)
    (tmp_path / "app.log").write_bytes(b"".join(line + b"\n" for line in lines))
    with chunks_of(400), mock.patch.object(module, "MOST_HELD", 2):
        found = written(tmp_path / "app.log", key=tmp_path / "log.key")
    assert found != list(entries(log.lines).values())
    assert sorted(found) == sorted(entries(log.lines).values())


def test_of_a_position_that_different_lines_claim_none_comes(tmp_path: Path) -> None:
    """Two writers that went on from one state, as after a machine was restored: nobody knows which line is right."""
    one, two = (_writer(text, tmp_path) for text in (b"left", b"right"))
    (tmp_path / "one.log").write_bytes(one)
    (tmp_path / "two.log").write_bytes(two)
    found = written(tmp_path / "*.log", key=tmp_path / "log.key")
    assert found == [b"same before", b"same after"]
    assert written(tmp_path / "one.log", key=tmp_path / "log.key") == [b"same before", b"left", b"same after"]


def _writer(text: bytes, directory: Path) -> bytes:
    """Return a log that differs from that of another writer in one line; its key stands in `log.key`."""
    setup = _core.setup("payments", (bytes(range(32)), bytes(range(32, 64))))
    with (directory / "log.key").open("wb") as file:
        setup.write_key(file.fileno())
    sealer = sealed.Taking(setup.state().open_chain(bytes(setup.head()), doctoring.TIME))
    return b"".join(sealer.seal(line, doctoring.TIME) for line in (b"same before", text, b"same after"))


@pytest.mark.parametrize("key", ["key", "public"])
@pytest.mark.parametrize("change", ["a line", "its length", "compressed"])
def test_what_is_changed_after_it_was_verified_is_not_written(
    key: str, change: str, log: doctoring.Sealed, tmp_path: Path
) -> None:
    path = tmp_path / "app.log"
    data = log.data
    path.write_bytes(gzip.compress(data) if change == "compressed" else data)
    in_order = list(entries(log.lines).values())
    asked = {key: tmp_path / ("log.key" if key == "key" else "log.pub")}
    with chunks_of(500), texts([path], jobs=1, **asked) as found:
        # Everything that was verified holds; then another line that holds takes the place of one, and one is altered.
        lines = log.data.split(b"\n")
        lines[-20] = lines[-20][:1] + b"X" + lines[-20][2:]
        new = b"\n".join(lines)
        with path.open("r+b") as file:
            file.write(gzip.compress(new) if change == "compressed" else new)
            if change == "its length":
                file.truncate(len(data) // 2)
        come = []
        with pytest.raises(ReportError, match=r"was changed after it was verified"):
            come.extend(found.pieces())
    lines = b"".join(come).split(b"\n")[:-1]
    assert len(lines) < len(in_order)
    assert lines == in_order[: len(lines)]


def test_lines_that_do_not_hold_come_marked_where_they_stood(log: doctoring.Sealed, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    at = [number for number, line in enumerate(log.lines) if sealed.position(line) in entries(log.lines)]
    lines = list(log.lines)
    altered = lines[at[3]] = b"X" + lines[at[3]]
    lines.insert(at[6], b"no seal")
    lines.insert(0, b"before all")
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = written(path, key=tmp_path / "log.key", marked=True)
    truth = [b"  " + line for line in entries(log.lines).values()]
    truth[3] = b"! " + altered
    truth.insert(6, b"! no seal")
    assert found == [b"! before all", *truth]


def test_json_that_a_carrier_wrote_anew_comes_as_it_was_sealed(tmp_path: Path) -> None:
    entry = b'{"a":1,"b":[true,"x"]}'
    setup = _core.setup("payments", (bytes(range(32)), bytes(range(32, 64))))
    sealer = sealed.Taking(setup.state().open_chain(bytes(setup.head()), doctoring.TIME))
    lines = (sealer.seal(entry, doctoring.TIME) + sealer.close(doctoring.TIME)).split(b"\n")[:-1]
    anew = [json.dumps(json.loads(line), indent=None).encode() if line[:3] == b'{"a' else line for line in lines]
    assert anew != lines
    (tmp_path / "app.log").write_bytes(b"".join(line + b"\n" for line in anew))
    (tmp_path / "log.pub").write_text(setup.public_key + "\n")
    with (tmp_path / "log.key").open("wb") as file:
        setup.write_key(file.fileno())
    for asked in ({"key": tmp_path / "log.key"}, {"public": tmp_path / "log.pub"}):
        assert written(tmp_path / "app.log", **asked) == [entry]


CARRIED = [(fixture, kind, field, name) for fixture, kind, field, logs in WRAPPED for name in logs]
CARRIED += [(fixture, kind, None, "app") for fixture, kind in PREFIXED]


@pytest.mark.parametrize(("fixture", "kind", "field", "name"), CARRIED)
def test_lines_come_out_of_the_envelopes_of_carriers(fixture: str, kind: str, field: str | None, name: str) -> None:
    key = CARRIERS / f"{name}.key"
    plain = written(CARRIERS / f"{name}.log", key=key)
    assert len(plain) > 1
    for size in (2000, 2**20):
        with chunks_of(size):
            assert written(CARRIERS / fixture, key=key, envelope=kind, field=field) == plain


def test_the_keys_of_two_logs_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        made = doctoring.seal(random.Random(number))
        doctoring.write(tmp_path, made)
        (tmp_path / "log.pub").rename(tmp_path / f"{number}.pub")
    with (
        pytest.raises(ReportError, match="the two keys are of different logs"),
        texts([tmp_path / "app.log"], key=tmp_path / "log.key", public=tmp_path / "0.pub"),
    ):
        pass


def test_a_log_of_nothing_gives_nothing(tmp_path: Path, log: doctoring.Sealed) -> None:
    (tmp_path / "app.log").write_bytes(b"no seal\n")
    with texts([tmp_path / "app.log"], key=tmp_path / "log.key") as found:
        assert found.report.verdict is not Verdict.OK
        assert list(found.pieces()) == []
