"""Archives and encodings as people send them: read where they are known, named with what to do where they are not."""

import bz2
import codecs
import gzip
import io
import lzma
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from tallystick.verify import Report, Verdict, archives, streams
from tallystick.verify.streams import zstd
from tests.verify.test_constructed import kinds
from tests.verify.test_inputs import Place, growing, place, unreadable

__all__ = ["growing", "place"]

pytestmark = pytest.mark.usefixtures("no_store")

lz4 = pytest.importorskip("lz4.frame")

Pack = Callable[[bytes], bytes]
WHOLE: dict[str, Pack] = {
    "plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress, "xz": lzma.compress, "bz2": bz2.compress,
    "lz4": lz4.compress,
}  # fmt: skip


def tarred(members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, **more: object) -> bytes:
    with tarfile.open(fileobj=(held := io.BytesIO()), mode="w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(held := io.BytesIO(), "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return held.getvalue()


def members(place: Place, pack: Pack = bytes) -> list[tuple[str, bytes]]:
    return [(f"var/log/app.log.{number}", pack(part)) for number, part in enumerate(place.parts)]


def verified(place: Place, data: bytes, name: str = "bundle") -> Report:
    """Verify an archive; nothing may be written beside it."""
    (path := place.logs / name).write_bytes(data)
    (place.directory / "blank").touch()  # so that there is something to read
    report = place.verify(path, place.directory / "blank")
    assert sorted(each.name for each in place.logs.iterdir()) == [name]
    return report


def said(report: Report) -> str:
    return " ".join(f.detail for f in report.findings if f.kind == "unreadable")


# -- what is read


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("whole", WHOLE)
def test_members_of_tar_archives_are_inputs(place: Place, whole: str, form: int) -> None:
    report = verified(place, WHOLE[whole](tarred(members(place), form)), "bundle.tar.gz")
    assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines)
    assert report.files[4] == f"{place.logs}/bundle.tar.gz:var/log/app.log.3"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_zip_archives_are_inputs(place: Place, method: int) -> None:
    report = verified(place, zipped(members(place), method))
    assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines)


@pytest.mark.parametrize("pack", WHOLE)
def test_members_may_be_compressed_themselves(place: Place, pack: str) -> None:
    for data in (tarred(members(place, WHOLE[pack])), zipped(members(place, WHOLE[pack]))):
        assert verified(place, data).findings == ()


def test_what_is_wrong_in_a_member_is_reported_at_its_place(place: Place) -> None:
    place.parts[4] = place.parts[4].replace(b"line 7 ", b"line 8 ", 1)
    place.parts[5] += b"no seal \x1b[31m\n"
    for data in (tarred(members(place)), gzip.compress(tarred(members(place))), zipped(members(place))):
        report = verified(place, data)
        found = {(f.kind, f.path, f.line): f.excerpt for f in report.findings}
        assert report.verdict is Verdict.FAILED
        assert found["altered", f"{place.logs}/bundle:var/log/app.log.4", 9].startswith("line 8 ")
        assert found["unsealed", f"{place.logs}/bundle:var/log/app.log.5", 125] == "no seal \\x1b[31m"


