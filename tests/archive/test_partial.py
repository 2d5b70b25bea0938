"""Partial results of objects: made by several runs, put together by one that may read less than they."""

import json
from dataclasses import replace
from pathlib import Path

import tallystick
from tallystick.verify import Report, Verdict, merge
from tests.archive.conftest import Bucket
from tests.archive.test_objects import kinds, refused
from tests.doctoring import Sealed


def partials(bucket: Bucket, *groups: list[str]) -> list[Path]:
    """Verify groups of objects, each in a run of its own."""
    made = []
    for number, group in enumerate(groups):
        made.append(bucket.directory / f"{number}.partial")
        bucket.verify(*(f"{bucket.url}/{name}" for name in group), partial=made[-1])
    return made


def merged(bucket: Bucket, made: list[Path], **more: object) -> Report:
    return merge(made, **{**bucket.keys, **more})  # type: ignore[arg-type]


def told(report: Report) -> str:
    return json.dumps(replace(report, time=0, seconds=0.0, remembered=None).to_dict())


def test_objects_that_did_not_change_are_not_read_again(bucket: Bucket, log: Sealed) -> None:
    names = list(bucket.fill(log, 6))
    made = partials(bucket, names[:1], names[1:4], names[4:])
    bucket.between.reset()
    report = merged(bucket, made, digests=True)
    quoted = {one.path for one in report.findings if one.path is not None}
    assert {path.rpartition("/")[2] for path in bucket.between.reads()} <= {q.rpartition("/")[2] for q in quoted}
    assert told(report) == told(bucket.verify(digests=True))
    assert report.verdict is Verdict.OK


def test_objects_under_a_pattern_are_listed_once_more(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 6)
    last = made.popitem()
    bucket.s3.delete_object(Bucket=bucket.name, Key=last[0])
    results = partials(bucket, ["logs/*[0-2].log"], ["logs/*[3-9].log"])
    bucket.put(*last)
    bucket.between.reset()
    assert told(merged(bucket, results)) == told(bucket.verify())
    bucket.s3.delete_object(Bucket=bucket.name, Key="logs/0001.log")
    assert merged(bucket, results).verdict is Verdict.FAILED


def test_an_older_version_that_was_put_back_is_judged_as_it_is(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 4)
    results = partials(bucket, list(made))
    bucket.put("logs/0003.log", made["logs/0003.log"][: made["logs/0003.log"].rindex(b"\n", 0, -1) + 1])
    report = merged(bucket, results)
    assert report.verdict is Verdict.FAILED
    assert told(report) == told(bucket.verify())


def test_a_partial_result_names_urls_sizes_etags_and_versions(bucket: Bucket, log: Sealed) -> None:
    from tallystick import _core
    from tallystick.verify.memory.holder import Stored
    from tallystick.verify.memory.partial import Partial

    bucket.fill(log, 2)
    (one,) = partials(bucket, ["logs/"])
    keys = _core.Keys()
    with open(bucket.directory / "log.key", "rb") as file:
        keys.add_key(file.fileno())
    for record in Partial.of(one.read_bytes(), keys).records:
        assert isinstance(record.holder, Stored)
        name = record.holder.url.removeprefix(f"{bucket.url}/")
        head = bucket.s3.head_object(Bucket=bucket.name, Key=name)
        assert (record.holder.size, record.holder.etag) == (head["ContentLength"], head["ETag"])
        assert record.holder.version == head["VersionId"]


# -- without rights


def deny(bucket: Bucket, *methods: str, lists: bool = True) -> None:
    """Let the store deny lists, and requests of some methods."""
    bucket.between.trouble = lambda method, path, _: (
        refused(403, "AccessDenied") if method in methods or (lists and "list-type" in path) else None
    )


def test_without_the_right_to_list_it_is_as_of_a_time(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 4)
    results = partials(bucket, ["logs/"])
    deny(bucket, "HEAD", "GET")
    report = merged(bucket, results)
    assert (report.verdict, kinds(report) & {"as of", "unreadable", "missing"}) == (Verdict.INCOMPLETE, {"as of"})
    assert all("counts as of 20" in one.detail for one in report.findings if one.kind == "as of")
    allowed = merged(bucket, results, allow=["as of"])
    assert allowed.verdict is Verdict.OK
    assert allowed.allowed == ("allowed: as of",)


def test_single_objects_that_may_not_be_looked_at_are_as_of_a_time(bucket: Bucket, log: Sealed) -> None:
    names = list(bucket.fill(log, 3))
    results = partials(bucket, names)
    deny(bucket, "HEAD", "GET")
    report = merged(bucket, results)
    assert (report.verdict, kinds(report) & {"as of", "unreadable", "missing"}) == (Verdict.INCOMPLETE, {"as of"})
    assert sum(one.count for one in report.findings if one.kind == "as of") == 3


def test_an_object_that_can_be_seen_to_have_gone_is_missing_though_nothing_may_be_listed(
    bucket: Bucket, log: Sealed
) -> None:
    bucket.fill(log, 4)
    results = partials(bucket, ["logs/"])
    bucket.s3.delete_object(Bucket=bucket.name, Key="logs/0001.log")
    deny(bucket)
    assert merged(bucket, results, allow=["as of"]).verdict is Verdict.FAILED


def test_lines_that_no_partial_result_has_are_missing_though_nothing_may_be_listed(bucket: Bucket, log: Sealed) -> None:
    names = list(bucket.fill(log, 4))
    results = partials(bucket, names[:1], names[2:])
    deny(bucket, "HEAD", "GET")
    assert merged(bucket, results, allow=["as of"]).verdict is Verdict.FAILED


def test_a_bucket_that_is_gone_is_no_reason_to_believe_what_was(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 3)
    results = partials(bucket, ["logs/"])
    bucket.between.trouble = lambda method, path, _: refused(404, "NoSuchBucket") if method == "GET" else None
    report = merged(bucket, results, allow=["as of"])
    assert report.verdict is not Verdict.OK
    assert not report.logs[0].sealed


def test_the_command_line_says_the_same(bucket: Bucket, log: Sealed) -> None:
    from click.testing import CliRunner

    from tallystick.cli import cli

    names = list(bucket.fill(log, 3))
    keys = ["--key", str(bucket.directory / "log.key"), "--head", str(bucket.directory / "log.head"), "--pins", "none"]
    files = [str(bucket.directory / f"{number}.partial") for number in range(3)]
    for name, file in zip(names, files, strict=True):
        done = CliRunner().invoke(cli, ["verify", f"{bucket.url}/{name}", *keys, "--partial", file])
        assert done.exit_code in (0, 3, 5)
    done = CliRunner().invoke(cli, ["merge", *files, *keys])
    assert done.exit_code == 0, done.output
    assert "ok: every line is as it was sealed" in done.stdout
    assert CliRunner().invoke(cli, ["merge", files[0], *keys]).exit_code == 5
    assert (
        CliRunner().invoke(cli, ["verify", f"{bucket.url}/", *keys, "--partial", files[0], "--resume", "x"]).exit_code
        == 2
    )
    assert tallystick.merge is merge
