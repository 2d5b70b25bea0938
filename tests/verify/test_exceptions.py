"""The exceptions file: exactly what it names becomes a note, and nothing else."""

import datetime
import hashlib
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.errors import FormatError, ReportError, explain
from tallystick.verify.exceptions import KINDS, Exceptions, read_exceptions
from tallystick.verify.report import Finding, Weight

TODAY = datetime.date(2026, 11, 23)
HASH = hashlib.sha256(b"a line").digest()
HEX = HASH.hex()
APP = {"app": True}
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read(tmp_path: Path, text: str | bytes) -> Exceptions:
    path = tmp_path / "exceptions"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_exceptions(path)


def finding(kind: str = "missing", at: str = "7.0.12", to: str | None = None, **more: object) -> Finding:
    settings = {"log": "app", "position": at, "to": to, **more}
    return Finding(kind, Weight.FAILED, "what it means", **settings)  # type: ignore[arg-type]


def test_a_finding_that_is_named_exactly_becomes_a_note_and_keeps_its_place(tmp_path: Path) -> None:
    one = finding(to="7.0.19", path="a.log", line=12, count=8)
    told, uses = read(tmp_path, "# why\n\nmissing 7.0.12 to 7.0.19: disk full\n").apply([one], APP, TODAY, {})
    assert told == [
        replace(one, kind="excepted", weight=Weight.NOTE, detail="missing: what it means; excepted: disk full")
    ]
    assert [(use.line, use.text, use.use, use.count) for use in uses] == [
        (3, "missing 7.0.12 to 7.0.19: disk full", "used", 8)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_has_positions_can_be_excepted(kind: str, tmp_path: Path) -> None:
    exceptions = read(tmp_path, f"{kind} app 7.0.12: r")
    told, uses = exceptions.apply([finding(kind)], APP, TODAY, {})
    if kind == "redacted":
        assert told[0].weight is Weight.FAILED
    else:
        assert (told[0].kind, told[0].weight) == ("excepted", Weight.NOTE)
        incomplete = replace(finding(kind), weight=Weight.INCOMPLETE)
        assert exceptions.apply([incomplete], APP, TODAY, {})[0][0].weight is Weight.NOTE
    assert uses[0].use == ("unused" if kind == "redacted" else "used")


@pytest.mark.parametrize(
    "other",
    [
        finding("altered"),
        finding(at="7.0.13"),
        finding(at="7.0.1"),
        finding(at="17.0.12"),
        finding(to="7.0.13"),
        finding(log="other"),
        finding(log=None),
        finding(at=None),  # type: ignore[arg-type]
        finding("excepted"),
    ],
)
def test_nothing_else_is_excepted(other: Finding, tmp_path: Path) -> None:
    told, uses = read(tmp_path, "missing app 7.0.12: r\n").apply([other], APP, TODAY, {})
    assert told == [other]
    assert (uses[0].use, uses[0].count) == ("unused", 0)


LINE = "truncated app 17.203.1245 to 17.203.1999: r"


@given(st.integers(0, LINE.index(":") - 1), st.sampled_from(string.ascii_letters + string.digits + " .:#-"))
@quiet
def test_a_single_letter_that_is_changed_matches_no_more(tmp_path: Path, at: int, letter: str) -> None:
    changed = LINE[:at] + letter + LINE[at + 1 :]
    one = finding("truncated", "17.203.1245", "17.203.1999")
    try:
        told, _ = read(tmp_path, changed).apply([one], APP, TODAY, {})
    except FormatError:
        return
    assert told == ([one] if changed != LINE else told)
    assert (told[0].kind == "excepted") == (changed == LINE)


@given(st.one_of(st.binary(), st.text().map(str.encode), st.text(LINE + "until2026-:\n").map(str.encode)))
@quiet
def test_whatever_stands_there_is_read_or_told_as_no_exception(tmp_path: Path, data: bytes) -> None:
    told = None
    try:
        read(tmp_path, data)
    except FormatError as error:
        told = error
    if told is not None:
        assert told.path == str(tmp_path / "exceptions")
        assert told.line is None or 1 <= told.line <= data.count(b"\n") + 1


@given(
    st.sampled_from(KINDS), st.sampled_from(["", "app", "to", "until", "1.0.5", "missing"]),
    st.tuples(st.integers(1, 2**32 - 1), st.integers(0, 255), st.integers(0, 65535)),
    st.one_of(st.none(), st.tuples(st.integers(1, 2**32 - 1), st.integers(0, 255), st.integers(0, 65535))),
    st.one_of(st.none(), st.dates(TODAY)),
)  # fmt: skip
@quiet
def test_every_exception_can_be_written(
    tmp_path: Path,
    kind: str,
    log: str,
    at: tuple[int, int, int],
    to: tuple[int, int, int] | None,
    until: datetime.date | None,
) -> None:
    if kind not in ("missing", "truncated") or (to is not None and to <= at):
        to = None
    first, last = ".".join(map(str, at)), ".".join(map(str, to)) if to else None
    text = (
        f"{kind} {log + ' ' if log else ''}{first}{f' to {last}' if to else ''}{f' until {until}' if until else ''}: r"
    )
    one = replace(finding(kind, first, last, log=log or "app"), weight=Weight.INCOMPLETE)
    told, _ = read(tmp_path, text).apply([one], {log or "app": True}, TODAY, {})
    assert told[0].weight is Weight.NOTE, text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("missing 1.0.5", "KIND [LOG] POSITION"),
        ("missing 1.0.5:", "a reason is missing"),
        ("missing 1.0.5:   ", "a reason is missing"),
        ("missing: r", "begins with no kind"),
        ("missing app: r", "KIND [LOG] POSITION"),
        ("missing 1.0: r", "KIND [LOG] POSITION"),
        ("missing 01.0.5: r", "KIND [LOG] POSITION"),
        ("missing 1.256.5: r", "is no position"),
        ("missing 1.0.65536: r", "is no position"),
        ("missing 0.0.5: r", "is no position"),
        ("missing 4294967296.0.5: r", "is no position"),
        ("missing 1.0.5 to 1.0.5: r", "leave `to` out"),
        ("missing 1.0.5 to 1.0.4: r", "leave `to` out"),
        ("missing 1.0.5 until 2026-02-30: r", "is no day"),
        ("missing 1.0.5 until tomorrow: r", "KIND [LOG] POSITION"),
        ("missing ../app 1.0.5: r", "KIND [LOG] POSITION"),
        ("Missing 1.0.5: r", "begins with no kind"),
        ("lost 1.0.5: r", "begins with no kind"),
        ("narrowed 1.0.5: r", "'narrowed' cannot be excepted"),
        ("fork 1.0.5: r", "'fork' cannot be excepted"),
        ("bad statement 1.0.5: r", "'bad statement' cannot be excepted"),
        ("bad head 1.0.5: r", "'bad head' cannot be excepted"),
        ("uncovered 1.0.5 to 1.0.9: r", "'uncovered' cannot be excepted"),
        ("no head 1.0.5: r", "'no head' cannot be excepted"),
        ("altered 1.0.5: r", "altered [LOG] POSITION sha256:HEX"),
        (f"altered 1.0.5 to 1.0.9 sha256:{'a' * 64}: r", "altered [LOG] POSITION sha256:HEX"),
        (f"altered sha256:{'a' * 64}: r", "altered [LOG] POSITION sha256:HEX"),
        (f"missing 1.0.5 sha256:{'a' * 64}: r", "KIND [LOG] POSITION"),
        ("late start 1.0.5 to 1.0.9: r", "KIND [LOG] POSITION"),
        ("late start 3.*: r", "KIND [LOG] POSITION"),
        ("duplicate 1.0.5 to 1.0.*: r", "KIND [LOG] POSITION"),
        ("duplicate 1.0.5 to 1.1.5: r", "of one epoch"),
        ("missing 1.*.5: r", "KIND [LOG] POSITION"),
        ("missing 1.0.*: r", "KIND [LOG] POSITION"),
        ("missing 2.* to 2.*: r", "leave `to` out"),
        ("missing 3.* to 2.*: r", "leave `to` out"),
        ("missing 2.* to 3.0.5: r", "KIND [LOG] POSITION"),
        ("missing 0.*: r", "KIND [LOG] POSITION"),
        ("missing 1.5.0 to 1.4.*: r", "leave `to` out"),
        ("nothing verified 1.0.5: r", "'nothing verified' cannot be excepted"),
        ("subset 1.0.5: r", "'subset' cannot be excepted"),
        ("torn line 1.0.5: r", "'torn line' cannot be excepted"),
        ("unsealed 1.0.5: r", "sha256:HEX"),
        (f"unsealed sha256:{'a' * 63}: r", "sha256:HEX"),
        (f"unsealed app sha256:{'a' * 64}: r", "sha256:HEX"),
        ("missing 1.0.5: bell \x07", "nobody can see"),
        (b"missing 1.0.5: \xff", "no UTF-8"),
        ("\ufeffmissing 1.0.5: r", "nobody can see"),
    ],
)
def test_what_is_no_exception_is_reported_with_its_line(line: str | bytes, said: str, tmp_path: Path) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(FormatError) as told:
        read(tmp_path, b"# first\nmissing 9.0.0: fine\r\n" + raw + b"\n")
    assert said in explain(told.value)
    assert (told.value.path, told.value.line) == (str(tmp_path / "exceptions"), 3)


