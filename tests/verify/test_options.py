"""What a caller may ask of a verification, and that several logs in one run keep apart (spec section 7)."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import keystore
from tallystick.errors import FormatError, ReportError
from tallystick.reports.text import text_report
from tallystick.verify import Report, Verdict
from tests import forging
from tests.forging import Log, Writer, closed, whole
from tests.verify.table import shown, told

OTHER = (bytes(32), bytes(range(64, 96)))
TWIN = Writer("app", OTHER).chain_of("x one", "x two", "continues", "x three", "ended").log()
TWIN_ID = Writer("app", OTHER).log_id
ELSE = Writer("else", OTHER).chain_of("e one", "ended").log()


pytestmark = pytest.mark.usefixtures("no_store")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Keys of the log, of another one with its name, and of one with another name."""
    texts = {
        "app": forging.key_text(),
        "twin": forging.key_text("app", *OTHER),
        "else": forging.key_text("else", *OTHER),
        "public": forging.public_text(),
        "twin public": forging.public_text("app", OTHER[1]),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in texts}


def verify(place: Path, *logs: Log, **given: Any) -> Report:
    """Verify logs, each in a file of its own."""
    for number, log in enumerate(logs):
        (place / f"{number}.log").write_bytes(log.data)
    return tallystick.verify([place / f"{number}.log" for number in range(len(logs))], **given)


# -- several logs in one run


def test_two_logs_with_one_name_are_told_apart(tmp_path: Path, keys: dict[str, Path]) -> None:
    report = verify(
        tmp_path,
        whole().without("1.0.2"),
        TWIN.changed("1.0.1", b"one", b"eno"),
        keys=[keys["app"], keys["twin"]],
    )
    mine, theirs = f"app.{forging.LOG_ID}", f"app.{TWIN_ID}"
    assert [(f.kind, f.log, f.position) for f in report.findings] == [
        *sorted([("missing", mine, "1.0.2"), ("altered", theirs, "1.0.1")], key=lambda f: f[1])
    ]
    assert [(log.name, log.log_id, log.sealed) for log in report.logs] == [
        (mine, forging.LOG_ID, 14),
        (theirs, TWIN_ID, 5),
    ]


def test_lines_of_two_logs_with_one_name_may_stand_in_one_file(tmp_path: Path, keys: dict[str, Path]) -> None:
    mixed = whole().behind("1.0.2", *TWIN.lines)
    assert verify(tmp_path, mixed, keys=[keys["app"], keys["twin"]]).verdict is Verdict.OK
    assert verify(tmp_path, mixed, keys=[keys["app"]]).verdict is Verdict.FAILED


def test_an_exception_allows_a_finding_of_the_log_that_it_names_only(tmp_path: Path, keys: dict[str, Path]) -> None:
    logs = whole().without("1.0.1"), TWIN.without("1.0.1")
    both = {"keys": [keys["app"], keys["twin"]], "exceptions": tmp_path / "exceptions"}
    for said in ("missing 1.0.1: disk full", "missing app 1.0.1: disk full"):
        (tmp_path / "exceptions").write_text(said)
        if " app " in said:
            report = verify(tmp_path, *logs, **both)
            assert (report.verdict, [use.use for use in report.exceptions]) == (Verdict.FAILED, ["unused"])
        else:
            with pytest.raises(FormatError, match="several logs are verified\nhint: name the one that is meant"):
                verify(tmp_path, *logs, **both)
    (tmp_path / "exceptions").write_text(f"missing app.{TWIN_ID} 1.0.1: disk full")
    report = verify(tmp_path, *logs, **both)
    assert [(f.kind, f.log) for f in report.findings] == [
        ("missing", f"app.{forging.LOG_ID}"),
        ("excepted", f"app.{TWIN_ID}"),
    ]


