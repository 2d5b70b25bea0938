"""Objects are inputs like files: what is found in them is what is found in the same files, whatever the store does."""

import gzip
import importlib
import io
import json
import random
import re
import tarfile
from dataclasses import replace

import pytest

from tallystick.errors import ReportError
from tallystick.objects import Ahead, connect
from tallystick.objects.ahead import MOST, PIECE
from tallystick.reports import render
from tallystick.verify import Report, Verdict
from tallystick.verify.streams import zstd
from tests.archive.conftest import Bucket
from tests.doctoring import Sealed


def told(report: Report, bucket: Bucket) -> dict[str, object]:
    """Return a report as plain values, without times, and with objects called as the files are."""
    text = json.dumps(replace(report, time=0, seconds=0.0, remembered=None).to_dict())
    return dict(json.loads(text.replace(bucket.url + "/", f"{bucket.directory}/")))


def kinds(report: Report) -> set[str]:
    return {finding.kind.value for finding in report.findings}


@pytest.mark.parametrize("form", ["{}/logs/", "{}/logs/*.log", "{}/**", "{}/logs", "{}/l?gs/[0-9]*"])
def test_objects_are_found_by_names_beginnings_and_patterns(bucket: Bucket, log: Sealed, form: str) -> None:
    bucket.fill(log, 5)
    bucket.put("other/0000.txt", b"")
    assert told(bucket.verify(form.format(bucket.url)), bucket) == told(bucket.verify(str(bucket.files)), bucket) | (
        {"files": [f"{bucket.files}/{n:04}.log" for n in range(5)] + [f"{bucket.directory}/other/0000.txt"]}
        if "**" in form
        else {}
    )


def test_single_objects_are_named(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 12)
    report = bucket.verify(*(f"{bucket.url}/{name}" for name in made))
    assert report.verdict is Verdict.OK
    assert len(report.files) == 12


def pack_gzip(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


def pack_zstd(data: bytes) -> bytes:
    half = len(data) // 2
    return zstd.compress(data[:half]) + zstd.compress(data[half:])


@pytest.mark.parametrize("pack", [pack_gzip, pack_zstd])
def test_compressed_objects_are_unpacked_whatever_their_names(bucket: Bucket, log: Sealed, pack) -> None:
    for name, data in bucket.fill(log, 3).items():
        bucket.put(name, pack(data))
    report = bucket.verify()
    assert report.verdict is Verdict.OK
    assert report.size == len(log.data)


@pytest.mark.parametrize("name", ["all.tar", "all.log"])
def test_members_of_a_tar_are_inputs_whatever_its_name(bucket: Bucket, log: Sealed, name: str) -> None:
    made, held = bucket.fill(log, 3), io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for member, data in made.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    bucket.put(name, held.getvalue())
    report = bucket.verify(f"{bucket.url}/{name}")
    assert report.verdict is Verdict.OK
    assert report.files == tuple(f"{bucket.url}/{name}:{member}" for member in made)


def test_columns_of_parquet_objects_are_read_in_parts_and_remembered(bucket: Bucket, log: Sealed) -> None:
    pyarrow, held = pytest.importorskip("pyarrow"), io.BytesIO()
    table = pyarrow.table({"line": log.lines, "other": [random.Random(1).randbytes(2000)] * len(log.lines)})
    importlib.import_module("pyarrow.parquet").write_table(table, held, use_dictionary=False, compression="none")
    bucket.fill(log, 1)
    bucket.put("tables/a.parquet", held.getvalue())
    bucket.put("tables/b", held.getvalue())
    options = {"envelope": "parquet", "field": "line", "resume": bucket.directory / "memory"}
    for name in ("a.parquet", "b"):
        report = bucket.verify(f"{bucket.url}/tables/{name}", **options)
        assert (report.verdict, report.lines) == (Verdict.OK, bucket.verify(str(bucket.files)).lines)
        again = bucket.verify(f"{bucket.url}/tables/{name}", **options)
        assert again == report
        assert again.remembered is not None
        assert again.remembered.size == len(log.data)


def test_a_key_among_the_objects_is_passed_over(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 2)
    bucket.put("logs/a.key", log.key.encode())
    report = bucket.verify()
    assert report.verdict is Verdict.OK
    assert "passed over" in kinds(report)
    assert log.key.strip() not in render(report, "json", 80)


# -- attacks across the borders of objects


def dropped(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.s3.delete_object(Bucket=bucket.name, Key="logs/0002.log")


def swapped(bucket: Bucket, made: dict[str, bytes]) -> None:
    """The contents of two objects in each other's place are still the same lines; one of them twice is not."""
    bucket.put("logs/0002.log", made["logs/0003.log"])


def older(bucket: Bucket, made: dict[str, bytes]) -> None:
    """A shorter version, as it was once, is the newest again."""
    bucket.put("logs/0003.log", made["logs/0003.log"][: made["logs/0003.log"].rindex(b"\n", 0, -1) + 1])


def truncated(bucket: Bucket, made: dict[str, bytes]) -> None:
    """Of an upload in parts the last one is not there."""
    key = {"Bucket": bucket.name, "Key": "logs/0002.log"}
    upload = bucket.s3.create_multipart_upload(**key)["UploadId"]
    body = made["logs/0002.log"][:200]
    part = bucket.s3.upload_part(**key, PartNumber=1, UploadId=upload, Body=body)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    bucket.s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})


