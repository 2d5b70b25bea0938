"""Audit logs of Acra: what its scheme can prove is found, what it cannot is told."""

import base64
import gzip
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tallystick import acra
from tallystick.errors import FormatError, ReportError, explain
from tallystick.reports.plain import schema
from tests.acra import scheme
from tests.acra.scheme import FORMS, KEY, LAST, Writer, changed, made, stripped, with_other_integrity

DATA = Path(__file__).parent / "data"


def logs_of_others():
    """Logs that were not made here: by Go's own encoding/json, and, where there are some, by Acra itself."""
    places = [DATA]
    if "TALLYSTICK_DATA" in os.environ:
        places.append(Path(os.environ["TALLYSTICK_DATA"]) / "acra")
    return [pytest.param(place, form, id=f"{place.name}-{form}") for place in places for form in FORMS]


# Whole logs


@pytest.mark.parametrize(("place", "form"), logs_of_others())
def test_logs_that_others_wrote_verify_and_each_doctoring_of_them_is_found(logs, place, form):
    shutil.copy(place / "key.hex", logs.directory / "key")
    lines = (place / f"{form}.log").read_bytes().split(b"\n")[:-1]
    assert len(lines) in (46, 126)
    assert logs.verify(lines).verdict.value == "incomplete"
    assert logs.verify(lines, accept_scheme_limits=True).verdict.value == "ok"
    for number in range(len(lines)):
        assert_each_doctoring_is_found(logs, form, lines, number)


@pytest.mark.parametrize("form", FORMS)
def test_an_intact_log_is_incomplete_with_the_reasons_and_ok_if_these_are_accepted(logs, form):
    report = logs.verify(made(form))
    kinds = {each.kind for each in report.findings} - {"duplicate"}
    assert (report.verdict.value, kinds, report.lines) == ("incomplete", {"scheme limit"}, 126)
    accepted = logs.verify(made(form), accept_scheme_limits=True)
    assert (accepted.verdict.value, {each.weight.value for each in accepted.findings}) == ("ok", {"note"})
    assert logs.verify(made(form), form=form).findings == report.findings


@pytest.mark.parametrize("form", FORMS)
def test_each_doctoring_of_any_line_is_found_at_that_line(logs, form):
    lines = made(form)
    for number in range(126):
        assert_each_doctoring_is_found(logs, form, lines, number)


def assert_each_doctoring_is_found(logs, form, lines, number):
    begins = [at for at, line in enumerate(lines) if line.endswith(b" chain=new") or b'"chain":"new"' in line]
    for doctor, kind in ((changed, "altered"), (with_other_integrity, "altered"), (stripped, "unsealed")):
        doctored = [*lines[:number], doctor(lines[number]), *lines[number + 1 :]]
        assert (kind, number + 1) in logs.told(doctored), doctor.__name__
    inserted = changed(lines[number])
    assert ("altered", number + 1) in logs.told([*lines[:number], inserted, *lines[number:]])
    bare_line = b'{"msg":"never"}' if form == "json" else b"never"
    assert ("unsealed", number + 1) in logs.told([*lines[:number], bare_line, *lines[number:]])
    if b"Prepare to" in b"".join(lines[number + 1 : number + 2]):
        swapped = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
        assert ("reordered", number + 1) in logs.told(swapped)
    removed = logs.told([*lines[:number], *lines[number + 1 :]])
    if number + 1 == len(lines) or number + 1 in begins:
        assert ("open end", max(begin for begin in begins if begin <= number) + 1) in removed
    else:
        assert (("altered", number + 1) if number else ("late start", 1)) in removed


@pytest.mark.parametrize("form", FORMS)
def test_lines_that_were_swapped_are_reported(logs, form):
    lines = made(form)
    lines[50], lines[51] = lines[51], lines[50]
    assert logs.told(lines) == [("reordered", 51)]


@pytest.mark.parametrize("form", ["cef", "json"])
def test_chains_that_were_swapped_or_repeated_are_reported(logs, form):
    one, two, three = (made(form)[start : start + 42] for start in (0, 42, 84))
    swapped = logs.told([*two, *one, *three])
    assert ("reordered", 43) in swapped
    repeated = logs.told([*one, *two, *one, *three])
    assert ("duplicate", 85) in repeated


def test_a_chain_that_is_there_twice_within_a_second_may_be_a_copy(logs):
    report = logs.verify(made("plaintext"))
    assert [each.line for each in report.findings if each.kind == "duplicate"] == [43, 85]


