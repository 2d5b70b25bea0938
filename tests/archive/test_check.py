"""`archive check` sees what a verification cannot: versions that are hidden, and locks that are not there."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from tallystick.archive import Archived, check
from tallystick.cli import cli
from tallystick.errors import ReportError
from tests.archive.conftest import Bucket
from tests.archive.test_objects import refused


def put(bucket: Bucket, name: str, data: bytes, mode: str | None = "COMPLIANCE", days: int = 400) -> None:
    """Put a locked object there."""
    lock = {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=days)}
    bucket.s3.put_object(
        Bucket=bucket.name, Key=name, Body=data, ChecksumAlgorithm="SHA256", **(lock if mode is not None else {})
    )


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """A bucket of three locked objects."""
    for number in range(3):
        put(bucket, f"logs/{number}", b"line %d\n" % number)
    return bucket


def told(found: Archived) -> list[tuple[str, str, str]]:
    return [(one.kind, one.weight, one.name) for one in found.findings]


def test_locked_objects_that_nobody_touched_are_ok(filled: Bucket) -> None:
    found = check(f"{filled.url}/logs/")
    assert (found.verdict, found.objects, found.versions, found.locked, told(found)) == ("ok", 3, 3, 3, [])


def test_a_delete_marker_over_a_locked_version_is_a_failure(filled: Bucket) -> None:
    filled.s3.delete_object(Bucket=filled.name, Key="logs/1")
    found = check(f"{filled.url}/logs/**")
    assert told(found) == [("hidden", "failed", "logs/1")]
    assert "a delete marker" in found.findings[0].detail


def test_a_newer_version_over_a_locked_one_is_a_failure(filled: Bucket) -> None:
    put(filled, "logs/2", b"line X\n")
    found = check(f"{filled.url}/")
    assert told(found) == [("hidden", "failed", "logs/2")]
    assert found.versions == 4


def test_the_same_bytes_once_more_hide_nothing(filled: Bucket) -> None:
    put(filled, "logs/2", b"line 2\n")
    assert told(check(f"{filled.url}/")) == []


def test_a_version_that_is_hidden_twice_is_found(filled: Bucket) -> None:
    put(filled, "logs/1", b"other\n", None)
    filled.s3.delete_object(Bucket=filled.name, Key="logs/1")
    assert told(check(f"{filled.url}/logs/")) == [("hidden", "failed", "logs/1")]


def test_an_object_without_a_lock_beside_locked_ones_is_incomplete(filled: Bucket) -> None:
    put(filled, "logs/3", b"line 3\n", None)
    assert told(check(f"{filled.url}/logs/")) == [("unlocked", "incomplete", "logs/3")]


def test_governance_mode_is_incomplete(filled: Bucket) -> None:
    put(filled, "logs/3", b"line 3\n", "GOVERNANCE")
    assert told(check(f"{filled.url}/logs/")) == [("governance", "incomplete", "logs/3")]


def test_a_bucket_without_versions_is_incomplete(filled: Bucket) -> None:
    plain = f"{filled.name[:50]}-plain"
    filled.s3.create_bucket(Bucket=plain, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    filled.s3.put_object(Bucket=plain, Key="logs/0", Body=b"line\n")
    found = check(f"s3://{plain}/")
    assert (found.verdict, told(found)) == ("incomplete", [("unversioned", "incomplete", "")])


def test_a_version_that_cannot_be_looked_at_is_reported_and_the_rest_is_checked(filled: Bucket) -> None:
    filled.s3.delete_object(Bucket=filled.name, Key="logs/0")
    filled.between.trouble = lambda method, path, _: (
        refused(403, "AccessDenied") if method == "HEAD" and "/logs/1" in path else None
    )
    assert set(told(check(f"{filled.url}/logs/"))) == {
        ("unreadable", "incomplete", "logs/1"),
        ("hidden", "failed", "logs/0"),
    }


def test_without_the_right_to_list_versions_there_is_no_verdict(filled: Bucket) -> None:
    filled.between.trouble = lambda method, path, _: refused(403, "AccessDenied") if "versions" in path else None
    with pytest.raises(ReportError, match="cannot be listed: the store denies access"):
        check(f"{filled.url}/logs/")


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://bucket/a*b", "https://host/x"])
def test_other_places_are_refused(url: str, environment: dict[str, str]) -> None:
    with pytest.raises(ReportError, match="is no bucket of S3"):
        check(url)


def test_the_command_says_it_and_leaves_with_the_status_of_the_verdict(filled: Bucket) -> None:
    done = CliRunner().invoke(cli, ["archive", "check", f"{filled.url}/logs/"])
    assert (done.exit_code, done.stdout.split(":")[0]) == (0, "ok")
    assert "3 objects, 3 versions, 3 locked in compliance mode" in done.stdout
    filled.s3.delete_object(Bucket=filled.name, Key="logs/1")
    done = CliRunner().invoke(cli, ["archive", "check", f"{filled.url}/logs/"])
    assert (done.exit_code, done.stdout.split(":")[0]) == (5, "failed")
    assert "failed hidden logs/1\n" in done.stdout
