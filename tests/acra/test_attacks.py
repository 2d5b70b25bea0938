"""Audit logs of Acra that someone doctored who knows the scheme, but not the key: none of them is ok.

What verifies them is compared with the scheme written a second time, in tests/acra/scheme.py.
"""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acra.scheme import (
    BETWEEN,
    FORMS,
    KEY,
    LAST,
    Writer,
    changed,
    intact,
    json_line,
    made,
    stripped,
    with_other_integrity,
    written,
)
from tests.cases import EVERY

LAST_IN = {
    "plaintext": [
        b'time="2026-01-01T00:00:00Z" level=info msg="chain=end %s"',
        b'time="2026-01-01T00:00:00Z" level=info msg="x \\" chain=end msg=\\"%s\\" chain=end"',
        b'time="2026-01-01T00:00:00Z" level=info msg="%s" a="b chain=end"',
        b'time="2026-01-01T00:00:00Z" level=info msg="%s, says chain=end" chain=end',
        b'time="2026-01-01T00:00:00Z" level=info msg="%s"',
    ],
    "cef": [
        b"CEF:0|cossacklabs|acra-server|0.96.0|100|chain\\=end %s|1|unixTime=1795404907.679",
        b"CEF:0|cossacklabs|acra-server|0.96.0|100|x \\|%s\\| chain\\=end|1|a=b chain\\=end unixTime=1795404907.679",
        b"CEF:0|cossacklabs|acra-server|0.96.0|100|%s|1|unixTime=1795404907.679",
    ],
    "json": [
        b'{"chain":"begin","msg":"%s"}', b'{"msg":"chain=end %s"}', b'{"chain":"end","msg":"%s, I say"}',
        b'{"a":{"chain":"end"},"msg":"%s"}',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("form", "text"), [(form, text) for form in FORMS for text in LAST_IN[form]])
def test_a_message_that_looks_like_the_end_of_a_chain_hides_no_cut(logs, form, text):
    """Whoever chooses a user name or a query chooses what stands in messages."""
    line = text % LAST.encode()
    data = json.loads(line) if form == "json" else line
    first = {"level": "info"} if form == "json" else b"CEF:0|level=info"
    assert logs.told(Writer().seal(first, data).lines) == [("open end", 1)]


def test_a_name_that_swallows_members_is_reported(logs):
    """`delimiter` is not escaped: a name that holds it is covered by the same bytes as the members that it swallows."""
    lines = made("json")
    members = json.loads(lines[7])
    user, code = members.pop("level"), members.pop("code")
    swallowed = {f"code{'delimiter'}{code}{BETWEEN}level": user}
    assert logs.told([*lines[:7], json_line(members | swallowed), *lines[8:]]) == [("altered", 8)]


def test_a_line_of_json_that_was_written_as_text_is_reported(logs):
    lines = made("json")
    members = json.loads(lines[7])
    integrity = members.pop("integrity")
    data = "".join(f"delimiter{name}delimiter{written(value)}delimiter" for name, value in sorted(members.items()))
    for form in ("auto", "plaintext", "json"):
        found = logs.told([*lines[:7], f"{data} integrity={integrity}".encode(), *lines[8:]], form=form)
        assert ("altered" if form == "auto" else "unsealed", 8) in found or form == "plaintext"
        assert found


@pytest.mark.parametrize("doctor", [changed, with_other_integrity, stripped])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1, 2, 42])
def test_the_first_line_of_the_only_chain_is_reported_though_nothing_else_fits(logs, form, doctor, length):
    """A service that was never restarted has one chain: where that is lost, no other key is to blame."""
    lines = Writer().seal(*([{"level": "info"}] * length if form == "json" else [b"CEF:0|level=info"] * length)).lines
    report = logs.verify([doctor(lines[0]), *lines[1:]])
    assert report.verdict.value == "failed"
    assert ("unsealed" if doctor is stripped else "altered", 1) in [(each.kind, each.line) for each in report.findings]


@pytest.mark.parametrize("form", FORMS)
def test_a_log_of_which_every_integrity_was_taken_away_is_no_more_than_text(logs, form):
    report = logs.verify([stripped(line).removesuffix(b" chain=new") for line in made(form)])
    assert report.verdict.value == "failed"
    first, second = report.findings
    assert (first.kind, first.detail.split(":")[0]) == ("nothing verified", "no line has an integrity")
    assert (second.kind, second.line, second.count) == ("unsealed", 1, 126)


@pytest.mark.parametrize("form", ["cef", "json"])
@pytest.mark.parametrize("length", [1, 2, 20, 41, 42])
def test_a_part_of_a_chain_that_is_there_once_more_is_a_copy(logs, form, length):
    lines = made(form)
    found = logs.told([*lines, *lines[84 : 84 + length]])
    assert ("duplicate", 127) in found
    assert ("reordered", 127) in found or length == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("within", [1, 30, 64, 80, 110])
def test_a_tail_that_was_cut_within_a_line_is_reported(logs, form, within):
    text = b"\n".join(made(form)[:100])[:-within]
    (logs.directory / "cut.log").write_bytes(text)
    report = logs.verify(text.split(b"\n"), accept_scheme_limits=True)
    assert report.verdict.value == "failed"
    assert (report.findings[0].line, next(e.line for e in report.findings if e.kind == "open end")) == (100, 85)


