"""Files that are no logs are passed over and reported, and no secret is shown anywhere."""

import base64
import os
import random
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.errors import FormatError, ReportError, explain
from tallystick.reports import FORMS, render
from tallystick.verify import Report, Verdict
from tallystick.verify.strangers import blanked, ours
from tests.log.test_log import Place as Live
from tests.verify.test_constructed import kinds
from tests.verify.test_inputs import Place, growing, place

__all__ = ["growing", "place"]

pytestmark = pytest.mark.usefixtures("no_store")

MASTER = base64.urlsafe_b64encode(random.Random(7).randbytes(32)).rstrip(b"=").decode()


def passed(report: Report) -> dict[str, tuple[str, int]]:
    """What was passed over: for each reason the first file and how many."""
    found = [finding for finding in report.findings if finding.kind == "passed over"]
    assert all(finding.weight.value == "note" for finding in found)
    return {finding.detail.split(",")[0]: (Path(str(finding.path)).name, finding.count) for finding in found}


def key_text(place: Place) -> str:
    return (place.directory / "keys/app.key").read_text().strip()


def everywhere(report: Report) -> str:
    return "".join(render(report, form) for form in FORMS)


def test_files_of_ours_beside_a_log_are_passed_over_and_reported_once(place: Place) -> None:
    place.write()
    key, pub = key_text(place), (place.directory / "keys/app.pub").read_text()
    narrowed = place.directory / "narrowed"
    with (place.directory / "keys/app.key").open("rb") as whole, narrowed.open("wb") as file:
        _core.NarrowedKey.read(whole.fileno(), 2, 300).write(file.fileno())
    assert narrowed.stat().st_size > 10_000
    for name, text in {
        "app.key": key,
        "a second.key": f"\n  {key.upper()}\r\n",
        "cut.key": key[:-30],
        "narrowed.key": narrowed.read_text(),
        "app.pub": pub,
        "app.head": place.writer.head.decode(),
        "app.pin": f"# by mail\n\n{place.writer.pin}\n",
        "master": MASTER + "\n",
        ".app.log.0000000003.gz.new": "half a copy",
        "app.log.tmp": "user=7",
    }.items():
        (place.logs / name).write_text(text)
    for way in (place.logs, f"{place.logs}/**", f"{place.logs}/*"):
        report = place.verify(way)
        assert (report.verdict, report.lines, kinds(report)) == (Verdict.OK, place.lines, {"passed over"}), way
        assert passed(report) == {
            "a verification key": ("a second.key", 4),
            "a public file": ("app.pub", 1),
            "a head": ("app.head", 1),
            "pins": ("app.pin", 1),
            "a master key by its form": ("master", 1),
            "a temporary file by its name (.tmp)": ("app.log.tmp", 1),
        } | ({"an unfinished copy": (".app.log.0000000003.gz.new", 1)} if way == place.logs else {}), way
        shown = everywhere(report)
        assert key[20:60] not in shown
        assert MASTER not in shown
    with pytest.raises(ReportError, match="a verification key, no log"):
        place.verify(place.logs / "app.key")
    assert place.verify(*sorted(place.logs.iterdir())).verdict is Verdict.FAILED  # what is named is read: .tmp, .new


def test_a_key_store_and_pins_in_a_directory_are_passed_over(tmp_path: Path) -> None:
    live = Live(tmp_path)
    with live.open() as log:
        log.write("one")
        report = tallystick.verify([tmp_path], keys=[live.key], store=live.store, pins_directory=tmp_path / "pins")
    with live.open(output=tmp_path / "two.log") as log:
        log.write("two")
    report = tallystick.verify([tmp_path], keys=[live.key], store=live.store, pins_directory=tmp_path / "pins")
    assert (report.verdict, len(report.files)) == (Verdict.OK, 2)
    tallystick.verify([tmp_path], keys=[live.key], store=live.store, pins_directory=tmp_path / "pins")
    assert "pins" in passed(
        tallystick.verify([tmp_path], keys=[live.key], store=live.store, pins_directory=tmp_path / "pins")
    )
    assert {"a sealing state", "a head", "a master key by its form", "a file of a key store"} <= set(passed(report))


def test_a_line_cannot_hide_in_what_looks_like_a_file_of_ours(place: Place) -> None:
    paths = place.write()
    key, pub = key_text(place), (place.directory / "keys/app.pub").read_text().strip()
    evil = "user=7 action=pay"
    for text in (
        f"{key}\n{evil}\n",
        f"{evil} {key}\n",
        f"{pub}\n{evil}\n",
        f"{pub}\ntallystick/v1 open x\n{evil}\n",
        f"{place.writer.head.decode()}\n{evil}\n",
        f"{place.writer.pin}\n{evil}\n",
        f"tallystick-state v1\n{evil}\n",
        f"tallystick/v1 evidence\n{evil}\n",
        f"{MASTER}\n{evil}\n",
        f"{key}{'q' * 5000}{evil}\n",
    ):
        (place.logs / "odd").write_text(text)
        report = place.verify(*paths, place.logs / "odd")
        assert (report.verdict, "unsealed" in kinds(report)) == (Verdict.FAILED, True), text[:30]
        shown = everywhere(report)
        assert key[20:60] not in shown
        assert MASTER not in shown
    (place.logs / "odd").unlink()
    (place.logs / "lock").write_text(evil + "\n")  # no state beside it: this is no key store
    assert place.verify(place.logs).verdict is Verdict.FAILED


