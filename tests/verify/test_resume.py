"""What was verified is remembered: a run that reads only what is new finds what a run over everything finds."""

import functools
import gzip
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify import Report, Verdict, inputs, marks, streams, verify
from tallystick.verify.memory.due import Aged, due, due_in
from tests import doctoring
from tests.doctoring import Sealed
from tests.sealed import Taking, position
from tests.servers import until

ROUNDS = int(os.environ.get("TALLYSTICK_RESUMED_RUNS", "12"))
TICK = 12_000_000  # ns; longer than one of this kernel's clock


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of some kilobytes have many parts, and be settled soon."""
    monkeypatch.setattr(inputs, "CHUNK", 2048)
    monkeypatch.setattr(marks, "TICK", TICK)


class Place:
    """A directory with the files of a log, and a memory of it."""

    def __init__(self, directory: Path, log: Sealed, *, with_v: bool = True) -> None:
        self.log, self.memory = log, directory / "memory"
        self.files = directory / "logs"
        self.files.mkdir(parents=True)
        doctoring.write(directory, log)
        self.keys = {"keys": [directory / "log.key"]} if with_v else {"public": [directory / "log.pub"]}
        self.live, self._probe, self.written = self.files / "app.log", directory / "probe", 0

    def append(self, count: int) -> None:
        """Append the next lines of the log to the live file."""
        with self.live.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in self.log.lines[self.written :][:count]))
        self.written += count

    def settle(self) -> None:
        """Wait until whatever is done next to a file shows in its times."""
        newest = max((path.stat().st_ctime_ns for path in self.files.iterdir()), default=0)

        def passed() -> bool:
            self._probe.touch()
            return min(self._probe.stat().st_ctime_ns, time.time_ns()) > newest + TICK

        until(passed, "the clock of the file system")

    def full(self, **more: object) -> Report:
        """Verify everything."""
        return verify([self.files], **self.keys, store="none", jobs=1, **more)  # type: ignore[arg-type]

    def resumed(self, **more: object) -> Report:
        """Verify what is new."""
        return self.full(resume=self.memory, **more)

    def agree(self, **more: object) -> Report:
        """Verify in both ways, which must find the same."""
        self.settle()
        resumed = self.resumed(**more)
        assert resumed == self.full()
        return resumed


def unread(report: Report) -> int:
    """Return how many bytes were not read."""
    assert report.remembered is not None
    return report.remembered.size


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log of some 100 lines in one file."""
    place = Place(tmp_path, log_of_all())
    place.append(50)
    return place


@functools.cache
def log_of_all() -> Sealed:
    """Return the log of all tests that need no other one."""
    return long_log(random.Random(1))


def long_log(rng: random.Random) -> Sealed:
    """Return a log of a hundred lines or more."""
    while len((log := doctoring.seal(rng)).lines) < 60:
        pass
    return log


# -- nothing is read twice


def test_an_untouched_file_is_not_read_again(place: Place) -> None:
    size = place.live.stat().st_size
    assert unread(place.agree()) == 0
    assert unread(place.agree()) == size


def test_what_is_remembered_of_an_untouched_file_is_not_written_again(place: Place) -> None:
    """Guards against a run over many known objects that replaced the record of each."""
    place.agree()
    (record,) = place.memory.iterdir()
    before = record.stat().st_ino, record.stat().st_mtime_ns
    assert unread(place.resumed()) == place.live.stat().st_size
    assert (record.stat().st_ino, record.stat().st_mtime_ns) == before


def test_of_a_file_that_grew_only_what_is_new_and_the_edge_are_read(place: Place) -> None:
    place.agree()
    old = place.live.stat().st_size
    place.append(2)
    assert old - 3 * 2048 < unread(place.agree()) < old


def rename(place: Place) -> None:
    """Rename the live file, as rotation does."""
    place.live.rename(place.files / "app.log.1")


def compress(place: Place) -> None:
    """Put a compressed file in the place of the live one."""
    (place.files / "app.log.1.gz").write_bytes(gzip.compress(place.live.read_bytes()))
    place.live.unlink()


