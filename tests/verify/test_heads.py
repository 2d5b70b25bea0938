"""A head that should be there is never passed over, and a pin is no end (spec sections 7 and 9)."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import securefile
from tallystick.errors import FormatError, KeyStoreError
from tallystick.verify import Report, Verdict
from tests.sealed import position


class Place:
    """A log that was sealed into a key store here, and how it is verified."""

    def __init__(self, path: Path) -> None:
        self.path, self.log, self.store = path, path / "app.log", path / "store"
        self.set_up("app.key")
        self.seal("one", "two")

    def set_up(self, key: str) -> None:
        """Set the log up, with a key file of this name."""
        custody = f"master-key:{self.path}/master.key"
        url, public = f"file:{self.store}", self.path / f"{key}.pub"
        tallystick.create("app", store=url, custody=custody, key_file=self.path / key, public_file=public)

    def seal(self, *entries: str, end: bool = False) -> None:
        """Seal entries in a run of their own."""
        with tallystick.open("app", output=self.log, store=f"file:{self.store}") as log:
            for entry in entries:
                log.write(entry)
            if end:
                log.end()

    def cut(self) -> None:
        """Cut the newest chain off."""
        lines = self.log.read_bytes().splitlines(keepends=True)
        chains = [position(line.rstrip(b"\n"))[0] for line in lines]
        kept = [line for line, chain in zip(lines, chains, strict=True) if chain < max(chains)]
        self.log.write_bytes(b"".join(kept))

    def verify(self, **given: Any) -> Report:
        """Verify the log with its verification key."""
        given = {"keys": [self.path / "app.key"], "pins_directory": self.path / "pins", **given}
        return tallystick.verify([self.log], **given)


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(finding.weight.value, finding.kind) for finding in report.findings]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("TALLYSTICK_STORE", str(tmp_path / "store"))
    return Place(tmp_path)


def make_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store be the default one, which nobody named."""
    monkeypatch.delenv("TALLYSTICK_STORE")
    monkeypatch.setattr("tallystick.keystore.state_directory", lambda: str(place.store))


# -- a pin is a lower bound


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("how", ["removed", "unreadable", "set up anew"])
def test_a_log_that_was_cut_to_its_pin_is_never_ok_when_the_head_is_gone(
    how: str, default: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if default:
        make_default(place, monkeypatch)
    assert place.verify().verdict is Verdict.OK
    place.seal("three")
    place.cut()
    assert kinds(place.verify()) == [("failed", "truncated")]
    shutil.rmtree(place.store)
    if how == "unreadable":
        place.store.write_bytes(b"no directory")
    elif how == "set up anew":
        place.set_up("new.key")
    report = place.verify()
    assert (report.verdict, kinds(report)) == (
        Verdict.INCOMPLETE,
        [("incomplete", "no head"), ("incomplete", "open end")],
    )
    (pin,) = (place.path / "pins").glob("*.pin")
    seen = pin.read_text().split()[2].rstrip(",")
    (open_end,) = [finding.detail for finding in report.findings if finding.kind == "open end"]
    assert f"the log reached at least 1.0.3 when it was seen on {seen}" in open_end


def test_a_pin_without_a_date_says_so_too(place: Place) -> None:
    pin = place.verify().logs[0].pin
    report = place.verify(store="none", pins_directory=None, pins=[pin])
    assert kinds(report) == [("incomplete", "open end")]
    assert "the log reached at least 1.0.3 when it was pinned" in report.findings[0].detail


def test_the_pin_notes_what_anchored_the_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**given: Any) -> str:
        for old in (place.path / "pins").glob("*"):
            old.unlink()
        assert place.verify(**given).verdict is Verdict.OK
        (pin,) = (place.path / "pins").glob("*.pin")
        return pin.read_text().split("\n")[0].split(", ", 1)[1]

    assert said() == f"end: key store, in {place.log}"
    assert said(store=f"file:{place.store}").startswith("end: key store, ")
    assert said(store="none", allow=["open end"]).startswith("end: no head, ")
    make_default(place, monkeypatch)
    assert said().startswith("end: default key store, ")


def test_a_default_store_that_never_had_the_log_is_not_spoken_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.verify(store="none", allow=["open end"]).verdict is Verdict.OK  # keeps a pin, made without a head
    make_default(place, monkeypatch)
    monkeypatch.setattr("tallystick.keystore.state_directory", lambda: f"{place.path}/nowhere")
    assert kinds(place.verify()) == [("incomplete", "open end")]