def test_an_archive_is_unpacked_once_for_all_its_members(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, real = [0], streams.blocks

    def blocks(*arguments: object) -> object:
        begun[0] += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(streams, "blocks", blocks)
    assert verified(place, gzip.compress(tarred(members(place)))).verdict is Verdict.OK
    assert begun[0] <= 6


def test_lz4_is_read_and_cut_lz4_is_reported(place: Place) -> None:
    packed = lz4.compress(b"".join(place.parts), content_checksum=True)
    assert verified(place, packed).findings == ()
    assert verified(place, packed + packed).verdict is Verdict.FAILED  # everything twice
    report = verified(place, packed[: len(packed) // 2])
    assert unreadable(report) == [str(place.logs / "bundle")]
    report = verified(place, packed[:500] + bytes(64) + packed[564:])
    assert unreadable(report) == [str(place.logs / "bundle")]


def test_without_the_package_lz4_is_reported_with_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    report = verified(place, lz4.compress(b"".join(place.parts)))
    assert "pip install 'tallystick[lz4]'" in said(report)


# -- what attackers make of it


@pytest.mark.parametrize(
    "name", ["evil\nok: x.log", "a\x1b[31m.log", "../../etc/passwd", "/etc/passwd", "a\u202eb", "x" * 300]
)
def test_names_in_archives_do_nothing(place: Place, name: str) -> None:
    from tallystick.reports import FORMS, render

    for data in (tarred([(name, b"".join(place.parts) + b"no seal\n")]), zipped([(name, b"no seal\n")])):
        report = verified(place, data)
        assert report.verdict is Verdict.FAILED
        text = render(report, "text")
        assert not any(bad in text for bad in ("\x1b", "\nok:", "\u202e"))
        for form in FORMS:
            assert "\x1b" not in render(report, form)


def test_two_members_of_one_name_are_both_read(place: Place) -> None:
    twice = [("app.log", b"".join(place.parts)), ("app.log", b"no seal\n")]
    report = verified(place, tarred(twice))
    assert report.verdict is Verdict.FAILED
    (unsealed,) = (f for f in report.findings if f.kind == "unsealed")
    assert (unsealed.path, unsealed.excerpt) == (f"{place.logs}/bundle:app.log (2)", "no seal")


def test_links_devices_and_directories_in_archives_are_passed_over(place: Place) -> None:
    with tarfile.open(fileobj=(held := io.BytesIO()), mode="w") as tar:
        for name, data in members(place):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ):
            info = tarfile.TarInfo(f"odd{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    report = verified(place, held.getvalue())
    assert (report.verdict, kinds(report), report.findings[0].count) == (Verdict.OK, {"passed over"}, 5)
    with zipfile.ZipFile(held := io.BytesIO(), "w") as archive:
        for name, data in members(place):
            archive.writestr(name, data)
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("directory")
    report = verified(place, held.getvalue())
    assert (report.verdict, kinds(report), report.findings[0].count) == (Verdict.OK, {"passed over"}, 1)


@pytest.mark.parametrize("whole", ["plain", "gzip", "zstd"])
def test_an_archive_that_is_cut_is_reported_and_what_comes_before_is_verified(place: Place, whole: str) -> None:
    data = tarred(members(place))
    ends = [len(data) // 2, len(data) // 3, 700, 512]
    # At the edge of a member nothing but the end mark is lacking.
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        ends += [info.offset for info in tar][3:5]
    for end in ends:
        report = verified(place, WHOLE[whole](data[:end]))
        assert report.verdict is Verdict.INCOMPLETE  # what the head counts may stand in what was not read
        assert unreadable(report)
        assert "may be missing" in said(report) or "became shorter" in said(report) or "damaged" in said(report)
    packed = WHOLE[whole](data)
    if whole != "plain":
        assert unreadable(verified(place, packed[: len(packed) // 2]))
    assert unreadable(verified(place, WHOLE[whole](data + b"hidden\n")))


def test_any_wrong_bytes_in_an_archive_are_never_ok_where_they_matter_and_never_break(place: Place) -> None:
    rng = random.Random(3)
    del place.parts[3:]
    (place.directory / "blank").touch()
    for data in (tarred(members(place)), gzip.compress(tarred(members(place))), zipped(members(place))):
        for _ in range(60):
            broken = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                at = rng.choice([rng.randrange(len(data)), rng.randrange(600), -rng.randrange(1, 400)])
                broken[at] ^= 1 << rng.randrange(8)
            (place.logs / "bundle").write_bytes(bytes(broken))
            report = place.verify(place.logs / "bundle", place.directory / "blank", jobs=1)
            assert report.verdict is not Verdict.OK  # the head counts more than is here


def test_the_tools_of_the_trade_make_what_is_read(place: Place) -> None:
    paths = place.write()
    for name, command in {
        "a.tar.xz": ["tar", "-cJf"], "a.tar": ["tar", "--format=v7", "-cf"], "b.tar": ["tar", "--format=oldgnu", "-cf"],
    }.items():  # fmt: skip
        made = place.directory / name
        subprocess.run([*command, made, *paths], check=True, capture_output=True)
        report = place.verify(made)
        assert (report.verdict, report.findings) == (Verdict.OK, ()), name


@pytest.mark.parametrize("nested", [tarred, zipped])
def test_an_archive_in_an_archive_is_reported(place: Place, nested: Callable[..., bytes]) -> None:
    inner = nested(members(place))
    for outer in (tarred, zipped):
        report = verified(place, outer([*members(place), ("inner", inner)]))
        assert unreadable(report) == [f"{place.logs}/bundle:inner"]
        assert "an archive in an archive" in said(report)
        assert report.verdict is Verdict.INCOMPLETE
    report = verified(place, tarred([*members(place), ("inner.gz", gzip.compress(inner))]))
    assert unreadable(report) == [f"{place.logs}/bundle:inner.gz"]


def encrypted(data: bytes) -> bytes:
    """Say of each member of a zip archive that it is encrypted."""
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        pieces = data.split(magic)
        data = magic.join([pieces[0]] + [p[: at - 4] + bytes([p[at - 4] | 1]) + p[at - 3 :] for p in pieces[1:]])
    return data


def test_an_encrypted_zip_archive_is_reported(place: Place) -> None:
    report = verified(place, encrypted(zipped(members(place))))
    assert len(unreadable(report)) == 10
    assert "encrypted; unpack it first" in said(report)


def test_bombs_of_zip_and_tar_are_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FREE", 2**24)
    zeros = bytes(2**26)
    for data in (
        zipped([("bomb", zeros)], zipfile.ZIP_BZIP2),
        zipped([("bomb", bz2.compress(zeros))]),
        bz2.compress(tarred([("bomb", zeros)])),
        tarred([("bomb", zstd.compress(zeros))]),
    ):
        assert len(data) < 100_000
        report = verified(place, data)
        assert unreadable(report)
        assert report.verdict is not Verdict.OK


def test_members_of_zip_that_overlap_are_reported(place: Place) -> None:
    """David Fifield's: a directory that names one member a thousand times."""
    data = zipped([("a", b"x" * 100_000), ("b", b"y" * 100_000)])
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    end = data.index(b"PK\x05\x06")
    entry = data[second:end]
    entry = entry[:42] + data[first:second][42:46] + entry[46:]  # where the first one is
    directory = data[first:second] + entry
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), first, 0)
    report = verified(place, data[:first] + directory + tail)
    assert "overlap" in said(report)


def test_tar_headers_that_ask_for_much_memory_or_lead_backwards_are_reported(place: Place) -> None:
    def header(kind: bytes, size: bytes) -> bytes:
        info = tarfile.TarInfo("x")
        info.type = kind
        raw = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
        raw[124:136] = size
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
        return bytes(raw)

    huge, negative = b"77777777777\0", b"\xff" * 11 + b"\x00"
    whole = tarred(members(place))[:-10240]
    for size in (huge, negative):
        for kind in (b"0", b"L", b"K", b"x", b"g", b"S"):
            for data in (header(kind, size), whole + header(kind, size) + bytes(4096)):
                report = verified(place, data)
                assert report.verdict is not Verdict.OK
                assert unreadable(report)
    chain = (header(b"L", b"00000000002\0") + b"a\0" + bytes(510)) * 3000
    assert unreadable(verified(place, whole + chain))


def test_an_archive_of_too_many_members_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST", 8)
    for data in (tarred(members(place)), zipped(members(place))):
        report = verified(place, data)
        assert "more than 8 members" in said(report)
        assert report.verdict is Verdict.INCOMPLETE


def test_keys_in_archives_are_passed_over(place: Place) -> None:
    key = (place.directory / "keys/app.key").read_bytes()
    for data in (tarred([*members(place), ("app.key", key)]), zipped([*members(place), ("app.key", key)])):
        report = verified(place, data)
        assert (report.verdict, kinds(report)) == (Verdict.OK, {"passed over"})
        assert report.findings[0].path == f"{place.logs}/bundle:app.key"


# -- what is not read is named


@pytest.mark.parametrize(
    ("beginning", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7-Zip"),
        (b"Rar!\x1a\x07\x01\x00", "RAR"),
        (b"\x1f\x9d\x90abc", "compress"),
        (b"LPKSHHRH" + bytes(20), "journalctl"),
        (b"age-encryption.org/v1\n-> X25519 x\n", "age"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(place: Place, beginning: bytes, what: str) -> None:
    paths = place.write()
    (place.directory / "odd").write_bytes(beginning + b"user=7\n" * 100)
    report = place.verify(*paths, place.directory / "odd")
    assert unreadable(report) == [str(place.directory / "odd")]
    assert what in said(report)
    assert report.verdict is Verdict.INCOMPLETE
    (place.directory / "odd").write_bytes(b"user=7 " + beginning.strip() + b"\n")  # in a line it is a line
    assert place.verify(*paths, place.directory / "odd").verdict is Verdict.FAILED


# -- encodings


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", [True, False])
def test_text_in_utf_16_and_32_is_decoded(place: Place, code: str, mark: bool, end: bytes) -> None:
    def convert(data: bytes) -> bytes:
        return (("\ufeff" if mark else "") + data.replace(b"\n", end).decode()).encode(code)

    report = place.verify(*place.write(convert))
    assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines)
    place.parts[4] = place.parts[4].replace(b"line 7 ", b"line 8 ", 1)
    report = place.verify(*place.write(lambda data: gzip.compress(convert(data))))
    (altered,) = (f for f in report.findings if f.kind == "altered")
    assert altered.line == 9
    assert str(altered.excerpt).startswith("line 8 ")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_is_named_as_the_cause(place: Place, end: bytes) -> None:
    paths = place.write(lambda data: data.replace(b"\n", end))
    assert place.verify(*paths).findings == ()
    paths = place.write(lambda data: codecs.BOM_UTF8 + data.replace(b"\n", end))
    report = place.verify(*paths)
    assert report.verdict is Verdict.FAILED
    altered = [f for f in report.findings if f.kind == "altered"]
    assert len(altered) == 10
    assert all("byte order mark" in str(f.cause) for f in altered)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_between_files_that_were_put_together_is_named_as_the_cause(place: Place, end: bytes) -> None:
    """`cat a b`, where the text of b was converted."""
    data = b"".join([*place.parts[:4], codecs.BOM_UTF8, *place.parts[4:]]).replace(b"\n", end)
    (place.logs / "all.log").write_bytes(data)
    report = place.verify(place.logs / "all.log")
    (altered,) = (f for f in report.findings if f.kind in ("altered", "bad statement", "missing"))
    assert (report.verdict, altered.kind) == (Verdict.FAILED, "altered")
    assert "byte order mark" in str(altered.cause)


def test_a_byte_order_mark_that_was_sealed_belongs_to_its_line(growing: Place) -> None:
    growing.writer.lines.clear()
    growing.writer.open()
    assert growing.writer.sealer is not None
    growing.writer.take(growing.writer.sealer.seal(codecs.BOM_UTF8 + b"said by the application", 1))
    growing.writer.close()
    (growing.directory / "keys/head").write_bytes(growing.writer.head)
    paths = growing.write()
    for number, line in enumerate(growing.writer.lines):
        paths.append(growing.logs / f"new.{number}")
        paths[-1].write_bytes(line + b"\n")
    assert growing.verify(*paths).findings == ()


def test_lines_in_utf_16_that_were_sealed_as_they_are_stay_ok(growing: Place) -> None:
    growing.writer.lines.clear()
    growing.writer.open()
    assert growing.writer.sealer is not None
    growing.writer.take(growing.writer.sealer.seal("said by the application".encode("utf-16-le"), 1))
    growing.writer.close()
    (growing.directory / "keys/head").write_bytes(growing.writer.head)
    paths = growing.write()
    for number, line in enumerate(growing.writer.lines):
        paths.append(growing.logs / f"new.{number}")
        paths[-1].write_bytes(line + b"\n")
    assert growing.verify(*paths).findings == ()


def test_half_a_letter_in_utf_16_is_no_line_of_the_log(place: Place) -> None:
    paths = place.write()
    for odd in (b"\xff\xfea\0\n\0b", b"\xff\xfe\x00\xd8a\0\n\0", b"\xff\xfe\x00"):
        (place.directory / "odd").write_bytes(odd)
        report = place.verify(*paths, place.directory / "odd")
        assert (report.verdict, kinds(report)) == (Verdict.FAILED, {"unsealed"})