def test_a_redacted_line_is_judged_by_the_key_of_its_own_log(tmp_path: Path, keys: dict[str, Path]) -> None:
    """With one V and one P under one name, neither may lend its key to the other one's exceptions."""
    blanked = whole().put("1.0.2", forging.redacted(whole().line("1.0.2")))
    (tmp_path / "exceptions").write_text(f"redacted app.{forging.LOG_ID} 1.0.2: by court order")
    given = {"public": [keys["public"]], "keys": [keys["twin"]], "exceptions": tmp_path / "exceptions"}
    report = verify(tmp_path, blanked, TWIN, **given)
    assert [(f.kind, f.weight.value) for f in report.findings] == [("redacted", "incomplete")]


def test_a_subset_takes_the_verification_key_of_each_log(tmp_path: Path, keys: dict[str, Path]) -> None:
    for given in (
        {"keys": [keys["app"]], "public": [keys["twin public"]]},
        {"keys": [keys["twin"]], "public": [keys["public"]]},
    ):
        with pytest.raises(ReportError, match="only be verified with verification keys"):
            verify(tmp_path, whole(), TWIN, subset=True, **given)


def test_a_pin_of_each_log_is_met(tmp_path: Path, keys: dict[str, Path]) -> None:
    pins = [whole().pin("3.0.2"), TWIN.pin("1.1.1").replace(forging.LOG_ID, TWIN_ID)]
    both = [keys["app"], keys["twin"]]
    assert verify(tmp_path, whole(), TWIN, keys=both, pins=pins).verdict is Verdict.OK
    report = verify(tmp_path, whole(), TWIN.without("1.1.1"), keys=both, pins=pins)
    assert [(f.kind, f.log) for f in report.findings] == [("truncated", f"app.{TWIN_ID}")]


def test_an_expected_log_is_named_without_doubt(tmp_path: Path, keys: dict[str, Path]) -> None:
    both = [keys["app"], keys["twin"]]
    with pytest.raises(ReportError, match=rf"several logs have that name: say app\.{forging.LOG_ID} or app\.{TWIN_ID}"):
        verify(tmp_path, whole(), keys=both, expect=["app"])
    report = verify(tmp_path, whole(), keys=both, expect=[f"app.{TWIN_ID}"])
    assert ("missing", f"app.{TWIN_ID}") in [(f.kind, f.log) for f in report.findings]
    with pytest.raises(ReportError, match="the log ap is expected, but no key of it was given"):
        verify(tmp_path, whole(), keys=both, expect=["ap"])


def test_logs_with_different_names_are_called_by_them(tmp_path: Path, keys: dict[str, Path]) -> None:
    report = verify(tmp_path, whole().without("1.0.2"), ELSE, keys=[keys["app"], keys["else"]])
    assert [log.name for log in report.logs] == ["app", "else"]
    assert [f.log for f in report.findings] == ["app"]


def test_one_log_is_judged_whatever_is_wrong_with_another_one(tmp_path: Path, keys: dict[str, Path]) -> None:
    report = verify(tmp_path, ELSE, keys=[keys["app"], keys["else"]], expect=["app", "else"])
    assert [(shown(f), f.log) for f in report.findings] == [
        ("failed missing ×0 - -", "app"),
        ("incomplete nothing verified ×0 - -", "app"),
    ]


def test_two_keys_for_one_log_are_one_log(tmp_path: Path, keys: dict[str, Path]) -> None:
    report = verify(tmp_path, whole(), keys=[keys["app"]], public=[keys["public"]])
    assert [(log.name, log.key) for log in report.logs] == [("app", "verification key")]
    with pytest.raises(FormatError, match="two keys for log id"):
        verify(tmp_path, whole(), keys=[keys["app"], keys["app"]])


