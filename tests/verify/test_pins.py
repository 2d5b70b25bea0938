"""Pins: what a verifier saw, it remembers, and never less."""

import datetime
import multiprocessing
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from tallystick.errors import FormatError, ReportError
from tallystick.keystore import connect
from tallystick.verify import pins
from tallystick.verify.pins import Pin, PinDirectory, default_directory, remember

ID, OTHER = "aaaaaaaa", "bbbbbbbb"


def read_pins(directory: Path | str, log_ids: Collection[str]) -> tuple[bytes, ...]:
    """Return the texts of the pins."""
    return tuple(pin.text for pin in pins.read_pins(directory, log_ids))


def pin(at: str, log_id: str = ID, digest: str = "A") -> bytes:
    """Return a pin on a statement whose hash is not looked at."""
    return f"tallypin {log_id} {at}.{digest * 42}A".encode()


def test_whatever_changes_in_a_directory_of_pins_is_read_again(tmp_path: Path) -> None:
    directory, mine = PinDirectory(tmp_path / "pins"), tmp_path / "pins" / "auditor.pin"

    def found() -> list[bytes]:
        return sorted(one.text for one in directory.pins([ID]))

    assert found() == []
    remember(tmp_path / "pins", [pin("1.0.9")])
    assert found() == [pin("1.0.9")]
    for position in ("2.0.1", "2.0.2"):  # of one size, within one tick of the file system's clock
        mine.write_bytes(pin(position) + b"\n")
        mine.chmod(0o600)
        assert found() == [pin("1.0.9"), pin(position)]
    time.sleep(0.15)  # now nothing is read again
    assert found() == found() == [pin("1.0.9"), pin("2.0.2")]
    mine.write_bytes(pin("2.0.3") + b"\n")
    assert found() == [pin("1.0.9"), pin("2.0.3")]
    time.sleep(0.15)
    assert found() == [pin("1.0.9"), pin("2.0.3")]
    mine.chmod(0o622)
    with pytest.raises(ReportError):
        directory.pins([ID])
    mine.unlink()
    assert found() == [pin("1.0.9")]


def test_what_was_remembered_is_read_again(tmp_path: Path) -> None:
    remember(tmp_path / "a" / "pins", [pin("1.0.9"), pin("4.0.0", OTHER)])
    assert read_pins(tmp_path / "a" / "pins", [ID, OTHER]) == (pin("1.0.9"), pin("4.0.0", OTHER))
    assert read_pins(tmp_path / "a" / "pins", {OTHER}) == (pin("4.0.0", OTHER),)
    assert read_pins(tmp_path / "a" / "pins", ["cccccccc"]) == ()


def test_a_directory_is_made_private_and_files_too(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        remember(tmp_path / "pins", [pin("1.0.9")])
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "pins").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "pins" / f"{ID}.pin").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "pins") == [f"{ID}.pin"]


def test_nothing_to_remember_makes_no_directory(tmp_path: Path) -> None:
    remember(tmp_path / "pins", [])
    assert not (tmp_path / "pins").exists()
    assert read_pins(tmp_path / "pins", [ID]) == ()


@pytest.mark.parametrize(("newer", "older"), [("1.0.10", "1.0.9"), ("1.10.0", "1.9.500"), ("10.0.0", "9.255.65535")])
def test_a_pin_only_goes_forward(newer: str, older: str, tmp_path: Path) -> None:
    for at in (older, newer, older):
        remember(tmp_path, [pin(at)])
    assert read_pins(tmp_path, [ID]) == (pin(newer),)
    remember(tmp_path / "at once", [pin(newer), pin(older)])
    assert read_pins(tmp_path / "at once", [ID]) == (pin(newer),)


