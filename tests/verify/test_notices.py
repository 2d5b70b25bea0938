"""What the log itself says, from the writer to the report: signed, and nothing that an application could imitate."""

import pytest

import tallystick
from tallystick.errors import ReportError, SealError
from tallystick.evidence import check, prove, redact
from tallystick.verify.findings import MORE
from tests.log.test_log import Place
from tests.sealed import stripped

ODD = '50 % of "/var/log/größe" \\ + tally=oedhcsck.1.0.1.1.AAAAAAAAAAAAAAAAAAAAAA\n\x1b[2J\u2028'


def notices(place: Place, **keys: object) -> list[tuple[str | None, str]]:
    """Position and detail of each notice."""
    report = tallystick.verify([place.output], **{"store": place.store, **keys})  # type: ignore[arg-type]
    return [(one.position, one.detail) for one in report.findings if one.kind == "notice"]


def test_any_text_comes_back_from_a_plain_and_a_json_log_with_either_key(tmp_path):
    for control in ("plain", "json"):
        (tmp_path / control).mkdir()
        place = Place(tmp_path / control)
        with place.open(control=control) as log:
            log.notice("dropped", ODD)
            log.notice("output", "caf\udce9")  # a path that is no UTF-8
        assert all(line.isascii() for line in place.read().split(b"\n"))
        said = [("1.0.1", f"dropped: {ODD}"), ("1.0.2", "output: caf\\xe9")]
        assert notices(place, keys=[place.key]) == said
        assert notices(place, public=[place.public], store="none") == said
        assert place.verify() == ("ok", [])


def test_what_an_application_copies_from_the_log_is_an_entry(tmp_path):
    place = Place(tmp_path)
    with place.open() as log:
        log.notice("dropped", "3 lines were dropped")
        notice = stripped(place.read().splitlines()[1])
        log.write(notice)
        log.write(notice.replace(b" 1 0 1 ", b" 1 0 3 "))
    for keys in ({"keys": [place.key]}, {"public": [place.public], "store": "none"}):
        assert notices(place, **keys) == [("1.0.1", "dropped: 3 lines were dropped")]
    assert place.verify() == ("ok", [])


def test_notices_beyond_those_that_are_listed_are_counted(tmp_path):
    place = Place(tmp_path)
    with place.open() as log:
        for number in range(1100):
            log.notice("dropped", f"number {number}")
    report = tallystick.verify([place.output], keys=[place.key], store=place.store)
    found = [one for one in report.findings if one.kind == "notice"]
    assert [one.detail for one in found[:100]] == [f"dropped: number {number}" for number in range(100)]
    assert [(one.detail, one.count) for one in found[100:]] == [(MORE, 1000)]
    assert place.verify(max_findings=2000) == ("ok", [])


def test_a_kind_is_a_word_and_a_notice_says_something(tmp_path):
    place = Place(tmp_path)
    with place.open() as log:
        log.write("one")
        for kind, text in (("Dropped", "x"), ("", "x"), ("a" * 17, "x"), ("dropped", "")):
            with pytest.raises(SealError):
                log.notice(kind, text)
        log.write("two")
    assert place.entries() == [b"one", b"two"]
    assert place.verify() == ("ok", [])


def test_a_notice_is_evidence_and_is_never_redacted(tmp_path):
    place = Place(tmp_path)
    with place.open() as log:
        log.write("one")
        log.notice("dropped", "3 lines")
    evidence = prove("1.0.2", [place.output]).evidence
    shown = check(evidence, public=place.public)
    assert (shown.verdict.value, shown.control, shown.notice) == ("ok", True, ("dropped", b"3 lines"))
    assert check(evidence, key=place.key).tag
    with pytest.raises(ReportError, match="control line"):
        redact("1.0.2", [place.output], key=place.key)
