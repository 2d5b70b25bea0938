"""What is known of many objects stands in few files, of which none is believed that was changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.verify import Report, Verdict
from tallystick.verify.memory import pack
from tests.archive.conftest import Bucket
from tests.doctoring import Sealed


def files(bucket: Bucket) -> list[Path]:
    """Return the files of the memory."""
    return sorted(path for path in (bucket.directory / "memory").iterdir() if not path.name.startswith("."))


def resumed(bucket: Bucket, **more: object) -> Report:
    """Verify what is new, which must give what a run over everything gives."""
    report = bucket.verify(resume=bucket.directory / "memory", **more)
    lost = tuple(one for one in report.findings if one.kind == "memory lost")
    full = bucket.verify()
    assert replace(report, findings=tuple(one for one in report.findings if one not in lost)) == full
    return report


def unread(report: Report) -> int:
    assert report.remembered is not None
    return report.remembered.size


def test_many_objects_are_remembered_in_one_file(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 20)
    assert unread(resumed(bucket)) == 0
    (before,) = files(bucket)
    assert unread(resumed(bucket)) == len(log.data)
    assert files(bucket) == [before]


def test_new_objects_come_into_the_same_file_until_it_is_full(
    bucket: Bucket, log: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bucket.fill(log, 16)
    for name in made:
        bucket.s3.delete_object(Bucket=bucket.name, Key=name)
    monkeypatch.setattr(pack, "LARGEST", 8000)
    counts = []
    for number, (name, data) in enumerate(made.items()):
        bucket.put(name, data)
        if number % 4 == 3:
            report = resumed(bucket)
            assert unread(report) == sum(map(len, list(made.values())[: number - 3]))
            counts.append(len(files(bucket)))
    assert report.verdict is Verdict.OK
    assert counts[0] == 1
    assert 1 < counts[-1] <= 6
    assert all(path.stat().st_size < 8000 for path in files(bucket))


def test_what_was_read_again_takes_the_place_of_what_was_known(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 6)
    first = resumed(bucket)
    again = resumed(bucket, rescan=0.000001)
    assert len(files(bucket)) == 1
    last = resumed(bucket)
    assert again.remembered is not None
    assert last.remembered is not None
    assert last.remembered.oldest is not None
    assert last.remembered.oldest > first.time


@pytest.mark.parametrize("at", [0, 8, 20, 60, -1])
def test_a_damaged_file_is_reported_and_made_again(bucket: Bucket, log: Sealed, at: int) -> None:
    bucket.fill(log, 5)
    resumed(bucket)
    (path,) = files(bucket)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    report = resumed(bucket)
    assert [one.kind for one in report.findings if one.kind == "memory lost"] == ["memory lost"]
    assert unread(report) == 0
    assert unread(resumed(bucket)) == len(log.data)


def test_what_is_known_of_a_scan_with_other_options_is_not_believed_in_the_place_of_this_one(
    bucket: Bucket, log: Sealed
) -> None:
    bucket.fill(log, 5)
    resumed(bucket)
    (mine,) = files(bucket)
    resumed(bucket, added=["host"])
    (other,) = set(files(bucket)) - {mine}
    other.write_bytes(mine.read_bytes())
    assert unread(resumed(bucket, added=["host"])) == 0


def test_a_changed_object_is_read_whatever_is_known_of_the_others(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 5)
    resumed(bucket)
    name, data = list(made.items())[2]
    bucket.put(name, data.replace(b" tally=", b"x tally=", 1))
    report = resumed(bucket)
    assert report.verdict is Verdict.FAILED
    assert unread(report) == len(log.data) - len(data)
    assert len(files(bucket)) == 1


def test_such_a_file_among_logs_is_passed_over(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 5)
    resumed(bucket)
    (path,) = files(bucket)
    path.rename(bucket.files / "known")
    report = bucket.verify(str(bucket.files))
    assert report.verdict is Verdict.OK
    assert "a record of what was verified" in " ".join(one.detail for one in report.findings)