@pytest.mark.parametrize("text", [rb"\ud800", rb"\udc00\ud800", b"\xff", b"\xed\xa0\x80", b"\x01", rb"\x41"])
def test_what_is_no_text_in_json_is_reported_where_it_stands(logs, text):
    """Readers differ in what they make of it; Acra itself writes none of it."""
    lines = made("json")
    lines[9] = lines[9].replace("сталося".encode(), text)
    assert ("unsealed", 10) in logs.told(lines)
    lines = Writer().seal({"msg": "a � b"}, {"chain": "end", "msg": LAST}).lines
    assert logs.told(lines) == []
    assert ("unsealed", 1) in logs.told([lines[0].replace("�".encode(), text), lines[1]])


@pytest.mark.parametrize("message", ["\b", "\f", "\\u0008", "\\u000c \b", "\\u0008\f\\u000c\b", "\\\\u0008\b"])
@pytest.mark.parametrize("six", [False, True])
def test_control_characters_as_older_and_newer_versions_write_them_verify(logs, message, six):
    """Go wrote `\\b` and `\\f` in six letters before 1.22."""
    lines = Writer().seal({"msg": message}, {"chain": "end", "msg": LAST}).lines
    assert logs.told(lines) == []
    if six and message in ("\b", "\f"):
        long = lines[0].replace(b"\\b", b"\\u0008").replace(b"\\f", b"\\u000c")
        assert ("altered", 1) in logs.told([long, lines[1]])


# Any doctoring: ok is what the scheme says, written twice


SMALL = {
    form: Writer().seal(*first).seal(*second).seal(*second[1:]).lines
    for form, first, second in (
        ("plaintext", *(
            [b'time="2026-01-01T00:00:%02dZ" level=info msg="a integrity=%d"' % (at, n) for n in range(4)]
            + [b'time="2026-01-01T00:00:%02dZ" msg="%s" chain=end' % (at, LAST.encode())]
            for at in (1, 2)
        )),
        ("cef", *(
            [b"CEF:0|cossacklabs|acra-server|0.96.0|100|a %d|1|unixTime=%d.679" % (n, at) for n in range(4)]
            + [b"CEF:0|cossacklabs|acra-server|0.96.0|100|%s|1|chain=end unixTime=%d.679" % (LAST.encode(), at)]
            for at in (1, 2)
        )),
        ("json", *(
            [{"msg": f"<a> {n}", "n": {"b": [1e21, None, True], "a": 0.1}, "unixTime": f"{at}.679"} for n in range(4)]
            + [{"chain": "end", "msg": LAST, "unixTime": f"{at}.679"}]
            for at in (1, 2)
        )),
    )
}  # fmt: skip


def doctored(lines, changes):
    """Do one thing after the other to a log."""
    lines = list(lines)
    for what, at, to, text in changes:
        if not lines:
            break
        at, to = at % len(lines), to % len(lines)
        line = lines[at]
        place = to * 7 % (len(line) + 1)
        match what:
            case "remove":
                del lines[at]
            case "repeat":
                lines.insert(to, line)
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
            case "cut":
                del lines[max(at, 1) :]
            case "move a chain":
                part = lines[at : at + 5]
                lines = lines[:at] + lines[at + 5 :]
                lines[to:to] = part
            case "strip":
                lines[at] = stripped(line) if b"integrity" in line else line
            case "mark":
                lines[at] = line + b" chain=new" if line[:1] != b"{" else line.replace(b"{", b'{"chain":"new",', 1)
            case "unmark":
                lines[at] = line.replace(b" chain=new", b"").replace(b'"chain":"new",', b"")
            case "write anew":
                lines[at] = line.replace(b",", b"," + text, 1)
            case "integrity of another":
                other = re.findall(rb"[0-9a-f]{64}", lines[to])
                lines[at] = re.sub(rb"[0-9a-f]{64}", other[-1], line) if other else line
            case "overwrite":
                lines[at] = line[:place] + text + line[place + len(text) :]
            case "insert":
                lines[at] = line[:place] + text + line[place:]
            case "new line":
                lines.insert(at, text)
    return [part for line in lines for part in line.split(b"\n")]


WHAT = ["remove", "repeat", "swap", "cut", "move a chain", "strip", "mark", "unmark", "write anew", "overwrite",
        "insert", "integrity of another", "new line"]  # fmt: skip
changes = st.lists(
    st.tuples(
        st.sampled_from(WHAT),
        st.integers(0, 60),
        st.integers(0, 60),
        st.one_of(
            st.binary(max_size=6), st.sampled_from([b" ", b"chain=end", b'"', b"\\", b" chain=new", b"\r", b"\t"])
        ),
    ),
    max_size=3,
)


EXAMPLES = 1500 if EVERY else 400


def chains(lines):
    """The chains of an intact log, each by its last line."""
    return [line for line in lines if LAST.encode() in line]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_ok_is_what_the_scheme_says(logs, form):
    intact_ones = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changes)
    def tried(changes):
        lines = doctored(SMALL[form], changes)
        ok = logs.verify(lines, accept_scheme_limits=True, jobs=1).verdict.value == "ok"
        # Blanks at the end of a line, and blank lines, are nobody's.
        told = [line.rstrip(b" \t\r\f\n") for line in lines if line.strip(b" \t\r\f\n")]
        holds = bool(told) and intact(told, KEY)
        assert holds or not ok
        ends = chains(told)
        if holds and ends == [end for end in chains(SMALL[form]) if end in ends]:
            intact_ones.append(told)
            assert ok

    tried()
    assert len(intact_ones) > 10
