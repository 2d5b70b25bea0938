"""The digest of each file: of the bytes on the disk, as far as they were read."""

import bz2
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick import FileReport, Report, Verdict, _core, acra
from tallystick.verify import inputs as verify_inputs
from tallystick.verify import looking
from tallystick.verify.digest import Taken
from tallystick.verify.request import Request
from tallystick.verify.run import carry_out
from tests.acra.scheme import KEY
from tests.verify.test_inputs import Place, place

__all__ = ["place"]

pytestmark = pytest.mark.usefixtures("no_store")


def whole(path: Path) -> FileReport:
    """Return what is to be said of a file that was read to its end."""
    data = path.read_bytes()
    return FileReport(str(path), len(data), len(data), hashlib.sha256(data).hexdigest())


def tar(paths: list[Path]) -> bytes:
    with io.BytesIO() as made:
        with tarfile.open(fileobj=made, mode="w") as archive:
            for path in reversed(paths):  # not in the order in which members are verified
                archive.add(path, path.name)
        return made.getvalue()


def zipped(paths: list[Path]) -> bytes:
    with io.BytesIO() as made:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in reversed(paths):
                archive.write(path, path.name)
        return made.getvalue()


@pytest.mark.parametrize("chunk", [4096, 8 * 2**20])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_digest_is_of_the_bytes_on_the_disk(
    place: Place, pack: Callable[[bytes], bytes], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", chunk)
    paths = place.write(pack)
    report = place.verify(*paths, digests=True)
    assert report.verdict is Verdict.OK
    assert report.on_disk == tuple(whole(path) for path in paths)


def test_no_digest_is_taken_that_nobody_asked_for(place: Place) -> None:
    assert place.verify(*place.write()).on_disk == ()


@pytest.mark.parametrize("pack", [tar, zipped, lambda paths: gzip.compress(tar(paths))])
def test_the_digest_of_an_archive_is_of_the_archive(place: Place, pack: Callable[[list[Path]], bytes]) -> None:
    (path := place.directory / "bundle").write_bytes(pack(place.write()))
    report = place.verify(path, digests=True)
    assert (report.verdict, len(report.files)) == (Verdict.OK, 10)
    assert report.on_disk == (whole(path),)


def test_a_file_that_is_empty_or_named_twice_has_one_digest(place: Place) -> None:
    paths = place.write()
    (empty := place.logs / "zzz.log").write_bytes(b"")
    os.link(paths[0], place.logs / "app.log.0.link")
    report = place.verify(place.logs, *paths, digests=True)
    assert len(report.on_disk) == 11
    assert report.on_disk[-1] == whole(empty)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_digest_of_a_file_that_grows_is_of_what_was_read(
    place: Place, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    data = pack(b"".join(place.parts))
    (path := place.logs / "app.log").write_bytes(data)

    def grow(done: int, total: int) -> None:
        with open(path, "ab") as file:
            file.write(b"user=7 written meanwhile\n")

    report = place.verify(path, progress=grow, jobs=1, digests=True)
    (found,) = report.on_disk
    assert report.verdict is Verdict.OK
    assert (found.read, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert found.size == path.stat().st_size > found.read


def test_the_digest_of_a_file_that_shrinks_is_of_what_was_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    data = b"".join(place.parts)
    (path := place.logs / "app.log").write_bytes(data)
    report = place.verify(path, progress=lambda *_: os.truncate(path, 6000), jobs=1, digests=True)
    (found,) = report.on_disk
    assert report.verdict is not Verdict.OK
    assert found.read >= 6000
    assert found.sha256 == hashlib.sha256(data[: found.read]).hexdigest()
    assert found.size >= found.read


def test_a_damaged_file_is_digested_whole(place: Place) -> None:
    data = bytearray(gzip.compress(random.Random(7).randbytes(300_000)))
    data[1000:1100] = bytes(100)
    paths = place.write()
    (path := place.logs / "damaged.gz").write_bytes(data)
    report = place.verify(*paths, path, digests=True)
    assert "unreadable" in {finding.kind for finding in report.findings}
    assert whole(path) in report.on_disk


def test_a_file_with_a_hole_of_a_terabyte_is_digested_up_to_the_hole(place: Place) -> None:
    paths = place.write()
    (path := place.logs / "sparse.log").write_bytes(b"x" * 8192)
    os.truncate(path, 2**40)
    found = next(one for one in place.verify(*paths, path, digests=True).on_disk if one.path == str(path))
    assert found.size == 2**40
    assert 8192 <= found.read <= 8192 + 2**26
    assert found.sha256 == hashlib.sha256(b"x" * 8192 + bytes(found.read - 8192)).hexdigest()


def test_a_second_look_at_the_lines_changes_no_digest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were altered are looked at again, in a second pass over the file."""
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    lines = b"".join(place.parts).splitlines(keepends=True)
    lines[40], lines[41] = lines[41], lines[40].replace(b"user", b"USER")
    (path := place.logs / "app.log").write_bytes(b"".join(lines))
    report = place.verify(path, digests=True)
    assert report.verdict is Verdict.FAILED
    assert report.on_disk == (whole(path),)


def test_standard_input_has_a_digest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data = place.parts[0][:4096]
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    with open(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        report = place.verify("-", digests=True)
    assert report.on_disk == (FileReport("-", len(data), len(data), hashlib.sha256(data).hexdigest()),)


def test_more_files_than_may_be_open_have_their_digests(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "most_held", lambda: 2)
    paths = place.write()
    report = place.verify(*paths, digests=True)
    assert report.on_disk == tuple(whole(path) for path in paths)


def carried_out(place: Place, paths: list[Path], taken: Callable[[str, int], Taken | None]) -> tuple[FileReport, ...]:
    """Return the digests where somebody else takes some."""
    asked = {"keys": [place.directory / "keys/app.key"], "store": "none", "digests": True, "taken": taken}
    return carry_out(Request.of(paths, **asked)).on_disk


def test_a_digest_that_somebody_else_takes_is_asked_for_when_all_was_read(place: Place) -> None:
    one, *others = place.write()
    on_disk = carried_out(place, [one, *others], lambda path, _: (lambda: "f00d") if path == str(one) else None)
    assert on_disk == (replace(whole(one), sha256="f00d"), *map(whole, others))


def test_a_digest_that_somebody_else_could_not_take_is_taken_here(place: Place) -> None:
    def taken(*_: object) -> str:
        raise OSError(errno.ENOMEM, "the file is large")

    paths = place.write()
    assert carried_out(place, paths, lambda *_: taken) == tuple(map(whole, paths))


def test_logs_of_acra_have_digests(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY.hex())
    (path := tmp_path / "audit.log").write_bytes(b"a line without integrity\n" * 1000)
    report = acra.verify([path], key=tmp_path / "key", digests=True)
    assert report.on_disk == (whole(path),)
    assert [(one.path, one.kind) for one in report.keys] == [(str(tmp_path / "key"), "key of Acra")]
    assert KEY.hex() not in json.dumps(report.to_dict())


def test_a_key_is_reported_by_its_public_part(place: Place) -> None:
    path = place.directory / "keys/app.key"
    report: Report = place.verify(*place.write())
    (key,) = report.keys
    assert (key.path, key.kind, key.log) == (str(path), "verification key", "app")
    with open(path, "rb") as file:
        assert key.public_key == _core.key_info(file.fileno()).public_key  # as `tallystick key show` prints it
    assert path.read_text().strip() not in json.dumps(report.to_dict())
