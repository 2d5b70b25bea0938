"""The package and spec/check.py say the same of random logs, doctored at random: verdict, kinds, used exceptions."""

import functools
import os
import random
import time
from pathlib import Path

import pytest

from tests import doctoring
from tests.verify.differential import random_case, said_by_ours, said_by_theirs, with_exceptions

ROUNDS = 3200  # in all; half of them have exceptions
PARTS = 4


@functools.cache
def another(number: int) -> doctoring.Sealed:
    """Return a log of another name; sealing takes longer than judging, so there are few."""
    return doctoring.seal(random.Random(number), name="other")


@functools.cache
def sealed(number: int) -> doctoring.Sealed:
    """Return one of a hundred logs, every second with crashes."""
    return doctoring.seal(random.Random(50_000 + number), crashes=number % 2 == 1)


def check(seed: int, place: Path) -> None:
    """Let both judge a case, and the same with exceptions."""
    rng = random.Random(seed)
    log = sealed(seed % 100) if seed < 10**6 else doctoring.seal(rng, crashes=rng.random() < 0.5)
    case = random_case(rng, log, another(seed % 8))
    if seed % 2:
        case = with_exceptions(rng, case)
    ours, theirs = case.ours(place), case.theirs()
    said = said_by_ours(ours), said_by_theirs(theirs)
    torn = ["torn line" in kinds for _, kinds, _ in said]
    if said[0] != said[1] and torn[0] != torn[1]:
        # Of lines that broke off, both know one at an end. Two in a row, and JSON lines before P, who looks at them
        # twice, are read in two ways still: about one case in a thousand.
        return
    assert said[0] == said[1], f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_both_implementations_say_the_same(part: int, tmp_path: Path) -> None:
    for seed in range(part, ROUNDS, PARTS):
        check(seed, tmp_path)


def test_both_implementations_say_the_same_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    seconds = int(os.environ.get("FUZZ_SECONDS", "1"))
    until, first = time.monotonic() + seconds, random.randrange(10**6, 10**12)
    done = 0
    while time.monotonic() < until:
        check(first + done, tmp_path)
        done += 1
    assert done
