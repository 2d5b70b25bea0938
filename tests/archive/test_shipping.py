"""Rotated files go into an archive: each is there, whole and once, before it is removed here, whatever happens."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

import tallystick
from tallystick.errors import ReportError
from tallystick.objects.deposit import Deposit
from tallystick.securefile import Place
from tallystick.sinks.rotation import Archive, Rotation
from tallystick.verify import Verdict
from tests.archive.conftest import Bucket
from tests.archive.test_objects import refused
from tests.processes import Started
from tests.servers import until

ROUNDS = int(os.environ.get("TALLYSTICK_SHIPPED_KILLS", "12"))
LINES = 3000  # of 100 bytes, sealed: some ten files of 30 kB


class Writer:
    """A log whose rotated files go into a bucket."""

    def __init__(self, bucket: Bucket, directory: Path) -> None:
        self.bucket, self.directory = bucket, directory
        self.store = f"file:{directory}/store"
        self.place = {"store": self.store}
        self.log, self.key = directory / "app.log", directory / "app.key"
        tallystick.create("app", **self.place, custody=f"master-key:{directory}/master.key", key_file=self.key)
        self.url = f"{bucket.url}/app/"

    def rotation(self, **more: Any) -> Rotation:
        return Rotation(size=30_000, ship=self.url, **more)

    def open(self, *, troubles: list[str] | None = None, **more: Any) -> Any:
        on_trouble = (lambda text: None) if troubles is None else troubles.append
        return tallystick.open(
            "app", output=self.log, rotation=self.rotation(**more), on_trouble=on_trouble, **self.place
        )

    def rotated(self) -> list[str]:
        """Return the names of the rotated files that are here."""
        return sorted(path.name for path in self.directory.glob("app.log.0*"))

    def versions(self) -> dict[str, int]:
        """Return how many versions each object has."""
        found: dict[str, int] = {}
        for one in self.bucket.s3.list_object_versions(Bucket=self.bucket.name).get("Versions", ()):
            found[one["Key"]] = found.get(one["Key"], 0) + 1
        return found

    def verify(self, *more: Path) -> tallystick.Report:
        """Verify what is in the archive, and the file that is written."""
        return tallystick.verify([self.url, self.log, *more], keys=[self.key], **self.place)


@pytest.fixture
def writer(bucket: Bucket, tmp_path: Path) -> Writer:
    return Writer(bucket, tmp_path)


def write(log: Any, count: int = LINES) -> None:
    for number in range(count):
        log.write(f"{number:08} {'x' * 40}")


def gone(writer: Writer, log: Any) -> bool:
    """Are all rotated files in the archive only?"""
    log.write("still there")
    return not writer.rotated()


def test_rotated_files_are_in_the_archive_and_not_here(writer: Writer) -> None:
    with writer.open() as log:
        write(log)
        until(lambda: gone(writer, log), "all files to be shipped", 60)
    assert len(writer.versions()) > 5
    assert set(writer.versions().values()) == {1}
    assert all(name.startswith("app/app.log.") and name.endswith(".zst") for name in writer.versions())
    report = writer.verify()
    assert report.verdict is Verdict.OK
    said = [one.detail for one in report.findings if one.kind == "notice"]
    for name in writer.versions():
        assert any(f"{writer.bucket.url}/{name} sha256:" in text for text in said), name


def test_nothing_is_removed_before_a_head_counts_what_the_log_said(writer: Writer) -> None:
    """A notice that was sealed but not counted could be cut off with the file already gone."""
    with writer.open() as log:
        write(log, 600)
        until(lambda: gone(writer, log), "the first file to be shipped", 60)
        head = tallystick.verify([writer.url, writer.log], keys=[writer.key], **writer.place)
        assert "truncated" not in {one.kind for one in head.findings}
        assert {one.kind for one in head.findings if one.weight.value == "failed"} == set()


def test_an_outage_is_waited_for_with_the_files_kept(writer: Writer) -> None:
    troubles: list[str] = []
    writer.bucket.between.trouble = lambda method, path, _: refused(503, "SlowDown") if method == "PUT" else None
    with writer.open(troubles=troubles) as log:
        write(log)
        until(lambda: any("could not be shipped" in text for text in troubles), "the trouble to be reported", 60)
        assert writer.rotated()
        assert not writer.versions()
        assert "secret-text" not in "".join(troubles)
        writer.bucket.between.reset()
        until(lambda: gone(writer, log), "all files to be shipped", 90)
    assert any("shipped again" in text for text in troubles)
    assert writer.verify().verdict is Verdict.OK


def test_an_object_of_others_is_never_replaced(writer: Writer) -> None:
    name, troubles = "app/app.log.0000000001.zst", list[str]()
    writer.bucket.put(name, b"something else")
    with writer.open(troubles=troubles) as log:
        write(log)
        until(lambda: any("another object has the name" in text for text in troubles), "the trouble", 60)
        until(lambda: gone(writer, log) or writer.rotated() == ["app.log.0000000001.zst"], "the others", 60)
    assert writer.rotated() == ["app.log.0000000001.zst"]
    assert writer.bucket.s3.get_object(Bucket=writer.bucket.name, Key=name)["Body"].read() == b"something else"


def test_objects_are_locked_in_compliance_mode(writer: Writer) -> None:
    with writer.open(lock=400 * 86400.0) as log:
        write(log, 900)
        until(lambda: gone(writer, log), "all files to be shipped", 60)
    for name in writer.versions():
        head = writer.bucket.s3.head_object(Bucket=writer.bucket.name, Key=name)
        assert head["ObjectLockMode"] == "COMPLIANCE"
        left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=399) < left < timedelta(days=401)
    said = [one.detail for one in writer.verify().findings if one.kind == "notice"]
    assert any("retention" in text and f"{400 * 86400}" in text for text in said), "the log states the policy"


def test_a_store_that_forgets_the_lock_is_not_relied_on(writer: Writer) -> None:
    plain = f"{writer.bucket.name}-plain"[:63]
    writer.bucket.s3.create_bucket(Bucket=plain, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    writer.url, troubles = f"s3://{plain}/app", list[str]()
    with writer.open(lock=86400.0, troubles=troubles) as log:
        write(log, 900)
        until(lambda: any("could not be shipped" in text for text in troubles), "the trouble", 60)
    assert writer.rotated()


SCRIPT = """
import sys, time, tallystick
from tallystick.sinks.rotation import Rotation
url, log, store, begin = sys.argv[1:]
rotation, ignored = Rotation(size=30_000, ship=url), lambda text: None
with tallystick.open("app", output=log, rotation=rotation, store=store, on_trouble=ignored) as log:
    number = int(begin)
    while True:
        log.write(f"{number:08} {'x' * 40}")
        number += 1
        if number % 300 == 0:
            time.sleep(0.02)  # so that no more is written than can be shipped
