"""What several runs found in parts of a log is put together: the report is that of one run over everything."""

import functools
import hashlib
import json
import os
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import FormatError, ReportError, TallystickError
from tallystick.reports import render
from tallystick.verify import Report, Verdict, inputs, marks, merge, verify
from tallystick.verify.memory import partial
from tallystick.verify.memory.partial import Partial
from tallystick.verify.memory.record import DamagedError
from tallystick.verify.streams import zstd
from tests import doctoring, vectors
from tests.cases import some
from tests.doctoring import Sealed

ROUNDS = int(os.environ.get("TALLYSTICK_MERGED_RUNS", "12"))
FORGED = int(os.environ.get("TALLYSTICK_FORGED", "150"))
CASES = json.loads((vectors.VECTORS / "partial.json").read_text())["cases"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of some kilobytes have many parts, and be settled at once."""
    monkeypatch.setattr(inputs, "CHUNK", 2048)
    monkeypatch.setattr(marks, "TICK", -(10**9))


class Place:
    """A log in several files, and what verifies it."""

    def __init__(self, directory: Path, log: Sealed, data: bytes, count: int, *, with_v: bool = True) -> None:
        self.directory, self.log = directory, log
        directory.mkdir(parents=True, exist_ok=True)
        doctoring.write(directory, log)
        self.keys = {"keys": [directory / "log.key"]} if with_v else {"public": [directory / "log.pub"]}
        self.more: dict[str, object] = {"store": "none"} | ({"head": directory / "log.head"} if with_v else {})
        lines = data.splitlines(keepends=True)
        self.files = []
        for number in range(count):
            path = directory / f"{number:02}.log"
            path.write_bytes(b"".join(lines[len(lines) * number // count : len(lines) * (number + 1) // count]))
            self.files.append(path)

    def full(self, **more: object) -> Report:
        """Verify everything in one run."""
        return verify(self.files, **self.keys, **self.more, digests=True, **more)  # type: ignore[arg-type]

    def partial(self, name: str, *files: Path, **more: object) -> Path:
        """Verify some files, and write what was found."""
        path = self.directory / f"{name}.partial"
        verify(files, **self.keys, store="none", partial=path, **more)  # type: ignore[arg-type]
        return path

    def merged(self, *partials: Path, **more: object) -> Report:
        """Put partial results together."""
        return merge(partials, **self.keys, **self.more, digests=True, **more)  # type: ignore[arg-type]

    def one_each(self) -> list[Path]:
        """Make a partial result of each file."""
        return [self.partial(path.stem, path) for path in self.files]


def told(report: Report) -> str:
    """Return a report in its longest form, without times."""
    return render(replace(report, time=0, seconds=0.0, remembered=None), "json", 80)


def unread(report: Report) -> int:
    """Return how many bytes were not read."""
    assert report.remembered is not None
    return report.remembered.size


@functools.cache
def long_log(seed: int) -> Sealed:
    rng = random.Random(seed)
    while len((log := doctoring.seal(rng)).lines) < 60:
        pass
    return log


@pytest.fixture(params=["verification key", "public key"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A log of some hundred lines in five files."""
    log = long_log(7)
    return Place(tmp_path, log, log.data, 5, with_v=request.param == "verification key")


def test_a_merged_report_is_that_of_one_run_and_nothing_is_read_again(place: Place) -> None:
    report = place.merged(*place.one_each())
    assert told(report) == told(place.full())
    assert unread(report) == len(place.log.data)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_grouping_and_order_gives_the_report_of_one_run(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    log = doctoring.seal(rng, crashes=True)
    _, data = doctoring.doctor(rng, log, doctoring.seal(rng)) if rng.random() < 0.8 else ("", log.data)
    place = Place(tmp_path, log, data, rng.randrange(1, 9), with_v=rng.random() < 0.5)
    groups = [[path for path in place.files if path.stat().st_size] or place.files]
    while rng.random() < 0.8:
        group = groups.pop(rng.randrange(len(groups)))
        cut = rng.randrange(len(group) + 1)
        groups += [part for part in (group[:cut], group[cut:]) if part]
        groups += [[rng.choice(place.files)]] if rng.random() < 0.2 else []  # one that is in another one, too
    rng.shuffle(groups)
    for group in groups:
        rng.shuffle(group)
    partials = [place.partial(f"{number}", *group) for number, group in enumerate(groups)]
    place.files = sorted({path for group in groups for path in group})
    assert told(place.merged(*partials)) == told(place.full())


def test_epochs_that_stand_in_several_files_are_held_against_r(tmp_path: Path) -> None:
    log = long_log(3)
    place = Place(tmp_path, log, log.data, 40, with_v=False)
    assert place.full().logs[0].uncovered == 0
    assert told(place.merged(*place.one_each())) == told(place.full())
    lines = place.files[20].read_bytes().splitlines(keepends=True)
    place.files[20].write_bytes(b"".join([lines[0][:1].swapcase() + b"x" + lines[0][1:], *lines[1:]]))
    assert place.merged(*place.one_each()).verdict is Verdict.FAILED


def test_the_report_says_when_the_oldest_was_read_and_whether_a_key_vouches_for_it(place: Place) -> None:
    report = place.merged(*place.one_each())
    text = render(report, "text", 120)
    assert "of these were verified before, the first of them at " in text
    assert ("as good as the place where it was kept" in text) == ("public" in place.keys)
    assert ("as good as the place" in render(report, "html")) == ("public" in place.keys)


# -- what is there now counts


def test_a_file_that_is_gone_counts_for_nothing(place: Place) -> None:
    partials = place.one_each()
    place.files[2].unlink()
    report = place.merged(*partials)
    assert told(report) == told(place.full())
    assert report.verdict is Verdict.FAILED


def test_a_file_that_changed_is_judged_as_it_is_now(place: Place) -> None:
    partials = place.one_each()
    data = place.files[2].read_bytes()
    place.files[2].write_bytes(data[: len(data) // 2] + b"x" + data[len(data) // 2 :])
    report = place.merged(*partials)
    assert told(report) == told(place.full())
    assert report.verdict is Verdict.FAILED
    assert 0 < unread(report) < len(place.log.data)


def test_a_file_that_came_later_under_a_pattern_is_read(place: Place) -> None:
    last = place.files[-1].read_bytes()
    place.files[-1].unlink()
    made = place.partial("all", place.directory / "*.log")
    place.files[-1].write_bytes(last)
    report = place.merged(made)
    assert told(report) == told(place.full())
    assert unread(report) == len(place.log.data) - len(last)


def test_what_could_not_be_read_at_first_is_read_when_it_can_be(place: Place) -> None:
    hidden = place.files[1].rename(place.directory / "hidden")
    partials = place.one_each()
    hidden.rename(place.files[1])
    assert told(place.merged(*partials)) == told(place.full())


# -- forged, cut, swapped and old ones


def test_a_changed_byte_a_cut_and_an_appendix_are_refused(tmp_path: Path) -> None:
    log = long_log(7)
    place = Place(tmp_path, log, log.data, 2)
    one, other = place.one_each()
    data, rng = one.read_bytes(), random.Random(1)
    flips = [data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] for at in range(0, len(data), 7)]
    for bad in [*flips, *(data[:end] for end in (0, 5, 11, 43, len(data) // 2, len(data) - 1)), data + b"\0"]:
        one.write_bytes(bad)
        with pytest.raises(FormatError) as error:
            place.merged(one, other)
        assert str(one) in str(error.value)
        assert error.value.hint


def test_a_partial_result_of_other_keys_is_refused(tmp_path: Path) -> None:
    log = long_log(7)
    place = Place(tmp_path, log, log.data, 2)
    one, two = place.one_each()
    with pytest.raises(FormatError, match="made with other keys"):
        merge([one, two], public=[tmp_path / "log.pub"], store="none")
    other = Place(tmp_path / "other", foreign := long_log(8), foreign.data, 1)
    with pytest.raises(FormatError, match="was changed or cut"):
        place.merged(one, *other.one_each())
    public = Place(tmp_path / "public", log, log.data, 1, with_v=False)
    with pytest.raises(FormatError, match="made with other keys"):
        place.merged(one, *public.one_each())


def test_a_partial_result_with_other_options_is_refused_and_says_which(place: Place) -> None:
    made = place.partial("added", *place.files, added=["host"])
    with pytest.raises(FormatError, match=r"other options \(added host\)"):
        place.merged(made)
    with pytest.raises(FormatError, match=r"other options \(none\)"):
        place.merged(place.partial("plain", *place.files), added=["host"])
    assert told(place.merged(made, added=["host"])) == told(place.full(added=["host"]))


def test_an_old_partial_result_hides_no_lines_that_are_gone_since(place: Place) -> None:
    old = place.partial("old", place.files[-1])
    data = place.files[-1].read_bytes()
    place.files[-1].write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
    others = [place.partial(path.stem, path) for path in place.files[:-1]]
    assert told(place.merged(old, *others)) == told(place.full())
    assert told(place.merged(old, place.partial("new", place.files[-1]), *others)) == told(place.full())


def reseal(path: Path, change: Callable[[Partial], Partial], place: Place) -> None:
    """Write a partial result that its maker's own key, or nobody, vouches for."""
    from tallystick import _core

    keys = _core.Keys()
    for name, add in (("keys", keys.add_key), ("public", keys.add_public)):
        for key in place.keys.get(name, ()):
            with open(key, "rb") as file:
                add(file.fileno())
    path.write_bytes(change(Partial.of(path.read_bytes(), keys)).to_bytes(keys))


def test_two_partial_results_that_read_different_bytes_in_one_file_are_a_failure(place: Place) -> None:
    one, *others = place.one_each()
    honest = one.read_bytes()
    lying = one.with_name("lying.partial")
    lying.write_bytes(honest)
    (first,) = place.files[:1]

    def lie(partial: Partial) -> Partial:
        (record,) = partial.records
        parts = tuple(replace(part, sha256=hashlib.sha256(part.sha256).digest()) for part in record.parts)
        return replace(partial, records=(replace(record, parts=parts, digest="0" * 64),))

    reseal(lying, lie, place)
    for order in ([one, lying], [lying, one]):
        report = place.merged(*order, *others)
        assert report.verdict is Verdict.FAILED
        assert [one.kind for one in report.findings if one.weight.value == "failed"] == ["contradiction"]
        assert unread(report) == len(place.log.data) - first.stat().st_size, "neither is believed"
    assert place.merged(one, one, *others) == place.full(), "the same twice is no contradiction"


def test_two_partial_results_that_say_different_things_of_the_same_bytes_are_not_believed(place: Place) -> None:
    lines = place.files[0].read_bytes()
    place.files[0].write_bytes(lines.replace(b" tally=", b"x tally=", 1))
    one, other, *others = place.one_each()
    lying = one.with_name("lying.partial")
    lying.write_bytes(one.read_bytes())

    def lie(partial: Partial) -> Partial:
        from tallystick import _core

        (record,) = partial.records
        return replace(partial, records=(replace(record, summary=_core.Summary().to_bytes(), pieces=record.pieces),))

    reseal(lying, lie, place)
    assert told(place.merged(lying, one, other, *others)) == told(place.full())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_vectors_hold_or_fail_for_the_reason_that_they_name(case: dict[str, str], tmp_path: Path) -> None:
    from tallystick import _core

    keys = _core.Keys()
    (tmp_path / "key").write_text(vectors.KEYS["text"][case["key"]] + "\n")
    with open(tmp_path / "key", "rb") as file:
        (keys.add_public if case["key"] == "public_key" else keys.add_key)(file.fileno())
    data = bytes.fromhex(case["hex"])
    if case["why"] is None:
        assert Partial.of(data, keys).paths == ("audit.log",)
        return
    with pytest.raises(DamagedError) as error:
        Partial.of(data, keys)
    said = {"no partial result": "is no partial", "another version": "has version 3", "another form": "another form"}
    assert said.get(case["why"], case["why"].replace("other", "made with other")) in str(error.value)


def test_there_are_vectors() -> None:
    assert len(CASES) == 24


# -- with the public key alone anybody can make one: it must still be read without harm


def parted(data: bytes) -> tuple[dict[str, object], bytes]:
    """Return the header of a partial result that nobody vouches for, and its summaries."""
    body = zstd.decompress(data[12:])
    (length,) = struct.unpack_from(">I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def joined(header: object, summaries: bytes) -> bytes:
    said = json.dumps(header).encode()
    return b"tallypart\x02\0\0" + zstd.compress(struct.pack(">I", len(said)) + said + summaries)


def test_whatever_a_forged_one_holds_ends_in_a_report_or_an_error_of_ours(tmp_path: Path) -> None:
    log = long_log(9)
    place = Place(tmp_path, log, log.data.replace(b"user=", b"usar=", 3), 1, with_v=False)
    (one,) = place.one_each()
    header, summaries = parted(one.read_bytes())
    rng, reports = random.Random(5), 0
    for _ in range(FORGED):
        bad = bytearray(summaries)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(bad))
            bad[at] = rng.choice([0, 1, 127, 128, 255, bad[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
        one.write_bytes(joined(header, bytes(bad)))
        reports += bool(place.merged(one).verdict)
    assert reports > FORGED / 4


def values(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return where each value in a JSON document stands."""
    found = [path]
    if isinstance(value, dict):
        found += [at for key, one in value.items() for at in values(one, (*path, key))]
    elif isinstance(value, list):
        found += [at for key, one in enumerate(value) for at in values(one, (*path, key))]
    return found


VALUES = [None, True, -1, 0, 2**80, 1.5, "", "x", "\ud800", [], [[]], {}, [1, 2], "0" * 64]


def test_whatever_its_header_says_ends_in_a_report_or_an_error_of_ours(tmp_path: Path) -> None:
    log = long_log(9)
    place = Place(tmp_path, log, log.data, 1, with_v=False)
    (one,) = place.one_each()
    header, summaries = parted(one.read_bytes())
    refused = 0
    for at in values(header)[1:]:
        for other in some(VALUES, VALUES[::3]):
            changed = json.loads(json.dumps(header))
            within = changed
            for key in at[:-1]:
                within = within[key]
            within[at[-1]] = other
            one.write_bytes(joined(changed, summaries))
            try:
                place.merged(one)
            except TallystickError:
                refused += 1
    assert refused > 300 * len(some(VALUES, VALUES[::3])) / len(VALUES)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = long_log(9)
    place = Place(tmp_path, log, log.data, 1, with_v=False)
    (one,) = place.one_each()
    monkeypatch.setattr(partial, "MOST", 2**20)
    one.write_bytes(b"tallypart\x02\0\0" + zstd.compress(bytes(2**21)))
    with pytest.raises(FormatError, match="has another form"):
        place.merged(one)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    log = long_log(9)
    place = Place(tmp_path, log, log.data, 1, with_v=False)
    (one,) = place.one_each()
    deep = b"[" * 200_000
    one.write_bytes(b"tallypart\x02\0\0" + zstd.compress(struct.pack(">I", len(deep)) + deep))
    with pytest.raises(FormatError, match="has another form"):
        place.merged(one)


# -- what no partial result is made of


def test_standard_input_and_records_of_carriers_are_refused(place: Place) -> None:
    with pytest.raises(ReportError, match="standard input"):
        verify(["-"], **place.keys, store="none", partial=place.directory / "x")  # type: ignore[arg-type]
    with pytest.raises(ReportError, match="carrier's records"):
        place.partial("x", *place.files, envelope="docker")
    with pytest.raises(ReportError, match="what is remembered"):
        place.partial("x", *place.files, resume=place.directory / "memory")
    with pytest.raises(ReportError, match="there is nothing to verify"):
        place.merged()
    assert not (place.directory / "x.partial").exists()


def test_a_partial_result_among_logs_is_passed_over(place: Place) -> None:
    place.partial("one", place.files[0])
    report = verify([place.directory / "*"], **place.keys, store="none")  # type: ignore[arg-type]
    assert any("a partial result" in one.detail for one in report.findings if one.kind == "passed over")
    assert report.lines == place.full().lines