def test_each_log_has_a_verdict_of_its_own(tmp_path: Path, keys: dict[str, Path]) -> None:
    both: dict[str, Any] = {"keys": [keys["app"], keys["else"]]}
    report = verify(tmp_path, whole().without("1.0.2"), ELSE, **both)
    assert [(log.name, log.verdict.value) for log in report.logs] == [("app", "failed"), ("else", "ok")]
    assert report.verdict is Verdict.FAILED
    lines = text_report(report).split("\n")
    assert [line.split("), ")[0] for line in lines if line.startswith("log ")] == [
        f"log app ({forging.LOG_ID}): failed, judged with its verification key",
        f"log else ({report.logs[1].log_id}): ok, judged with its verification key",
    ]
    # What is found of no log by name may be of any of them.
    report = verify(tmp_path, whole().behind("1.0.2", b"user=mallory"), ELSE, **both)
    assert [log.verdict.value for log in report.logs] == ["failed", "failed"]


# -- heads from a key store


def made(place: Path, name: str = "app") -> dict[str, Any]:
    """Seal a small log of its own under a name; return where its key is and where its store."""
    store = f"file:{place}/store"
    custody = f"master-key:{place}/master.key"
    place.mkdir(exist_ok=True)
    tallystick.create(name, store=store, custody=custody, key_file=f"{place}/{name}.key")
    with tallystick.open(name, output=f"{place}/{name}.log", store=store) as log:
        log.write("one")
    return {"keys": [place / f"{name}.key"], "store": store}


def test_a_key_store_gives_the_head_of_the_log_that_it_has(tmp_path: Path) -> None:
    here, there = made(tmp_path / "a"), made(tmp_path / "b")
    logs = [tmp_path / "a" / "app.log", tmp_path / "b" / "app.log"]
    report = tallystick.verify(logs, keys=[*here["keys"], *there["keys"]], store=here["store"])
    (finding,) = report.findings
    assert (finding.kind, finding.log) == ("open end", report.logs[1].name)
    report = tallystick.verify(logs[:1], keys=here["keys"], store=there["store"])
    assert [finding.kind for finding in report.findings] == ["no head", "open end"]


def test_a_store_that_should_have_a_head_and_has_none_is_a_bad_head(tmp_path: Path) -> None:
    place = made(tmp_path / "a")
    logs = [tmp_path / "a" / "app.log"]
    assert tallystick.verify(logs, **place).verdict is Verdict.OK
    (head,) = [path for path in (tmp_path / "a" / "store").rglob("*head*") if path.is_file()]
    kept = head.read_bytes()
    for changed in (None, b"tallyhead\n", kept.replace(b" 1.", b" 2.")):
        head.unlink()
        if changed is not None:
            head.write_bytes(changed)
            head.chmod(0o600)
        report = tallystick.verify(logs, **place)
        assert report.verdict is Verdict.FAILED
        assert "bad head" in {finding.kind for finding in report.findings}
        head.write_bytes(kept)
        head.chmod(0o600)
    assert tallystick.verify(logs, **place).verdict is Verdict.OK
    assert keystore.connect(place["store"]).load("app").head == kept.strip()


# -- exceptions, from one report to the next run


def test_what_a_report_tells_can_be_copied_into_the_exceptions(tmp_path: Path, keys: dict[str, Path]) -> None:
    bad = (
        whole().without("1.0.2", "1.0.3").changed("1.1.0", b"four", b"ruof").swapped("2.0.1", "2.0.2")
        .behind("2.0.3", b"user=mallory", "caf\N{LATIN SMALL LETTER E WITH ACUTE} \x01".encode())
        .behind("1.1.1", whole().line("1.1.1"))
    )  # fmt: skip
    first = verify(tmp_path, bad, keys=[keys["app"]]).to_dict()
    lines = []
    for finding in first["findings"]:
        if finding["sha256"]:
            at = f" {finding['log']} {finding['position']}" if finding["kind"] == "altered" else ""
            lines += [f"{finding['kind']}{at} sha256:{finding['sha256']}: known"] * (finding["count"] == 1)
        elif finding["position"]:
            to = f" to {finding['to']}" if finding["to"] else ""
            lines.append(f"{finding['kind']} {finding['log']} {finding['position']}{to}: known")
    (tmp_path / "exceptions").write_text("\n".join(lines))
    second = verify(tmp_path, bad, keys=[keys["app"]], exceptions=tmp_path / "exceptions")
    left = [f for f in second.findings if f.weight.value == "failed"]
    assert [(f.kind, f.count) for f in left] == [("unsealed", 2)]
    assert {use.use for use in second.exceptions} == {"used"}