def ship(place: Place) -> None:
    """Put another copy beside the live file."""
    shutil.copy(place.live, place.files / "shipped.log")


@pytest.mark.parametrize("change", [rename, compress, ship])
def test_lines_in_another_file_are_recognised(change: Callable[[Place], None], place: Place) -> None:
    place.agree()
    size = place.live.stat().st_size
    change(place)
    place.agree()
    assert unread(place.agree()) >= size


# -- whatever is done to files shows


def forge_times(path: Path, data: bytes) -> None:
    """Write something else into a file of the same size, and set its times back."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(data: bytes, at: int) -> bytes:
    """Return the same with another byte."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_lines_in_a_compressed_copy_of_a_file_that_grew_are_reported_where_they_stand(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is remembered in other chunks than it is unpacked in, and must be read once more to compare the copies."""
    monkeypatch.setattr(streams, "UNPACKED", 3000)
    for count in (20, 10, 10):
        place.agree()
        place.append(count)
    place.agree()
    data = place.live.read_bytes()
    (place.files / "copy.gz").write_bytes(gzip.compress(data))
    (place.files / "other").write_bytes(data.split(b"\n", 1)[1])
    assert any(one.path and one.path.endswith("copy.gz") for one in place.agree().findings)


def test_a_changed_line_is_found_at_once_though_the_time_of_writing_was_set_back(place: Place) -> None:
    place.agree()
    data = place.live.read_bytes()
    forge_times(place.live, flipped(data, 300))
    assert place.agree().verdict is Verdict.FAILED
    forge_times(place.live, data)
    assert "altered" not in {finding.kind for finding in place.agree().findings}


def test_a_change_that_nothing_shows_is_found_within_the_period(place: Place) -> None:
    place.agree()
    data = place.live.read_bytes()
    forge_times(place.live, flipped(data, 5000))
    place.append(2)  # now it looks like any file that grew
    place.settle()
    assert "altered" not in {finding.kind for finding in place.resumed().findings}
    assert "altered" in {finding.kind for finding in place.agree(rescan=0.000_001).findings}
    assert "altered" in {finding.kind for finding in place.agree().findings}


def test_a_report_says_when_the_oldest_byte_was_read(place: Place) -> None:
    before = time.time_ns() // 1_000_000
    place.agree()
    after = time.time_ns() // 1_000_000
    remembered = place.agree().remembered
    assert remembered is not None
    assert remembered.oldest is not None
    assert before <= remembered.oldest <= after


def test_a_file_that_is_gone_counts_for_nothing(place: Place) -> None:
    place.live.rename(place.files / "app.log.1")
    place.append(len(place.log.lines))
    assert "late start" not in {finding.kind for finding in place.agree().findings}
    (place.files / "app.log.1").unlink()
    assert {"missing", "late start"} & {finding.kind for finding in place.agree().findings}


def test_with_other_keys_nothing_is_remembered(place: Place, tmp_path: Path) -> None:
    place.agree()
    other = {"public": [tmp_path / "log.pub"]}
    assert unread(verify([place.files], **other, store="none", resume=place.memory)) == 0
    assert unread(verify([place.files], **place.keys, store="none", envelope="prefix:any", resume=place.memory)) == 0


def test_a_hidden_change_is_found_when_a_closer_look_reads_the_file_again(place: Place) -> None:
    place.agree()
    forge_times(place.live, flipped(place.live.read_bytes(), 5000))
    place.append(2)
    # A line of an epoch that stands in another file, too: those that have one are looked at line by line.
    lines = place.log.lines[: place.written]
    one = next(at for at in range(len(lines)) if position(lines[at])[2] == 1 and position(lines[at + 1])[2] == 2)
    (place.files / "one.log").write_bytes(lines[one] + b"\n")
    assert "altered" in {finding.kind for finding in place.agree().findings}


