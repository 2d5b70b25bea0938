"""A torn line says nothing more than a crash can say: beginnings of openings, and what only looks like one."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tests import forging
from tests.forging import LOG_ID, MAKE, Log, Writer

CHECK = MAKE.check
CLOSED = Writer().chain_of("one", "closed").log()
HEAD = CLOSED.head("1.0.3")
PIN = CLOSED.pin("1.0.2")


def opening(control: str, *, chains: int = 2) -> bytes:
    """The first line of chain 2 as its writer makes it, after chain 1 of CLOSED."""
    writer = Writer(control="plain").chain_of("one", "closed")
    writer.control = control
    for _ in range(chains - 2):
        writer.burn()
    line: bytes = writer.chain_of().lines[-1]
    return line


def verdicts(data: bytes | dict[str, bytes], place: Path, key: str = "V") -> set[tuple[str, frozenset[str]]]:
    """What package and spec/check.py say: verdict and kinds."""
    files = data if isinstance(data, dict) else {"app.log": data}
    text = forging.key_text() if key == "V" else forging.public_text()
    place.mkdir(exist_ok=True)
    (place / "key").write_text(text + "\n")
    (place / "head").write_text(HEAD + "\n")
    for name, content in files.items():
        (place / name).write_bytes(content)
    given: dict[str, Any] = (
        {"keys": [place / "key"], "head": place / "head"} if key == "V" else {"public": [place / "key"]}
    )
    report = tallystick.verify([place / name for name in files], pins=[PIN], **given)
    keys = {"key_text": text, "head_text": HEAD} if key == "V" else {"public_text": text}
    theirs = CHECK.verify(files, **keys, pins=[PIN])
    ours = report.verdict.value, frozenset(finding.kind for finding in report.findings)
    return {ours, (theirs["verdict"], frozenset(finding["kind"] for finding in theirs["findings"]))}


TORN = ("ok", frozenset({"torn line"}))
OPEN_TORN = ("incomplete", frozenset({"torn line", "open end"}))  # with P only: a pin anchors no end
UNSEALED = ("failed", frozenset({"unsealed"}))


def cuts(line: bytes) -> list[int]:
    """Where a line is cut: before and behind each mark between fields, and at random."""
    marks = [number + more for number, byte in enumerate(line) if byte in b' ."=' for more in (0, 1)]
    return sorted({*marks, 1, 14, 15, len(line) - 1, *random.Random(5).sample(range(1, len(line)), 8)})


@pytest.mark.parametrize("key", ["V", "P"])
@pytest.mark.parametrize("control", ["plain", "json"])
@pytest.mark.parametrize("chain", [2, 17])
def test_each_beginning_of_the_next_opening_is_torn(chain: int, control: str, key: str, tmp_path: Path) -> None:
    line, torn = opening(control, chains=chain), TORN if key == "V" else OPEN_TORN
    for cut in cuts(line):
        assert verdicts(CLOSED.data + line[:cut], tmp_path, key) == {torn}, line[:cut]
    assert verdicts(CLOSED.data + line[:60] + bytes(3000), tmp_path, key) == {torn}
    assert verdicts({"app.log": CLOSED.data, "new.log": line[:200]}, tmp_path, key) == {torn}


def doctored(control: str) -> Iterator[tuple[str, bytes, str]]:
    """Lines that are no beginning of the next opening: what is wrong, the line, keys that can tell."""
    line = opening(control)
    begin = b'{"tallystick":"' if control == "json" else b""
    words = line.removeprefix(begin).split(b" ")
    named, cert = words[6].split(b"."), words[7].split(b".")
    signature = words[8].split(b'"')[0]

    def until(number: int, word: bytes, rest: bytes = b"") -> bytes:
        return begin + b" ".join([*words[:number], word]) + rest

    def other(text: bytes) -> bytes:
        return (b"A" if text[:1] != b"A" else b"B") + text[1:]

    def prev(*parts: bytes) -> bytes:
        return until(6, b".".join(parts))

    def of_cert(number: int, part: bytes, rest: bytes = b"") -> bytes:
        return until(7, b".".join([*cert[:number], part]) + rest)

    yield "text behind the number", until(4, b"2 ", b"user=root action=login"), "VP"
    yield "text behind the log id", until(4, b"user=root"), "VP"
    yield "160 NULs and text", bytes(160) + b"user=root action=login", "VP"
    yield "NULs and an opening", bytes(160) + line[:60], "VP"
    yield "an opening, NULs and text", line[:60] + bytes(200) + b"user=root", "VP"
    yield "another name", until(2, b"apq"), "VP"
    yield "another log", until(3, b"aaaaaaab"), "VP"
    yield "a chain that is here", until(4, b"1 2"), "VP"
    yield "no chain", until(4, b"0"), "VP"
    yield "a chain with a leading zero", until(4, b"02"), "VP"
    yield "a chain that is none", until(4, b"4294967296"), "VP"
    yield "a time with a leading zero", until(5, b"01"), "VP"
    yield "a time that is none", until(5, b"9007199254740992"), "VP"
    yield "a head of its own chain", prev(b"2"), "VP"
    yield "a head that was not reached", prev(b"1", b"0", b"4", *named[3:]), "VP"
    yield "a head of an epoch to come", prev(b"1", b"1", b"0", *named[3:]), "VP"
    yield "no head", prev(b"1", b"0", b"0"), "VP"
    yield "the first head with a position", prev(b"0", b"0", b"1"), "VP"
    yield "the first head with a hash", prev(b"0", b"0", b"0", named[3]), "VP"
    yield "the hash of another statement", prev(*named[:3], other(named[3])), "VP"
    yield "letters that are no b64", prev(*named[:3], b"user=root"), "VP"
    yield "another proof", prev(*named[:4], other(named[4])), "V"
    yield "a root with spare bits", of_cert(0, cert[0][:-1] + bytes([cert[0][-1] + 1])), "VP"
    yield "a root that is too long", of_cert(0, cert[0] + b"A"), "VP"
    yield "another chain key", of_cert(2, b".".join([other(cert[2]), cert[3]])), "VP"
    yield "another path", of_cert(3, other(cert[3])), "VP"
    yield "another certificate", of_cert(4, other(cert[4])), "VP"
    yield "another signature", until(8, other(signature)), "VP"
    mark = b'","tally":"' if control == "json" else b" tally="
    whole, seal = until(8, signature) + mark, line.split(mark)[1]
    yield "words behind it", until(8, signature, b" and more"), "VP"
    yield "a seal of another length", whole + seal.split(b".")[0] + b".2.0.0.1.", "VP"
    yield "a seal of another place", whole + seal.split(b".")[0] + b".2.0.1.", "VP"
    if control == "json":
        yield "another tag", whole + seal[:-24] + other(seal[-24:-2]), "V"


@pytest.mark.parametrize("control", ["plain", "json"])
def test_nothing_else_passes_for_an_opening_that_broke_off(control: str, tmp_path: Path) -> None:
    cases = list(doctored(control))
    assert len(cases) > 30
    for what, line, keys in cases:
        for key in keys:
            for files in (CLOSED.data + line, {"app.log": CLOSED.data, "new.log": line}):
                told = verdicts(files, tmp_path, key)
                assert {verdict for verdict, _ in told} == {"failed"}, (what, key, told)
                assert all("torn line" not in kinds for _, kinds in told), (what, key, told)


def test_the_opening_of_a_chain_that_was_passed_over_may_end_another_file(tmp_path: Path) -> None:
    # The host died while chain 2 was opened; chain 3 went to a new file.
    writer = Writer().chain_of("one", "closed")
    broken = opening("plain")[:300]
    writer.burn()
    later = Log(tuple(writer.chain_of("three", "ended").lines[3:]))
    head = writer.head_text()
    for files in (
        {"a.log": CLOSED.data + broken, "b.log": later.data},
        {"b.log": CLOSED.data + broken, "a.log": later.data},
    ):
        (tmp_path / "key").write_text(forging.key_text() + "\n")
        (tmp_path / "head").write_text(head + "\n")
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        report = tallystick.verify([tmp_path / n for n in files], keys=[tmp_path / "key"], head=tmp_path / "head")
        assert (report.verdict.value, {f.kind for f in report.findings}) == ("ok", {"torn line"})
        assert CHECK.verify(files, forging.key_text(), head_text=head)["verdict"] == "ok"


def test_several_openings_may_have_broken_off_in_order(tmp_path: Path) -> None:
    second, third = opening("plain", chains=2)[:100], opening("plain", chains=3)[:50]
    assert verdicts(CLOSED.data + second + b"\n" + third, tmp_path) == {TORN}
    assert verdicts(CLOSED.data + third + b"\n" + second, tmp_path) == {UNSEALED}
    assert verdicts(CLOSED.data + second + b"\nuser=root", tmp_path) == {UNSEALED}


def test_a_number_that_broke_off_is_of_a_chain_that_may_come(tmp_path: Path) -> None:
    begin = f"tallystick/v1 open app {LOG_ID} ".encode()
    for digits in (b"", b"1", b"2", b"42949", b"4294967295"):
        assert verdicts(CLOSED.data + begin + digits, tmp_path) == {TORN}, digits
    # Of chains 2 to 8, which chain 9 passed over, no number begins with 1.
    writer = Writer().chain_of("one", "closed")
    for _ in range(7):
        writer.burn()
    lines = writer.chain_of("nine", "ended").lines
    for digits, verdict in ((b"8", "incomplete"), (b"1", "failed")):
        data = b"".join(line + b"\n" for line in [*lines[:3], begin + digits, *lines[3:]])
        assert {told for told, _ in verdicts(data, tmp_path, "P")} == {verdict}, digits
