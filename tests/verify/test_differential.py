"""The package and spec/check.py say the same of random logs, doctored at random: verdict, kinds, used exceptions."""

import functools
import os
import random
import time
from pathlib import Path

import pytest

from tests import doctoring, forging
from tests.forging import Log, Writer
from tests.verify.differential import Case, random_case, said_by_ours, said_by_theirs, with_exceptions, with_witnesses

# In all; half of them have exceptions. `make torture` plays 1000, `make fuzz` others for as long as it is told.
ROUNDS = int(os.environ.get("TALLYSTICK_DIFFERENCES", "120"))
PARTS = 4


@functools.cache
def another(number: int) -> doctoring.Sealed:
    """Return a log of another name; sealing takes longer than judging, so there are few."""
    return doctoring.seal(random.Random(number), name="other")


@functools.cache
def sealed(number: int) -> doctoring.Sealed:
    """Return one of a hundred logs, every second with crashes."""
    return doctoring.seal(random.Random(50_000 + number), crashes=number % 2 == 1, adopts=number % 3 == 0)


@functools.cache
def twin(number: int) -> doctoring.Sealed:
    """Return another history of one of those logs, which only its own keys can have sealed."""
    return doctoring.seal(random.Random(70_000 + number), secrets=sealed(number).secrets)


def check(seed: int, place: Path) -> None:
    """Let both judge a case, and the same with exceptions."""
    rng = random.Random(seed)
    log = (
        sealed(seed % 100)
        if seed < 10**6
        else doctoring.seal(rng, crashes=rng.random() < 0.5, adopts=rng.random() < 0.3)
    )
    case = random_case(rng, log, another(seed % 8))
    if seed % 5 == 0:
        case = with_witnesses(
            rng, case, log, twin(seed % 100) if seed < 10**6 else doctoring.seal(rng, secrets=log.secrets)
        )
    if seed % 2:
        case = with_exceptions(rng, case)
    assert said_by_ours(case.ours(place)) == said_by_theirs(case.theirs()), f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_both_implementations_say_the_same(part: int, tmp_path: Path) -> None:
    for seed in range(part, ROUNDS, PARTS):
        check(seed, tmp_path)


@pytest.mark.parametrize("seed", [213914243568])
def test_both_implementations_say_the_same_where_they_once_did_not(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


def test_both_implementations_say_the_same_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    seconds = int(os.environ.get("FUZZ_SECONDS", "1"))
    until, first = time.monotonic() + seconds, random.randrange(10**6, 10**12)
    done = 0
    while time.monotonic() < until:
        check(first + done, tmp_path)
        done += 1
    assert done


JSON = (b'{"a":2,"b":1}', b'{"a":1,"b":2}', b'{"c":3}')
CRASHED = Writer(control="json").chain_of(*map(bytes.decode, JSON), "continues", JSON[0].decode()).log()
GOES_ON = Writer(control="json").chain_of(JSON[1].decode(), "continues", JSON[2].decode()).chain_of("x", "closed").log()


def with_seal_of(log: Log, position: str, m: bytes) -> bytes:
    """Another JSON text with the seal of a line."""
    return m[:-1] + b',"tally"' + log.line(position).rpartition(b',"tally"')[2]


def anew(line: bytes) -> bytes:
    """A JSON line as a carrier writes it."""
    return line.replace(b'":', b'": ')


FOUND_ONCE = {
    "one JSON line at an unclean end broke off, whatever seal it has": (
        CRASHED.data + with_seal_of(CRASHED, "1.0.1", b'{"d":[4,5]}') + b"\n",
        ("failed", {"open end", "torn line", "uncovered", "reordered"}),
    ),
    "of two at an unclean end neither did": (
        CRASHED.data + with_seal_of(CRASHED, "1.0.1", b'{"d":[4,5]}') + b"\nu",
        ("failed", {"altered", "open end", "uncovered", "reordered", "unsealed"}),
    ),
    "lines written anew count as the last line before a broken one": (
        b"\n".join([*map(anew, CRASHED.lines), b'{"a"']),
        ("incomplete", {"open end", "torn line", "uncovered", "reserialized"}),
    ),
    "a whole line that claims a position whose line R covers broke off nowhere": (
        GOES_ON.behind("1.1.0", forging.forged("1.0.1", b"x")).data,
        ("failed", {"altered", "open end", "uncovered", "unclean end", "reordered"}),
    ),
}

FOUND_ONCE |= {
    "an opening that a carrier wrote anew and somebody changed is a bad one": (
        b"\n".join([anew(CRASHED.lines[0]).replace(b" 1795401650000 ", b" 1795401650001 "), *CRASHED.lines[1:], b""]),
        ("failed", {"altered", "bad statement", "open end", "uncovered"}),
    ),
    "copies that a carrier wrote anew are told as such": (
        CRASHED.data + anew(CRASHED.lines[1]) + b"\n",
        ("failed", {"duplicate", "open end", "reserialized", "uncovered"}),
    ),
    "so is one before lines that no R covers": (
        b"\n".join([anew(CRASHED.lines[0]).replace(b" 1795401650000 ", b" 1795401650001 "), CRASHED.lines[1], b""]),
        ("failed", {"bad statement", "open end", "uncovered"}),
    ),
}


@pytest.mark.parametrize("name", FOUND_ONCE)
def test_what_was_read_in_two_ways_once_is_read_in_one(name: str, tmp_path: Path) -> None:
    data, (verdict, kinds) = FOUND_ONCE[name]
    case = Case({"a.log": data}, public=forging.public_text())
    said = said_by_ours(case.ours(tmp_path)), said_by_theirs(case.theirs())
    assert said == ((verdict, sorted(kinds), []), (verdict, sorted(kinds), []))


def test_a_copy_in_another_file_is_none_in_one_file_because_a_line_before_it_is_there_twice(tmp_path: Path) -> None:
    lines = forging.closed().data.splitlines(keepends=True)
    twice, copy = b"".join([*lines[:1], *lines]), b"".join(lines[1:3])
    case = Case(
        {"a.log": twice, "b.log": copy},
        key=forging.key_text(),
        head=forging.closed().head("1.1.2"),
        exceptions="duplicate 1.0.0: known\n",
    )
    said = "ok", ["duplicate", "excepted"], [True]
    assert (said_by_ours(case.ours(tmp_path)), said_by_theirs(case.theirs())) == (said, said)