def test_a_log_that_begins_with_a_key_is_read(growing: Place) -> None:
    """A writer may have been told a key by mistake; its lines are sealed all the same."""
    growing.writer.lines.clear()
    growing.writer.open()
    assert growing.writer.sealer is not None
    growing.writer.take(growing.writer.sealer.seal(key_text(growing).encode(), 1))
    growing.writer.close()
    growing.parts.append(b"".join(line + b"\n" for line in growing.writer.lines))
    growing.write()
    (growing.directory / "keys/head").write_bytes(growing.writer.head)
    assert growing.verify(growing.logs).findings == ()
    secret = next(line for line in growing.writer.lines if line.startswith(b"tallysecret1"))
    assert ours(secret + b"\n", len(secret) + 1) is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("{key}", "(a secret, not shown)"),
        ("key={key} user=7", "key=(a secret, not shown) user=7"),
        ('{{"msg":"{KEY}","user":7}}', '{{"msg":"(a secret, not shown)","user":7}}'),
        ("{half}", "(a secret, not shown)"),
        ("master={master} user=7", "master=(a secret, not shown) user=7"),
        ("{long}{key}", None),
        ("{long}master={master}", None),
        ("{head}", "tallyhead (a secret, not shown)"),
        ("sha256 {hex} of user=7", "sha256 {hex} of user=7"),
        ("user=7 action=login session=abc", "user=7 action=login session=abc"),
        ("request={hex}", "request={hex}"),
    ],
)
def test_excerpts_show_no_secret_wherever_it_stands(place: Place, line: str, shown: str | None) -> None:
    paths = place.write()
    key = key_text(place)
    words = {
        "key": key, "KEY": key.upper(), "half": key[60:160], "master": MASTER, "long": "user=7 " * 20,
        "head": place.writer.head.decode().strip(), "hex": "b1946ac92492d2347c6235b4d2611184" * 2,
    }  # fmt: skip
    (place.logs / "odd").write_text(line.format(**words) + "\nno key alone\n")
    report = place.verify(*paths, place.logs / "odd")
    assert report.verdict is Verdict.FAILED
    excerpt = next(f.excerpt for f in report.findings if f.kind == "unsealed")
    if shown is not None:
        assert excerpt == shown.format(**words)
    everything = everywhere(report)
    for secret in (key, key.upper(), MASTER, words["head"][-40:]):
        assert not any(secret[at : at + 16] in everything for at in range(20, len(secret) - 16))


def test_statements_and_hashes_of_ours_are_shown(place: Place) -> None:
    opening = place.parts[0].split(b"\n")[0].decode()
    assert blanked(opening) == opening
    assert blanked(place.writer.pin) == place.writer.pin


def test_no_message_about_a_file_of_demands_shows_a_secret(place: Place) -> None:
    paths = place.write()
    key = key_text(place)
    (place.directory / "secret").write_text(f"{key}\n")
    (place.directory / "pins").mkdir()
    (place.directory / "pins/x.pin").write_text(f"{key}\n")
    secret = place.directory / "secret"
    for options in (
        {"exceptions": secret},
        {"pins": [key]},
        {"pins_directory": place.directory / "pins"},
        {"public": [secret]},
    ):
        with pytest.raises((FormatError, ReportError)) as caught:
            place.verify(*paths, **options)
        assert key[20:60] not in explain(caught.value)
    with pytest.raises(FormatError) as caught:
        tallystick.verify(paths, keys=[place.directory / "keys/app.key"], head=secret)
    assert key[20:60] not in explain(caught.value)
    exceptions = place.directory / "exceptions"
    exceptions.write_text(f"missing 7.0.0: the key was {key}\n")
    assert key[20:60] not in everywhere(place.verify(*paths, exceptions=exceptions))


def test_what_a_crash_left_of_a_compression_is_cleared_by_the_next_writer(tmp_path: Path) -> None:
    live = Live(tmp_path)
    left = [tmp_path / f".audit.log.000000000{number}.{form}.new" for number, form in ((1, "gz"), (2, "zst"))]
    others = [tmp_path / ".other.log.0000000001.gz.new", tmp_path / ".audit.log.1.gz.new", tmp_path / "audit.log.tmp"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    with live.open() as log:
        log.write("one")
    assert [path.exists() for path in left] == [False, False]
    assert all(path.exists() for path in others)
    os.unlink(others[2])


def test_the_slots_beside_a_master_key_are_passed_over_and_nothing_that_only_begins_so_is(place: Place) -> None:
    slot = (b"tallystick-slot1" + bytes(range(112))).ljust(4096, b"\0")
    paths = place.write()
    path = place.directory / f"master.key.{52 * 'a'}"
    for text, found in (
        (bytes(4096) + slot, ["passed over"]),
        (slot + slot, ["passed over"]),
        (bytes(8192), []),
        (slot + slot[:-1] + b"x", ["unsealed"]),
        (slot + slot + b"user=7\n", ["unsealed"]),
    ):
        path.write_bytes(text)
        report = place.verify(*paths, path)
        assert [finding.kind for finding in report.findings] == found
        assert report.verdict is (Verdict.FAILED if "unsealed" in found else Verdict.OK)