def test_a_key_of_a_later_generation_is_known_from_what_is_remembered(tmp_path: Path) -> None:
    setup = _core.setup("app", (bytes(range(32)), bytes(range(1, 33))))
    state, head, lines = setup.state(), bytes(setup.head()), []
    for chain in range(1, 260):
        sealer = Taking(state.open_chain(head, doctoring.TIME + chain))
        lines += [sealer.start(), sealer.close(doctoring.TIME + chain)]
        head = bytes(sealer.head() or b"")
    with (tmp_path / "log.key").open("wb") as file:
        setup.write_key(file.fileno())
    log = Sealed([], (tmp_path / "log.key").read_text(), setup.public_key, head, "")
    for with_v in (True, False):
        place = Place(tmp_path / str(with_v), log, with_v=with_v)
        (place.files / "old.log").write_bytes(b"".join(lines[: 2 * 257]))
        place.agree()
        (place.files / "new.log").write_bytes(b"".join(lines[2 * 257 :]))
        report = place.agree()
        assert "bad statement" not in {finding.kind for finding in report.findings}
        assert unread(report) > 0


def test_lines_in_the_records_of_a_carrier_are_read_each_time(place: Place) -> None:
    records = [{"log": f"{line.decode('latin-1')}\n", "stream": "stdout"} for line in place.log.lines]
    place.live.write_text("".join(json.dumps(record) + "\n" for record in records))
    for _ in range(2):
        resumed = place.resumed(envelope="docker")
        assert unread(resumed) == 0
        assert resumed == place.full(envelope="docker")