@pytest.mark.parametrize("form", FORMS)
def test_a_chain_that_was_removed_leaves_no_trace_and_that_is_reported(logs, form):
    report = logs.verify(made(form)[42:])
    assert report.verdict.value == "incomplete"
    assert any("can be removed" in each.detail for each in report.findings)


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("form", FORMS)
def test_a_tail_that_was_cut_is_reported_whatever_is_accepted(logs, form, count):
    assert logs.told(made(form)[:-count]) == [("open end", 85)]
    assert logs.verify(made(form)[:-count], accept_scheme_limits=True).verdict.value == "incomplete"


@pytest.mark.parametrize("form", FORMS)
def test_lines_before_the_first_chain_cannot_be_judged(logs, form):
    lines = made(form)[10:]
    report = logs.verify(lines, accept_scheme_limits=True)
    (late,) = (each for each in report.findings if each.kind == "late start")
    assert (late.line, late.count, report.verdict.value) == (1, 32, "incomplete")


# What Acra's own reader stumbles over


@pytest.mark.parametrize(
    "message",
    [
        b"x" * 100_000, b"a integrity=b", b"integrity=" + b"0" * 64, b"", b" ", b"tab\\tquote\\\"",
        b"End of current audit log chain", b"chain=end End of current audit log chain", b"chain=new", b"\xff\xfe",
    ],
    ids=repr,
)  # fmt: skip
def test_messages_that_look_like_something_else_are_verified(logs, message):
    writer = Writer().chain(b"first", message, b"last").chain(b"next", time="2026-01-01T00:00:01Z")
    assert logs.told(writer.lines) == []
    lines = list(writer.lines)
    lines[1] = changed(lines[1])
    assert logs.told(lines)[0] == ("altered", 2)


def test_line_ends_of_windows_blanks_behind_and_blank_lines_do_no_harm(logs):
    lines = Writer().chain(b"first", b"second").lines
    assert logs.told([lines[0] + b"\r", b"", lines[1] + b" ", b"\r", lines[2]]) == []


@pytest.mark.parametrize(
    "doctor",
    [
        lambda line: line.replace(b"{", b'{"code":7,', 1), lambda line: line.replace(b":500", b":500.0"),
        lambda line: line.replace(b":500", b":5e2"), lambda line: line.replace(b",", b", ", 1),
        lambda line: line.replace(b"info", b"\\u0069nfo"),
        lambda line: line.replace(b":500", b":500.00000000000000000001"),
    ],
)  # fmt: skip
def test_json_that_says_the_same_in_other_bytes_is_reported(logs, doctor):
    """Names twice above all: people and programs differ in which one they read."""
    lines = made("json")
    assert doctor(lines[0]) != lines[0]
    assert logs.told([doctor(lines[0]), *lines[1:]]) == [("altered", 1)]


def test_markers_are_not_covered_and_are_reported_when_they_lie(logs):
    lines = made("cef")
    lines[42] = lines[42].removesuffix(b" chain=new")
    lines[60] += b" chain=new"
    assert logs.told(lines) == [("altered", 43), ("altered", 61)]


# Logs and tables made by Go


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here")
def test_the_logs_here_are_what_the_program_beside_them_writes(tmp_path):
    subprocess.run(["go", "run", DATA / "make.go"], cwd=tmp_path, check=True)
    made_now = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert made_now == {path.name: path.read_bytes() for path in DATA.iterdir() if path.suffix != ".go"}


def test_the_second_implementation_agrees_with_go():
    cases = [json.loads(line) for line in (DATA / "values.jsonl").read_text().split("\n")[:-1]]
    assert len(cases) == 292
    for case in cases:
        assert scheme.written(json.loads(case["given"], parse_int=float)) == case["written"]
    for form in FORMS:
        lines = (DATA / f"{form}.log").read_bytes().split(b"\n")[:-1]
        assert scheme.intact(lines, bytes.fromhex((DATA / "key.hex").read_text()))


# Files and keys


def test_rotated_and_compressed_files_are_one_log_in_the_order_of_their_times(tmp_path, logs):
    lines = [*Writer().chain(*[b"%d" % i for i in range(50)]).lines]
    later = Writer().chain(b"x", time="2026-01-02T00:00:00Z").lines
    for name, part in (("audit.log.2", lines[:20]), ("audit.log.1", lines[20:]), ("audit.log", later)):
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in part))
    (tmp_path / "audit.log.2.gz").write_bytes(gzip.compress((tmp_path / "audit.log.2").read_bytes()))
    (tmp_path / "audit.log.2").unlink()
    report = acra.verify([tmp_path / "audit.log*"], key=tmp_path / "key", accept_scheme_limits=True)
    assert (report.verdict.value, report.lines) == ("ok", 53)
    assert {finding.kind for finding in report.findings} == {"scheme limit"}