def test_unsealed_lines_in_a_row_have_an_exception_each(tmp_path: Path, keys: dict[str, Path]) -> None:
    """A group of lines is told by its first one's SHA-256; when that is allowed, the next one is told."""
    bad, lines = whole().behind("2.0.3", b"one", b"two", b"three"), ""
    for number in range(3):
        (tmp_path / "exceptions").write_text(lines)
        (found,) = [
            f
            for f in verify(tmp_path, bad, keys=[keys["app"]], exceptions=tmp_path / "exceptions").findings
            if f.kind == "unsealed"
        ]
        assert (found.count, found.excerpt) == (3 - number, ["one", "two", "three"][number])
        lines += f"unsealed sha256:{found.sha256}: known\n"
    (tmp_path / "exceptions").write_text(lines)
    report = verify(tmp_path, bad, keys=[keys["app"]], exceptions=tmp_path / "exceptions")
    assert (report.verdict, report.unsealed, report.lines) == (Verdict.OK, 0, 18)


def test_an_exception_of_one_altered_line_excuses_none_of_those_beside_it(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    """Guards against `altered 1.0.50` that excused 143 lines which were folded into one finding."""
    writer = Writer().chain_of(*(f"user={number} action=login" for number in range(150)), "ended").log()
    bad = writer
    for number in range(50, 143):
        bad = bad.changed(f"1.0.{number}", b"login", b"nigol")
    given: dict[str, Any] = {"keys": [keys["app"]], "exceptions": tmp_path / "exceptions"}

    def line(number: int) -> str:
        digest = hashlib.sha256(bad.line(f"1.0.{number}")).hexdigest()
        return f"altered 1.0.{number} sha256:{digest}: an unlucky sed\n"

    (tmp_path / "exceptions").write_text(line(50))
    for most in (1, 100):
        report = verify(tmp_path, bad, **given, max_findings=most)
        assert [(f.weight.value, f.kind, f.count) for f in report.findings] == [
            ("failed", "altered", 92),
            ("note", "excepted", 1),
        ]
        assert report.findings[0].position == "1.0.51"
    (tmp_path / "exceptions").write_text("".join(map(line, range(50, 143))))
    assert verify(tmp_path, bad, **given, max_findings=1).verdict is Verdict.OK
    once_more = bad.changed("1.0.77", b"nigol", b"login ")
    assert [
        (f.kind, f.position) for f in verify(tmp_path, once_more, **given).findings if f.weight.value == "failed"
    ] == [("altered", "1.0.77")]


def test_an_altered_line_is_excepted_wherever_it_stands_and_hides_nothing_else(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    bad = whole().changed("1.0.2", b"two", b"owt")
    digest = hashlib.sha256(bad.line("1.0.2")).hexdigest()
    (tmp_path / "exceptions").write_text(f"altered 1.0.2 sha256:{digest}: a typing error\n")
    given: dict[str, Any] = {"keys": [keys["app"]], "exceptions": tmp_path / "exceptions"}
    assert verify(tmp_path, bad, **given).verdict is Verdict.OK
    for other, kind in (
        (bad.without("1.0.1"), "missing"),
        (bad.behind("1.0.2", b"user=mallory"), "unsealed"),
        (whole().without("1.0.2"), "missing"),  # the exception is not of its absence
    ):
        report = verify(tmp_path, other, **given)
        assert [f.kind for f in report.findings if f.weight.value == "failed"] == [kind]


# -- floods


def test_a_flood_of_one_kind_hides_no_other_one(tmp_path: Path, keys: dict[str, Path]) -> None:
    flood = [line for n in range(3000) for line in (b"junk %d" % n, forging.forged("1.0.2", b"a two"))]
    bad = whole().without("2.0.1").changed("3.0.1", b"one", b"eno").behind("1.0.4", *flood)
    report = verify(tmp_path, bad, keys=[keys["app"]], max_findings=10)
    assert ("failed altered ×1 0.log:6015 3.0.1") in {re.sub(r":60\d\d ", ":6015 ", shown(f)) for f in report.findings}
    assert ("missing", "2.0.1") in {(f.kind, f.position) for f in report.findings}
    for kind, count in (("unsealed", 3000), ("duplicate", 3000)):
        ours = [f for f in report.findings if f.kind == kind]
        assert len(ours) <= 11
        assert sum(f.count for f in ours) == count
        assert report.findings.count(ours[0]) == 1
    assert report.unsealed == 3000


def test_what_is_folded_is_counted_and_weighs_as_much(tmp_path: Path, keys: dict[str, Path]) -> None:
    bad = whole().without("1.0.2", "1.1.0", "2.0.1", "3.0.1")
    for most in (1, 2, 3, 4, 100):
        report = verify(tmp_path, bad, keys=[keys["app"]], max_findings=most)
        assert report.verdict is Verdict.FAILED
        assert sum(f.count for f in report.findings) == 4
        assert len(report.findings) == min(most + 1, 4)
        folded = [f for f in report.findings if f.detail == "more of this kind, not listed one by one"]
        assert [(f.position, f.path, f.count) for f in folded] == ([(None, None, 4 - most)] if most < 4 else [])


def test_what_a_flood_of_findings_folds_is_not_excepted_unseen(tmp_path: Path, keys: dict[str, Path]) -> None:
    bad = whole().without("1.0.2", "1.1.0", "2.0.1")
    (tmp_path / "exceptions").write_text("missing 2.0.1: known\n")
    report = verify(tmp_path, bad, keys=[keys["app"]], exceptions=tmp_path / "exceptions", max_findings=1)
    assert [(f.kind, f.weight.value, f.count) for f in report.findings] == [
        ("missing", "failed", 1),
        ("missing", "failed", 1),
        ("excepted", "note", 1),
    ]


# -- pins


def test_an_ok_run_keeps_a_pin_that_the_next_one_must_meet(tmp_path: Path, keys: dict[str, Path]) -> None:
    given: dict[str, Any] = {"keys": [keys["app"]], "pins_directory": tmp_path / "pins", "allow": ["open end"]}
    assert told(verify(tmp_path, closed(), **given)) == "ok"
    assert (tmp_path / "pins" / f"{forging.LOG_ID}.pin").read_text().split("\n")[1:] == [closed().pin("1.1.1"), ""]
    report = verify(tmp_path, closed().without("1.1.1"), **given)
    assert told(report) == "failed\nfailed truncated ×1 0.log:5 1.1.1"
    rolled_back = Writer().chain_of("one", "two", "continues", "eerht", "closed").log()
    assert told(verify(tmp_path, rolled_back, **given)).startswith("failed\nfailed bad statement ×1 0.log:6 1.1.1")


@pytest.mark.parametrize("bad", ["incomplete", "failed"])
def test_a_run_that_is_not_ok_keeps_no_pin(bad: str, tmp_path: Path, keys: dict[str, Path]) -> None:
    log = closed() if bad == "incomplete" else closed().changed("1.0.1", b"one", b"eno")
    assert verify(tmp_path, log, keys=[keys["app"]], pins_directory=tmp_path / "pins").verdict.value == bad
    assert not (tmp_path / "pins").exists()