def moved_line(bucket: Bucket, made: dict[str, bytes]) -> None:
    """The last line of an object was changed, and the first of the next."""
    data = made["logs/0001.log"]
    bucket.put("logs/0001.log", data[:-30] + b"x" + data[-29:])


@pytest.mark.parametrize("attack", [dropped, swapped, older, truncated, moved_line])
def test_what_is_done_to_objects_is_found_as_in_files(bucket: Bucket, log: Sealed, attack) -> None:
    made = bucket.fill(log, 5)
    assert bucket.verify(resume=bucket.directory / "memory").verdict is Verdict.OK
    attack(bucket, made)
    found = bucket.verify()
    assert found.verdict is Verdict.FAILED
    for path in bucket.files.iterdir():
        path.unlink()
    for one in bucket.s3.list_objects_v2(Bucket=bucket.name)["Contents"]:
        body = bucket.s3.get_object(Bucket=bucket.name, Key=one["Key"])["Body"].read()
        (bucket.directory / one["Key"]).write_bytes(body)
    assert told(found, bucket) == told(bucket.verify(str(bucket.files)), bucket)
    assert bucket.verify(resume=bucket.directory / "memory") == found


def test_an_object_that_is_replaced_while_it_is_read_is_read_once_more(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 3)
    bucket.put("logs/0001.log", made["logs/0001.log"] + made["logs/0000.log"])  # more than there should be

    def replaced(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "GET" and path.endswith("/0001.log"):
            bucket.between.trouble = lambda *_: None
            bucket.put("logs/0001.log", made["logs/0001.log"])

    bucket.between.trouble = replaced
    report = bucket.verify()
    assert report.verdict is Verdict.OK
    assert report.size == len(log.data)


def test_an_object_that_never_stays_the_same_is_reported(bucket: Bucket, log: Sealed) -> None:
    made, rounds = bucket.fill(log, 3), iter(range(1, 100))

    def replaced(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "GET" and path.endswith("/0001.log"):
            bucket.put("logs/0001.log", made["logs/0001.log"] + b"\n" * next(rounds))

    bucket.between.trouble = replaced
    report = bucket.verify()
    assert report.verdict is Verdict.INCOMPLETE
    (unreadable,) = [one for one in report.findings if one.kind == "unreadable"]
    assert "it was replaced before it was read" in unreadable.detail


# -- a store with troubles


def refused(status: int, code: str) -> tuple[int, bytes, dict[str, str]]:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>secret-text</Message></Error>"
    return status, text.encode(), {"Content-Type": "application/xml"}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "the store denies access (accessdenied)"),
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (400, "AuthorizationHeaderMalformed", "another region: set aws_region"),
        (404, "NoSuchKey", "no such object"),
    ],
)
def test_one_object_of_many_that_cannot_be_read_is_reported_and_the_rest_is_verified(
    bucket: Bucket, log: Sealed, status: int, code: str, said: str
) -> None:
    bucket.fill(log, 6)
    bucket.between.trouble = lambda method, path, _: (
        refused(status, code) if method == "GET" and path.endswith("/0003.log") else None
    )
    report = bucket.verify()
    assert report.verdict is Verdict.INCOMPLETE
    unreadable = [one for one in report.findings if one.kind == "unreadable"]
    assert len(unreadable) == 1
    assert said in unreadable[0].detail
    assert "secret-text" not in render(report, "json", 80)
    whole = bucket.verify(*(str(path) for path in bucket.files.iterdir()))
    lacking = log.data.count(b"\n") - report.lines
    assert 0 < lacking < whole.lines


def test_throttling_is_waited_for(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 4)
    slow = iter([refused(503, "SlowDown")] * 5)
    bucket.between.trouble = lambda method, path, _: next(slow, None)
    assert bucket.verify().verdict is Verdict.OK


def test_a_range_that_ends_too_early_is_asked_for_once_more(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 3)
    broken = iter([True, True])

    def cut(method: str, path: str, answer):
        status, data, headers = answer
        if method == "GET" and path.endswith("/0001.log") and next(broken, False):
            return status, data[:100], {**headers, "Content-Length": str(len(data))}
        return answer

    bucket.between.altered = cut
    assert bucket.verify().verdict is Verdict.OK