def test_a_service_that_changed_its_form_left_one_log_whatever_stands_before_it(tmp_path, logs):
    """Standard output begins with what is no line of the log; and a time in s may lie within the second before it."""
    time = {"unixTime": "1767225600.900"}
    fine = Writer().seal(time | {"msg": "x"}, time | {"chain": "end", "msg": LAST}).lines
    coarse = Writer().chain(b"x", time="2026-01-01T00:00:00Z").lines
    (tmp_path / "a.log").write_bytes(b"\n".join([*fine, b""]))
    (tmp_path / "b.log").write_bytes(b"\n".join([*coarse, b""]))
    for names in (["a.log", "b.log"], ["*.log"]):
        paths = [tmp_path / name for name in names]
        report = acra.verify(paths, key=tmp_path / "key", accept_scheme_limits=True)
        assert (report.verdict.value, report.lines) == ("ok", 4)
    assert logs.told([*fine, *coarse]) == []
    assert logs.told([b"welcome", *fine, *coarse]) == [("unsealed", 1)]


def test_a_log_that_was_reformatted_is_one_finding(logs):
    lines = [line.replace(b",", b", ") for line in made("json")]
    assert logs.told(lines) == [("altered", 1)]


def test_lines_that_only_say_that_they_begin_chains_are_no_chains(logs):
    forged = [b"x integrity=%s chain=new" % (b"0" * 64)] * 1000
    report = logs.verify([*made("cef"), *forged], max_findings=10)
    assert [finding.count for finding in report.findings if finding.kind == "altered"] == [1] * 10 + [990]
    assert "open end" not in {finding.kind for finding in report.findings}


@pytest.mark.parametrize("text", [KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n", base64.b64encode(KEY)])
def test_a_key_is_taken_as_bytes_hexadecimal_or_base64(logs, text):
    (logs.directory / "key").write_bytes(text)
    assert logs.verify(made("cef"), accept_scheme_limits=True).verdict.value == "ok"


@pytest.mark.parametrize("text", [b"", b"x" * 31, b"zz" * 32, b"tallysecret1abc"])
def test_what_is_no_key_is_refused_and_not_shown(logs, text):
    (logs.directory / "key").write_bytes(text)
    with pytest.raises(FormatError, match="no key of an audit log") as caught:
        logs.verify(made("cef"))
    assert "tallysecret" not in explain(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_with_another_key_nothing_is_verified_and_that_is_reported_first(logs, form):
    """No line says which key it was sealed with: another key and beginnings that were altered look the same."""
    (logs.directory / "key").write_bytes(bytes(32))
    report = logs.verify(made(form), accept_scheme_limits=True)
    kinds = [each.kind for each in report.findings]
    assert (kinds[0], set(kinds[1:]), report.verdict.value) == ("nothing verified", {"altered", "uncovered"}, "failed")
    assert report.findings[0].detail.startswith("no line fits: give the key of this log")


def test_an_unknown_form_is_refused(logs):
    with pytest.raises(ReportError, match="is not a form"):
        logs.verify(made("cef"), form="xml")


def test_any_bytes_end_in_a_report(logs):
    rng = random.Random(7)
    for form in FORMS:
        data = b"\n".join(made(form))
        for _ in range(60):
            doctored = bytearray(data)
            for _ in range(rng.randrange(1, 30)):
                doctored[rng.randrange(len(data))] = rng.randrange(256)
            report = logs.verify(bytes(doctored).split(b"\n"), accept_scheme_limits=True)
            assert report.verdict.value != "ok" or doctored == data


# The command line


def test_the_command_reports_and_leaves_as_verify_does(bare):
    for form in FORMS:
        (bare.path / f"{form}.log").write_bytes(b"\n".join(made(form)) + b"\n")
    (bare.path / "key").write_text(KEY.hex())
    assert bare("acra", "json.log", "--key", "key").status == 3
    done = bare("acra", "json.log", "--key", "key", "--accept-scheme-limits", "--format", "json")
    assert (done.status, json.loads(done.out)["verdict"]) == (0, "ok")
    assert b"as far as the scheme" in bare("acra", "cef.log", "--key", "key", "--accept-scheme-limits").out
    lines = made("plaintext")
    (bare.path / "doctored.log").write_bytes(b"\n".join([*lines[:9], changed(lines[9]), *lines[10:]]))
    done = bare("acra", "doctored.log", "--key", "key")
    assert (done.status, b"altered doctored.log:10" in done.out.replace(b"    ", b" ")) == (5, True)
    done = bare("acra", "doctored.log", "--key", "key", "--format", "json")
    jsonschema.Draft202012Validator(schema()).validate(json.loads(done.out))
    for report in ("sarif", "html"):
        assert bare("acra", "doctored.log", "--key", "key", "--format", report, "-o", f"r.{report}").status == 5
    assert bare("acra", "nowhere.log", "--key", "key").status == 3
    assert bare("acra", "json.log").status == 2
    assert bare("acra", "json.log", "--key", "json.log").status in (2, 4)
