"""A log that has a past: what its file held before sealing began is sealed as a whole (spec section 5)."""

import gzip
import os

import pytest

import tallystick
from tallystick.errors import SealError
from tests.log.test_log import Place
from tests.sealed import entries

PAST = b'old one\n\nold two\r\n{"old":3}\nno line end'


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.output.write_bytes(PAST)
    return made


def adopted(place, *paths, **options):
    """Verdict, and weight and count of what is said of the past."""
    report = tallystick.verify([*(paths or [place.output])], keys=[place.key], store=place.store, **options)
    found = [(one.weight.value, one.count) for one in report.findings if one.kind == "adopted"]
    return report.verdict.value, found, sorted({one.kind for one in report.findings} - {"adopted"})


def test_what_the_file_held_is_adopted_and_later_lines_are_sealed(place):
    with place.open(adopt=True) as log:
        log.write("new")
    with place.open() as log:
        log.write("newer")
    assert place.read().startswith(PAST + b"\ntallystick/v1 open ")
    assert adopted(place) == ("ok", [("note", 5)], [])
    report = tallystick.verify([place.output], public=[place.public], store="none", allow=["open end"])
    assert [one.kind.value for one in report.findings] == ["adopted"]


@pytest.mark.parametrize(
    "changed",
    [
        PAST.replace(b"two", b"2wo"),
        PAST.replace(b"\r", b""),
        PAST.replace(b"\n\n", b"\n"),
        PAST + b"\n",
        PAST.removesuffix(b"end"),
        b"x" + PAST,
        b"",
    ],
)
def test_any_change_of_it_is_found(place, changed):
    with place.open(adopt=True) as log:
        log.write("new")
    place.output.write_bytes(place.read().replace(PAST, changed))
    verdict, said, _ = adopted(place)
    assert (verdict, said) == ("failed", [("failed", 5)])


def test_a_past_with_more_groups_of_lines_than_are_listed_is_adopted_as_a_whole(place):
    past = b"".join(b"old %d\n\n" % number for number in range(3000))
    place.output.write_bytes(past)
    with place.open(adopt=True) as log:
        log.write("new")
    assert adopted(place) == ("ok", [("note", 6000)], [])
    place.output.write_bytes(place.read() + b"an injected line\n")
    assert adopted(place) == ("failed", [("note", 6000)], ["unsealed"])


def test_sealed_lines_of_a_known_log_in_it_are_judged_as_such(tmp_path, place):
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    with other.open() as log:
        log.write("one")
    place.output.write_bytes(other.read())
    with place.open(adopt=True) as log:
        log.write("new")
    keys = {"keys": [place.key, other.key], "store": "none", "allow": ["open end"]}
    report = tallystick.verify([place.output], **keys)
    assert {one.kind.value for one in report.findings} == {"adopted"}
    place.output.write_bytes(place.read().replace(b"one tally=", b"0ne tally="))
    report = tallystick.verify([place.output], **keys)
    assert {one.kind.value for one in report.findings} == {"adopted", "altered"}


def test_a_compressed_file_holds_it_as_well(place):
    with place.open(adopt=True) as log:
        log.write("new")
    packed = place.output.with_name("audit.log.1.gz")
    packed.write_bytes(gzip.compress(place.read()))
    assert adopted(place, packed) == ("ok", [("note", 5)], [])


def test_a_log_that_has_begun_adopts_nothing_and_no_chain_is_used_up(place):
    with place.open(adopt=True):
        pass
    before = place.read()
    with pytest.raises(SealError, match="has begun already"):
        place.open(adopt=True)
    assert place.read() == before
    with place.open() as log:
        assert log.position == "2.0.0"


def test_nothing_can_be_adopted_where_there_is_nothing(place):
    place.output.unlink()
    with pytest.raises(SealError, match="holds nothing"):
        place.open(adopt=True)
    with pytest.raises(SealError, match="is no file"):
        place.open(adopt=True, output=lambda data: None)
    with place.open() as log:
        assert log.position == "1.0.0"


def test_a_line_that_comes_between_is_found_by_the_writer(place, monkeypatch):
    """Another program still writes to the file: what it writes after the digest was made nothing covers."""
    from tallystick import _core

    seal = _core.Sealer.notice

    class Late:
        """A sealer of the core, before whose first line somebody else writes."""

        def __init__(self, sealer):
            self._sealer = sealer

        def __getattr__(self, name):
            return getattr(self._sealer, name)

        def notice(self, *arguments):
            with open(place.output, "ab") as file:
                file.write(b"a late line\n")
            return seal(self._sealer, *arguments)

    from tallystick.writer.chains import ChainSource

    opened = ChainSource.open
    monkeypatch.setattr(ChainSource, "open", lambda *arguments: Late(opened(*arguments)))
    with pytest.raises(SealError, match="something else wrote to"):
        place.open(adopt=True)
    monkeypatch.undo()
    assert adopted(place)[:2] == ("failed", [("failed", 5)])


def test_init_adopts_a_file_and_seal_goes_on_in_it(bare):
    (bare.path / "audit.log").write_bytes(PAST)
    done = bare(
        "init", "payments", "--custody", f"master-key:{bare.path}/master.key", "--verification-key", "payments.key",
        "--adopt", "audit.log",
    )  # fmt: skip
    assert (done.status, done.out) == (0, b"")
    assert "tallystick seal payments -o audit.log" in done.err
    assert bare("seal", "payments", "-o", "audit.log", stdin=b"new\n").status == 0
    assert bare.verdict() == ("ok", ["adopted"])
    assert entries(bare.read().removeprefix(PAST + b"\n"))[1:] == [b"new"]


def test_seal_adopts_what_its_file_holds(site):
    (site.path / "audit.log").write_bytes(PAST)
    assert site("seal", "payments", "-o", "audit.log", "--adopt", stdin=b"new\n").status == 0
    assert site.verdict() == ("ok", ["adopted"])
    done = site("seal", "payments", "-o", "audit.log", "--adopt", stdin=b"newer\n")
    assert done.status == 4
    assert "has begun already" in done.err
    assert os.path.getsize(site.path / "audit.log") == len(site.read())