@pytest.mark.parametrize(
    "lines",
    [
        ["missing 1.0.5: r", "missing 1.0.5 until 2030-01-01: another reason"],
        [f"unsealed sha256:{'ab' * 32}: r", f"unsealed sha256:{'AB' * 32}: s"],
        [f"altered 1.0.5 sha256:{'ab' * 32}: r", f"altered 1.0.5 sha256:{'AB' * 32} until 2030-01-01: s"],
    ],
)
def test_the_same_exception_twice_is_refused(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="line 1 says the same"):
        read(tmp_path, "\n".join(lines))


def test_a_file_that_cannot_be_read_or_is_too_big_is_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ReportError, match="check the name"):
            read_exceptions(path)
    with pytest.raises(FormatError, match="too many"):
        read(tmp_path, b"#" * (2**24 + 1))


def test_an_exception_holds_through_its_last_day_and_not_behind(tmp_path: Path) -> None:
    exceptions = read(tmp_path, f"missing 7.0.12 until 2026-11-23: r\nunsealed sha256:{HASH.hex()} until 2026-11-23: r")
    after = TODAY + datetime.timedelta(days=1)
    assert exceptions.lines(APP, TODAY) == ((None, None, HASH),)
    assert exceptions.lines(APP, after) == ()
    told, uses = exceptions.apply([finding()], APP, TODAY, {0: 2})
    assert ([one.weight for one in told], [use.use for use in uses]) == ([Weight.NOTE] * 2, ["used"] * 2)
    told, uses = exceptions.apply([finding()], APP, after, {0: 2})
    assert told == [finding()]
    assert [(use.use, use.count) for use in uses] == [("expired", 0)] * 2