def test_an_equal_pin_writes_nothing(tmp_path: Path) -> None:
    remember(tmp_path, [pin("1.0.9")])
    before = (tmp_path / f"{ID}.pin").stat()
    remember(tmp_path, [pin("1.0.9") + b"\n"])
    after = (tmp_path / f"{ID}.pin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_two_statements_at_one_position_are_two_histories(tmp_path: Path) -> None:
    remember(tmp_path, [pin("1.0.9")])
    with pytest.raises(ReportError, match=r"two different statements of log id aaaaaaaa were seen at 1\.0\.9"):
        remember(tmp_path, [pin("1.0.9", digest="B")])
    with pytest.raises(ReportError, match="two histories"):
        remember(tmp_path / "new", [pin("2.0.9"), pin("2.0.9", digest="B")])
    assert read_pins(tmp_path, [ID]) == (pin("1.0.9"),)


def test_an_auditor_may_put_files_of_his_own_there_and_they_stay_as_they_are(tmp_path: Path) -> None:
    theirs = tmp_path / "from the bank.pin"
    theirs.write_bytes(b"# by mail\n\n" + pin("3.0.7") + b"\r\n  " + pin("5.0.0", OTHER) + b"\n")
    (tmp_path / "README").write_text("no pins")
    (tmp_path / ".hidden.pin").write_text("no pins")
    before = theirs.read_bytes(), theirs.stat().st_mtime_ns
    remember(tmp_path, [pin("9.0.0")])
    assert (theirs.read_bytes(), theirs.stat().st_mtime_ns) == before
    assert set(read_pins(tmp_path, [ID])) == {pin("3.0.7"), pin("9.0.0")}
    theirs.write_bytes(pin("3.0.7") + b"\n" + pin("3.0.7"))
    assert read_pins(tmp_path, [ID]) == (pin("9.0.0"), pin("3.0.7"))


@pytest.mark.parametrize(
    "there", [b"# mine\n" + pin("1.0.1"), pin("1.0.1", OTHER), b"", pin("1.0.1") + b"\n" + pin("2.0.0")]
)
def test_what_somebody_put_where_our_pin_belongs_is_not_overwritten(there: bytes, tmp_path: Path) -> None:
    (tmp_path / f"{ID}.pin").write_bytes(there)
    with pytest.raises(ReportError, match=r"did not write it\nhint: give it another name"):
        remember(tmp_path, [pin("9.0.0")])
    assert (tmp_path / f"{ID}.pin").read_bytes() == there


@pytest.mark.parametrize(
    "bad", [b"tallypin", pin("1.0.9") + b" x", b"tallyhead", pin("0.0.0"), b"\xff\0", pin("1.0.9")[:-1]]
)
def test_a_line_that_is_no_pin_is_reported_with_its_place(bad: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pin").write_bytes(b"# one\n" + pin("1.0.9", OTHER) + b"\n" + bad + b"\n")
    with pytest.raises(FormatError) as told:
        read_pins(tmp_path, [ID])
    assert (told.value.path, told.value.line) == (str(tmp_path / "x.pin"), 3)
    with pytest.raises(FormatError):
        remember(tmp_path / "new", [bad])


def test_what_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    cases = {}
    for name in ("a directory", "a pipe", "a link", "huge"):
        cases[name] = tmp_path / name
        cases[name].mkdir()
    (cases["a directory"] / "x.pin").mkdir()
    os.mkfifo(cases["a pipe"] / "x.pin")
    (cases["a link"] / "x.pin").symlink_to("nowhere")
    (cases["huge"] / "x.pin").write_bytes(b"#" * (2**20 + 1))
    cases["no directory"] = tmp_path / "file"
    cases["no directory"].write_text("")
    cases["a link to nowhere"] = tmp_path / "link"
    cases["a link to nowhere"].symlink_to("nowhere")
    cases["below a file"] = tmp_path / "file" / "pins"
    for path in cases.values():
        with pytest.raises(ReportError, match=str(tmp_path)):
            read_pins(path, [ID])
    assert len(cases) == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    remember(tmp_path / "pins", [pin("1.0.9")])
    for what in (tmp_path / "pins" / f"{ID}.pin", tmp_path / "pins"):
        what.chmod(0)
        with pytest.raises(ReportError):
            read_pins(tmp_path / "pins", [ID])
        what.chmod(0o700)


def test_pins_that_other_users_can_change_are_refused(tmp_path: Path) -> None:
    remember(tmp_path / "pins", [pin("1.0.9")])
    for what, mode in ((tmp_path / "pins", 0o700), (tmp_path / "pins" / f"{ID}.pin", 0o600)):
        for right in (0o020, 0o002):
            what.chmod(mode | right)
            with pytest.raises(ReportError, match="chmod go-w"):
                read_pins(tmp_path / "pins", [ID])
            with pytest.raises(ReportError, match="chmod go-w"):
                remember(tmp_path / "pins", [pin("2.0.0")])
        what.chmod(mode | 0o055 if mode == 0o700 else 0o644)
    assert read_pins(tmp_path / "pins", [ID]) == (pin("1.0.9"),)


def test_what_a_crash_left_behind_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / f".{ID}.pin.new").write_text("half a p")
    remember(tmp_path, [pin("1.0.9")])
    assert os.listdir(tmp_path) == [f"{ID}.pin"]


def _remember_some(directory: str, first: int) -> None:
    for number in range(first, first + 40):
        remember(directory, [pin(f"{number}.0.1")])


def test_of_runs_that_end_at_once_the_newest_pin_stays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_remember_some, args=(str(tmp_path), first)) for first in (1, 21, 11)]
    for run in runs:
        run.start()
    while any(run.is_alive() for run in runs):
        assert len(read_pins(tmp_path, [ID])) <= 1  # readers never see half a pin
    for run in runs:
        run.join()
        assert run.exitcode == 0
    assert read_pins(tmp_path, [ID]) == (pin("60.0.1"),)