@pytest.mark.parametrize("size", [0, 5 * 2**40])
def test_a_size_that_is_not_true_is_reported(bucket: Bucket, log: Sealed, size: int) -> None:
    made = bucket.fill(log, 3)
    true = len(made["logs/0001.log"])

    def lying(method: str, path: str, answer):
        status, data, headers = answer
        if "list-type" in path:
            data = data.replace(f"<Size>{true}</Size>".encode(), f"<Size>{size}</Size>".encode())
        return status, data, headers

    bucket.between.altered = lying
    report = bucket.verify()
    assert report.verdict is (Verdict.FAILED if size == 0 else Verdict.INCOMPLETE)
    assert ("missing" if size == 0 else "unreadable") in kinds(report)


def test_an_etag_that_stands_without_quotes_in_a_list_is_the_same(bucket: Bucket, log: Sealed) -> None:
    """Guards against Azure's lists, by which no object could be read."""
    bucket.fill(log, 3)

    def unquoted(method: str, path: str, answer):
        status, data, headers = answer
        if "list-type" in path:
            data, count = re.subn(
                rb"<ETag>(?:&quot;|&#34;|\")(\w+)(?:&quot;|&#34;|\")</ETag>", rb"<ETag>\1</ETag>", data
            )
            assert count == 3
        return status, data, headers

    bucket.between.altered = unquoted
    assert bucket.verify().verdict is Verdict.OK


def test_an_empty_object_is_an_empty_file(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 2)
    bucket.put("logs/9999.log", b"")
    assert bucket.verify().verdict is Verdict.OK


@pytest.mark.parametrize("name", ["logs//x.log", "logs/../x.log", "logs/./x.log", "logs/x\x01.log"])
def test_an_object_by_whose_name_nothing_can_be_read_keeps_nobody_from_reading_the_others(
    bucket: Bucket, log: Sealed, name: str
) -> None:
    bucket.fill(log, 3)
    before = bucket.verify()
    bucket.put(name, b"a line\n")
    report = bucket.verify()
    assert report.verdict is Verdict.INCOMPLETE
    assert report.lines == before.lines
    (lacking,) = (one for one in report.findings if one not in before.findings)
    assert (lacking.kind, lacking.path) == ("unreadable", f"{bucket.url}/{name}")


def test_a_bucket_that_is_not_there_is_reported(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 2)
    report = bucket.verify(f"{bucket.url}/logs/", "s3://no-such-bucket-here/logs/")
    assert report.verdict is Verdict.INCOMPLETE
    assert any("there is no such bucket" in one.detail for one in report.findings)


def test_a_list_that_is_refused_excuses_nothing_as_ok(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 2)
    bucket.between.trouble = lambda method, path, _: refused(403, "AccessDenied") if "list-type" in path else None
    report = bucket.verify()
    assert report.verdict is Verdict.INCOMPLETE


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:///name", "names no store"),
        ("https://user:pass@host/x.log", "holds a password or a query"),
        ("https://host/x.log?X-Amz-Signature=abc", "holds a password or a query"),
        ("http://example.org/x.log", "not encrypted"),
    ],
)
def test_a_url_that_would_show_a_secret_or_say_nothing_is_refused(
    bucket: Bucket, log: Sealed, url: str, said: str
) -> None:
    bucket.fill(log, 1)
    with pytest.raises(ReportError, match=said) as error:
        bucket.verify(url)
    assert "pass@" not in str(error.value)
    assert "abc" not in str(error.value)


# -- effort


def test_objects_that_are_remembered_are_not_scanned_again(bucket: Bucket, log: Sealed) -> None:
    made, memory = bucket.fill(log, 5), bucket.directory / "memory"
    first = bucket.verify(resume=memory)
    bucket.between.reset()
    assert bucket.verify(resume=memory) == first
    quoted = {one.path for one in first.findings if one.path is not None}
    read = {path.partition("/logs/")[2] for path in bucket.between.reads()}
    assert read <= {path.rpartition("/")[2] for path in quoted}, "only lines that the report quotes are read"
    assert len(quoted) < len(made)


def test_remembered_objects_are_read_again_when_it_is_time(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 5)
    memory = bucket.directory / "memory"
    first = bucket.verify(resume=memory)
    bucket.between.reset()
    assert bucket.verify(resume=memory, rescan=0.000001) == first
    assert len(bucket.between.reads()) >= 5


def test_a_large_object_is_read_ahead_and_never_held_whole(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    size = 3 * MOST + 5
    store, asked, taken = connect(bucket.url), [], 0
    bucket.put("large", b"x")
    one = replace(store.look("large"), size=size)

    def read(_self: object, _one: object, start: int, end: int) -> bytes:
        asked.append(end - start)
        assert sum(asked) - taken <= MOST
        return bytes(end - start)

    monkeypatch.setattr(type(store), "read", read)
    ahead = Ahead()
    ahead.plan([(one, 0, None)])
    while taken < size:
        piece = ahead.take(one, taken)
        assert piece is not None
        taken += len(piece)
    ahead.close()
    assert sum(asked) == size
    assert max(asked) == PIECE