def test_with_several_logs_an_exception_says_which_one(tmp_path: Path) -> None:
    two = {"app": True, "other": True}
    with pytest.raises(FormatError, match="several logs are verified") as told:
        read(tmp_path, "missing other 7.0.12: r\nmissing 7.0.12: r\n").apply([], two, TODAY, {})
    with pytest.raises(FormatError, match="several logs are verified"):
        read(tmp_path, f"altered 7.0.12 sha256:{HEX}: r\n").lines(two, TODAY)
    assert told.value.line == 2
    exceptions = read(tmp_path, "missing other 7.0.12: r\nmissing app 7.0.12: s\nmissing gone 7.0.12: t\n")
    _, uses = exceptions.apply([finding(), finding(log="other")], two, TODAY, {})
    assert [use.use for use in uses] == ["used", "used", "unused"]


def test_unsealed_lines_go_by_their_hash_and_are_reported_with_their_number(tmp_path: Path) -> None:
    other = hashlib.sha256(b"other").digest()
    exceptions = read(tmp_path, f"unsealed sha256:{other.hex()}: s\nunsealed sha256:{HASH.hex().upper()}: banner\n")
    assert exceptions.lines(APP, TODAY) == ((None, None, other), (None, None, HASH))
    unsealed = replace(finding("unsealed"), sha256=HASH.hex(), position=None, log=None)
    told, uses = exceptions.apply([unsealed], APP, TODAY, {1: 3, 0: 0})
    assert told[0] == unsealed  # what the scan still tells was not among the allowed ones
    assert (told[1].kind, told[1].weight, told[1].count, told[1].sha256) == ("excepted", Weight.NOTE, 3, HASH.hex())
    assert "banner" in told[1].detail
    assert [(use.use, use.count) for use in uses] == [("unused", 0), ("used", 3)]