def test_the_default_directory_stands_beside_the_logs_and_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TALLYSTICK_STORE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == "/var/lib/tallystick/.pins"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == str(tmp_path / "tallystick" / ".pins")
    for named in (f"{tmp_path}/tallystick", f"file:{tmp_path}/tallystick"):
        monkeypatch.setenv("TALLYSTICK_STORE", named)
        assert default_directory() == str(tmp_path / "tallystick" / ".pins")
    monkeypatch.undo()
    store = connect(f"file:{tmp_path}/tallystick")
    remember(tmp_path / "tallystick" / ".pins", [pin("1.0.9")])
    assert store.names() == []
    store.create("app", b"state", b"head")
    store.remove("app")
    assert read_pins(tmp_path / "tallystick" / ".pins", [ID]) == (pin("1.0.9"),)


def test_a_pin_says_when_it_was_seen_what_anchored_the_end_then_and_in_which_file(tmp_path: Path) -> None:
    remember(tmp_path, [pin("1.0.9")], end="default key store", path="/var/log/a\nb.log")
    (kept,) = pins.read_pins(tmp_path, [ID])
    assert kept.text == pin("1.0.9")
    assert kept.end == "default key store"
    assert kept.seen is not None
    datetime.datetime.fromisoformat(kept.seen)
    assert (tmp_path / f"{ID}.pin").read_bytes() == (
        f"# seen {kept.seen}, end: default key store, in /var/log/a\\nb.log\n".encode() + pin("1.0.9") + b"\n"
    )
    # A pin that an older version kept, or that came from elsewhere, says nothing of that.
    (tmp_path / f"{ID}.pin").write_bytes(pin("1.0.9") + b"\n")
    assert pins.read_pins(tmp_path, [ID]) == (Pin.parse(pin("1.0.9")),)
    remember(tmp_path, [pin("1.0.10")], end="key store")
    assert [(kept.text, kept.end) for kept in pins.read_pins(tmp_path, [ID])] == [(pin("1.0.10"), "key store")]


def test_what_is_said_of_one_pin_is_not_said_of_the_next_one(tmp_path: Path) -> None:
    said = b"# seen 2026-05-03T10:11:12Z, end: file, in a.log\n"
    (tmp_path / "x.pin").write_bytes(
        said + pin("1.0.1") + b"\n" + pin("1.0.2") + b"\n" + said + b"# by mail\n" + pin("1.0.3")
    )
    assert [kept.seen for kept in pins.read_pins(tmp_path, [ID])] == ["2026-05-03T10:11:12Z", None, None]