"""


@pytest.fixture
def running(writer: Writer, environment: dict[str, str]) -> Iterator[Any]:
    """Start writers, one after the other."""
    started: list[subprocess.Popen[bytes]] = []

    def start(begin: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, writer.url, str(writer.log), writer.store, str(begin)]
        started.append(Started(command, env={**os.environ, **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_kill_at_any_instant_costs_neither_a_file_nor_a_double(writer: Writer, running: Any) -> None:
    rng = random.Random(11)
    for number in range(ROUNDS):
        process, before = running(number * 10**6), len(writer.bucket.between.calls)
        until(lambda: len(writer.bucket.between.calls) > before + rng.randrange(1, 12), "calls", 60)  # noqa: B023
        time.sleep(rng.random() / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with writer.open() as log:
        log.write("the last one")
        until(lambda: gone(writer, log), "all files to be shipped", 90)
    assert len(writer.versions()) >= ROUNDS
    assert set(writer.versions().values()) == {1}
    report = writer.verify()
    assert report.verdict is Verdict.OK
    assert "duplicate" not in {one.kind for one in report.findings}


def test_a_file_that_is_in_the_archive_already_is_only_removed(writer: Writer) -> None:
    """As after a kill between the two."""
    writer.bucket.between.trouble = lambda method, *_: refused(503, "SlowDown") if method == "PUT" else None
    with writer.open() as log:
        write(log, 900)
        until(lambda: any(name.endswith(".zst") for name in writer.rotated()), "a file to be compressed")
    # A request that was under way when the log was closed may be tried again, and be answered now.
    until(lambda: not any(one.name == "tallystick ship" for one in threading.enumerate()), "the last request", 60)
    writer.bucket.between.reset()
    for name in writer.rotated():
        writer.bucket.put(f"app/{name}", (writer.directory / name).read_bytes())
    with writer.open() as log:
        until(lambda: gone(writer, log), "all files to be removed", 60)
    assert set(writer.versions().values()) == {1}
    assert writer.verify().verdict is Verdict.OK


class Shelf:
    """Takes files, unless something is in the way."""

    def __init__(self) -> None:
        self.trouble: OSError | None = None
        self.tries = 0
        self.there: list[str] = []

    def put(self, name: str, file: IO[bytes]) -> str:
        self.tries += 1
        if self.trouble is not None:
            raise self.trouble
        self.there.append(name)
        return name


def shipped_from(directory: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf, said: list[str]) -> Archive:
    monkeypatch.setattr(Deposit, "of", lambda *_: shelf)
    for number in (1, 2, 3):
        (directory / f"app.log.{number:010}.gz").write_bytes(b"")
    return Archive(Place.of(directory / "app.log"), Rotation(size=1, ship="s3://bucket/app/"), said.append)


def test_a_link_in_the_place_of_a_rotated_file_keeps_no_other_file_from_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, said = Shelf(), list[str]()
    archive = shipped_from(tmp_path, monkeypatch, shelf, said)
    first = tmp_path / "app.log.0000000001.gz"
    first.unlink()
    first.symlink_to("/etc/passwd")
    archive.compress()
    until(lambda: len(shelf.there) == 2, "the others", 10)
    archive.finish()
    assert shelf.there == ["app.log.0000000002.gz", "app.log.0000000003.gz"]
    assert said == [f"{first} could not be shipped: it is a symbolic link; it stays until it can be"]


def test_an_outage_is_reported_once_however_many_files_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, said = Shelf(), list[str]()
    shelf.trouble = OSError(errno.EHOSTUNREACH, "no route to host")
    archive = shipped_from(tmp_path, monkeypatch, shelf, said)
    archive.compress()
    until(lambda: shelf.tries >= 6, "two rounds", 10)
    shelf.trouble = None
    until(lambda: len(said) > 1, "the end of the outage", 10)
    archive.finish()
    assert [text.partition(": ")[2] or text for text in said] == [
        "no route to host; it stays until it can be",
        "rotated files are shipped again",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/logs", "nothing can be put"),
        ("s3://bucket/*.log", "is a pattern"),
        ("logs", "names no store"),
        ("s3://user:secret@bucket/x", "password"),
    ],
)
def test_places_where_nothing_can_be_put_are_refused(url: str, said: str) -> None:
    with pytest.raises(ReportError, match=said) as error:
        Deposit.of(url)
    assert "secret" not in str(error.value)


def test_a_lock_takes_a_store_that_has_locks() -> None:
    with pytest.raises(ReportError, match="no locks that are known"):
        Deposit.of("gs://bucket/x", 60.0)


def test_what_is_shipped_does_not_stay() -> None:
    with pytest.raises(ValueError, match="keep none, or ship none"):
        Rotation(size=1000, ship="s3://bucket/x", keep=3)
    with pytest.raises(ValueError, match="only what is shipped is locked"):
        Rotation(size=1000, lock=60.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ship", "s3://b/x"], "go with --rotate-size or --rotate-age"),
        (["--rotate-size", "1MB", "--lock", "1d"], "--lock goes with --ship"),
        (["--rotate-size", "1MB", "--ship", "s3://b/x", "--keep", "3"], "leave --keep out"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(options: list[str], said: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from tallystick.cli import cli

    done = CliRunner().invoke(cli, ["seal", "app", "-o", str(tmp_path / "app.log"), *options])
    assert done.exit_code == 2
    assert said in done.output.replace("\n", " ")