def test_runs_at_the_same_time_do_each_other_no_harm(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        for count in (0, 3, 3):
            place.append(count)
            place.settle()
            expected = place.full()
            reports = [run.result() for run in [pool.submit(place.resumed) for _ in range(8)]]
            assert all(report == expected for report in reports)


# -- any order of events


def history(rng: random.Random, place: Place) -> None:
    """Do one random thing that happens to logs, or that somebody does to them."""
    files = sorted(path for path in place.files.iterdir() if path.suffix != ".gz")
    some = rng.choice(files) if files else None
    what = rng.choice(
        ["append", "append", "append", "rotate", "compress", "delete", "copy", "doctor", "doctor", "tail"]
    )
    if what == "append" or some is None:
        place.append(rng.randrange(1, 30))
    elif what == "rotate" and place.live.exists():
        place.live.rename(place.files / f"app.log.{rng.randrange(10**6)}")
    elif what == "compress":
        (place.files / f"{some.name}.gz").write_bytes(gzip.compress(some.read_bytes()))
        some.unlink()
    elif what == "delete" and rng.random() < 0.5:
        rng.choice(sorted(place.files.iterdir())).unlink()
    elif what == "copy":
        shutil.copy(some, place.files / f"copy.{rng.randrange(10**6)}")
    elif what == "tail":  # lines that stand somewhere else, too
        with some.open("ab") as file:
            at = rng.randrange(len(place.log.lines))
            file.write(b"".join(line + b"\n" for line in place.log.lines[at:][: rng.randrange(1, 20)]))
    elif what == "doctor" and some.stat().st_size:
        doctor(rng, some)


def doctor(rng: random.Random, path: Path) -> None:
    """Change a file in one of the ways in which that is done."""
    data = path.read_bytes()
    at = rng.randrange(len(data))
    new = rng.choice([flipped(data, at), data[:at], data[:at] + data[at + 50 :], data[at:] + data[:at]])
    how = rng.randrange(3)
    if how == 0:
        other = path.with_suffix(".tmp")
        other.write_bytes(new)
        other.rename(path)
    elif how == 1 and len(new) == len(data):
        forge_times(path, new)
    else:
        path.write_bytes(new)


@pytest.mark.parametrize("with_v", [True, False], ids=["V", "P"])
@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_a_resumed_run_finds_what_a_full_run_finds_whatever_happened(seed: int, with_v: bool, tmp_path: Path) -> None:
    rng = random.Random(f"resume {seed} {with_v}")
    place = Place(tmp_path, long_log(rng), with_v=with_v)
    place.append(rng.randrange(1, 60))
    for _ in range(10):
        place.agree(rescan=rng.choice([86400.0, 0.05]))
        history(rng, place)
    place.agree()


# -- the directory


def records(place: Place) -> list[Path]:
    """Return the files of a memory."""
    return sorted(path for path in place.memory.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("at", [0, 8, 20, 60, -1])
def test_a_damaged_record_is_reported_and_made_again(at: int, place: Place) -> None:
    place.agree()
    (record,) = records(place)
    data = record.read_bytes()
    record.write_bytes(flipped(data, at % len(data)))
    place.settle()
    resumed, full = place.resumed(), place.full()
    assert [finding.kind for finding in resumed.findings] == [*(one.kind for one in full.findings), "memory lost"]
    assert (resumed.verdict, unread(resumed)) == (full.verdict, 0)
    assert unread(place.agree()) == place.live.stat().st_size


def test_a_record_of_another_file_in_the_place_of_one_is_not_believed(place: Place) -> None:
    place.agree()
    (record,) = records(place)
    ship(place)
    place.live.write_bytes(flipped(place.live.read_bytes(), 1500))
    place.settle()
    place.resumed()
    other = next(path for path in records(place) if path != record)
    record.write_bytes(other.read_bytes())
    resumed = place.resumed()
    assert resumed.verdict is Verdict.FAILED
    assert "memory lost" in {finding.kind for finding in resumed.findings}


def test_what_others_can_write_to_is_refused(place: Place) -> None:
    place.agree()
    place.memory.chmod(0o770)
    with pytest.raises(ReportError, match="open to other users"):
        place.resumed()


def test_a_record_that_others_can_write_to_is_not_believed(place: Place) -> None:
    place.agree()
    (record,) = records(place)
    record.chmod(0o666)
    resumed = place.resumed()
    assert "memory lost" in {finding.kind for finding in resumed.findings}
    assert unread(resumed) == 0


def test_files_of_others_in_the_directory_stay(place: Place) -> None:
    place.memory.mkdir(mode=0o700)
    other = place.memory / "notes.txt"
    other.write_text("mine")
    os.utime(other, (0, 0))
    place.agree()
    assert other.read_text() == "mine"


def test_records_that_nobody_has_had_a_use_for_are_removed(place: Place) -> None:
    place.agree()
    (record,) = records(place)
    os.utime(record, (0, 0))
    place.live.write_bytes(place.log.data[1:])
    place.agree()
    assert record not in records(place)


def test_a_memory_among_the_files_is_passed_over(place: Place) -> None:
    place.memory = place.files / "memory"
    for _ in range(3):
        place.settle()
        found = place.resumed().findings
    assert [finding.kind for finding in found if finding.kind in ("unsealed", "passed over")] == ["passed over"]


# -- what is due


def ages(parts: list[float]) -> list[Aged[int]]:
    return [Aged(number, 10, age) for number, age in enumerate(parts)]


def test_what_is_as_old_as_the_period_is_due_whatever_else_is() -> None:
    assert due(ages([100.0]), 100.0) == [0]
    assert due(ages([1.0, 250.0, 1.0, 1.0]), 100.0) == [1]
    assert due(ages([99.0]), 100.0) == []


def test_each_run_has_its_share_and_nothing_gets_older_than_the_period_allows() -> None:
    looked, shares = [0.0] * 100, []
    for now in range(1, 301):
        again = due(ages([now - when for when in looked]), 100.0)
        for number in again:
            looked[number] = float(now)
        shares.append(len(again))
        assert max(now - when for when in looked) <= 100
    assert max(shares) <= 2


def test_something_is_due_at_the_moment_that_was_foretold_and_not_before() -> None:
    rng = random.Random(7)
    for _ in range(200):
        parts = [(rng.randrange(1, 100), rng.uniform(0, 120)) for _ in range(rng.randrange(1, 8))]
        wait = due_in([Aged(number, size, age) for number, (size, age) in enumerate(parts)], 100.0)

        def after(seconds: float, parts: list[tuple[int, float]] = parts) -> list[int]:
            return due([Aged(number, size, age + seconds) for number, (size, age) in enumerate(parts)], 100.0)

        assert after(wait + 0.001)
        assert not wait or not after(wait - 0.001)


def test_nothing_is_due_where_nothing_is_remembered() -> None:
    assert due_in([], 100.0) == float("inf")