# -- the store that was named


def test_a_store_that_the_environment_names_is_spoken_of_when_it_has_not_the_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_STORE", str(place.path / "elsewhere"))
    assert kinds(place.verify()) == [("incomplete", "no head"), ("incomplete", "open end")]
    report = place.verify(allow=["open end"])
    assert (report.verdict, kinds(report)) == (Verdict.OK, [("note", "no head")])
    assert kinds(place.verify(store="none")) == [("incomplete", "open end")]


def test_a_log_that_has_ended_needs_no_head(place: Place) -> None:
    place.seal("three", end=True)
    shutil.rmtree(place.store)
    report = place.verify()
    assert (report.verdict, kinds(report)) == (Verdict.OK, [("note", "no head")])
    assert report.logs[0].end == "the log has ended"
    report = place.verify(keys=[], public=[place.path / "app.key.pub"])
    assert (report.verdict, kinds(report)) == (Verdict.OK, [])
    assert "as the key of its running epoch signed" in report.logs[0].end


def test_a_store_that_was_named_by_its_url_is_never_optional(place: Place) -> None:
    """Guards against an equal TALLYSTICK_STORE making it so."""
    shutil.rmtree(place.store)
    with pytest.raises(KeyStoreError):
        place.verify(store=f"file:{place.store}")


def test_another_log_of_the_name_in_a_store_is_reported_with_its_id(place: Place) -> None:
    shutil.rmtree(place.store)
    place.set_up("new.key")
    for given in ({}, {"store": f"file:{place.store}"}):
        report = place.verify(**given)
        (told,) = [finding for finding in report.findings if finding.kind == "no head"]
        assert (told.weight.value, told.log) == ("incomplete", "app")
        assert "another log of the name app" in told.detail
    # Of two logs with one name, both here, the store can only have one: nothing is wrong with that.
    report = place.verify(keys=[place.path / "app.key", place.path / "new.key"])
    assert "no head" not in {finding.kind for finding in report.findings}


# -- a head in a file


@pytest.mark.parametrize(("text", "said"), [("", "this is no head"), ("tallypub1qq\n", "this is no head")])
def test_a_file_that_holds_no_head_is_a_usage_error_that_names_it(text: str, said: str, place: Place) -> None:
    (place.path / "x.head").write_text(text)
    with pytest.raises(FormatError, match=said) as told:
        place.verify(head=place.path / "x.head")
    assert told.value.path == str(place.path / "x.head")


def test_a_head_of_a_log_whose_key_is_not_here_is_a_usage_error(place: Place) -> None:
    (head,) = [path for path in place.store.rglob("*head*") if path.is_file()]
    text = head.read_text()
    (place.path / "x.head").write_text(text.replace(text.split()[1], "aaaaaaaa"))
    with pytest.raises(FormatError, match="of log id aaaaaaaa, whose key was not given") as told:
        place.verify(head=place.path / "x.head")
    assert told.value.path == str(place.path / "x.head")
    # With the public key alone a head of the log is not judged; that is no reason to refuse it.
    (place.path / "x.head").write_text(text)
    report = place.verify(keys=[], public=[place.path / "app.key.pub"], head=place.path / "x.head")
    assert kinds(report) == [("incomplete", "open end")]


# -- a state is never read


def test_a_verifier_reads_heads_and_no_state(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watched(name: str, *given: Any, **more: Any) -> Any:
        read.append(name)
        return read_file(name, *given, **more)

    read_file = securefile.read_file
    monkeypatch.setattr(securefile, "read_file", watched)
    assert place.verify().verdict is Verdict.OK
    assert set(read) == {"head"}
    # Where the head is gone or changed, another process says whose log it is.
    (place.store / "app" / "head").write_text("no head")
    assert kinds(place.verify()) == [("failed", "bad head"), ("incomplete", "open end")]
    (place.store / "app" / "head").unlink()
    assert kinds(place.verify()) == [("failed", "bad head"), ("incomplete", "open end")]
    assert set(read) == {"head"}


def test_the_head_of_another_log_put_in_its_place_is_a_bad_head(place: Place, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    shutil.copy(other.store / "app" / "head", place.store / "app" / "head")
    assert kinds(place.verify()) == [("failed", "bad head"), ("incomplete", "open end")]