def test_a_redacted_line_that_is_listed_is_a_note_if_r_holds(tmp_path: Path) -> None:
    exceptions = read(tmp_path, "redacted 7.0.12: court order\n")
    listed = replace(finding("redacted"), weight=Weight.INCOMPLETE)
    told, uses = exceptions.apply([listed], {"app": True}, TODAY, {})
    assert (told[0].kind, told[0].weight, told[0].position) == ("redacted", Weight.NOTE, "7.0.12")
    assert "court order" in told[0].detail
    assert uses[0].use == "used"
    # With the public key nobody can tell whether r holds.
    for with_v in ({"app": False}, {}):
        told, uses = exceptions.apply([listed], with_v or {"else": True}, TODAY, {})
        assert told[0].weight is Weight.INCOMPLETE
        assert uses[0].use == "unused"
    # A false r is failed, whoever lists it.
    told, uses = exceptions.apply([finding("redacted")], {"app": True}, TODAY, {})
    assert told == [finding("redacted")]
    assert uses[0].use == "unused"


def test_a_note_stays_what_it_is(tmp_path: Path) -> None:
    note = replace(finding("unclean end"), weight=Weight.NOTE)
    told, uses = read(tmp_path, "unclean end 7.0.12: r\n").apply([note], APP, TODAY, {})
    assert told == [note]
    assert uses[0].use == "unused"


@pytest.mark.parametrize(
    ("at", "to"), [("1.0.50", "1.0.*"), ("1.0.50", "1.3.*"), ("2.*", None), ("2.*", "5.*"), ("1.0.50", None)]
)
def test_a_gap_whose_end_nobody_knows_is_excepted_by_its_own_form_only(at: str, to: str | None, tmp_path: Path) -> None:
    """Guards against `missing 1.0.50` that excused all lines behind it, and `missing 2.0.0` a whole chain."""
    forms = [("1.0.50", None), ("1.0.50", "1.0.*"), ("1.0.50", "1.3.*"), ("2.0.0", None), ("2.*", None), ("2.*", "5.*")]
    assert (at, to) in forms
    for first, last in forms:
        exceptions = read(tmp_path, f"missing {first}{f' to {last}' if last else ''}: r")
        told, _ = exceptions.apply([finding(at=at, to=to)], APP, TODAY, {})
        assert (told[0].weight is Weight.NOTE) == ((first, last) == (at, to))


def test_an_altered_line_goes_by_position_and_hash(tmp_path: Path) -> None:
    exceptions = read(tmp_path, f"altered app 7.0.12 sha256:{HEX}: a typing error\n")
    assert exceptions.lines(APP, TODAY) == (("app", (7, 0, 12), HASH),)
    one = finding("altered")
    told, uses = exceptions.apply([one], APP, TODAY, {})  # a line that the scan still tells is another one
    assert (told, uses[0].use) == ([one], "unused")
    told, uses = exceptions.apply([], APP, TODAY, {0: 2})
    assert [(f.kind, f.weight, f.position, f.count, f.sha256) for f in told] == [
        ("excepted", Weight.NOTE, "7.0.12", 2, HEX)
    ]
    assert uses[0].use == "used"


def test_duplicates_are_excepted_by_the_positions_that_a_range_names(tmp_path: Path) -> None:
    exceptions = read(tmp_path, "duplicate 7.0.10 to 7.0.12: r\n")
    assert exceptions.duplicates(APP, TODAY) == {"app": [((7, 0, 10), (7, 0, 12))]}
    for at, to, inside in (("7.0.10", "7.0.12", True), ("7.0.11", None, True), ("7.0.12", "7.0.13", False),
                           ("7.1.11", None, False)):  # fmt: skip
        told, _ = exceptions.apply([finding("duplicate", at, to)], APP, TODAY, {})
        assert (told[0].kind == "excepted") == inside
