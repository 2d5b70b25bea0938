"""What was judged before, and the rest, give the facts of all: whatever is the matter with either."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tallystick import _core
from tests import doctoring

RUNS = int(os.environ.get("TALLYSTICK_SETTLED_RUNS", "3"))
Files = Sequence[bytes]


def scan(keys: _core.Keys, mode: _core.Mode, files: Files, number: int) -> _core.Summary:
    data = files[number]
    return _core.scan(keys, mode, data, len(data), file=number, chunk=0, offset=0)


def facts(keys: _core.Keys, files: Files, settled: _core.Settled | None = None, held: int = 0) -> _core.Facts:
    """Verify files, of which so many, from the first on, were judged before."""
    verification = _core.Verification(keys)
    begin = held
    while (mode := verification.next_pass()) is not None:
        for number in range(begin, len(files)):
            verification.merge(scan(keys, mode, files, number))
        if begin and settled is not None:
            verification.take_settled(settled)
        begin = 0  # later passes read all that they want
    whole = [number for number, data in enumerate(files) if data.endswith(b"\n")]
    return verification.finish(_core.Expected(whole=whole), set())


def settle(keys: _core.Keys, files: Files, count: int) -> _core.Settled:
    """Judge the first files, in the form in which they are remembered."""
    found = _core.Summary()
    for number in range(count):
        stored = scan(keys, _core.Mode.all(), files, number).to_memory()
        found.merge(_core.Summary.from_memory(stored, number))
    return _core.Settled(keys, found)


def plain(value: Any) -> Any:
    """Return what the core gives as values that can be compared."""
    if type(value).__module__ != "tallystick._core" or isinstance(value, str):
        return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value
    names = [name for name in dir(value) if not name.startswith("_")]
    return {name: plain(found) for name in names if not callable(found := getattr(value, name))}


def said(found: _core.Facts, with_v: bool) -> dict[str, Any]:
    """Return all that facts say of one log."""
    chains = dict(found.chains(0, with_v))
    ends = {number: (number, facts.last[1], facts.last[2] + 1) for number, facts in chains.items()}
    beyond = {number: (number, min(facts.last[1] + 1, 255), 0) for number, facts in chains.items()}
    first = [(number, 0, 0) for number in chains]
    return {
        "chains": plain(sorted(chains.items())),
        "events": plain(found.events()),
        "torn": found.torn(),
        "unlisted": found.unlisted(),
        "duplicates": plain(sorted(map(plain, found.duplicates()), key=str)),
        "counts": plain(found.counts(0)),
        "notices": plain(found.notices(0)),
        "extent": plain(found.extent(0)),
        "chunks": plain(found.chunks()),
        "gaps": [plain(found.gaps(0, at, end)) for at in first for end in (None, ends[at[0]], beyond[at[0]])],
        "statements": [plain(found.statement_before(0, at)) for at in [*ends.values(), *beyond.values()]],
        "reaches": [found.reaches(0, at) for at in [*ends.values(), *beyond.values()]],
    }


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut lines into files."""
    lines = data.splitlines(True)
    at = sorted(rng.randrange(len(lines) + 1) for _ in range(rng.randrange(1, 5)))
    return [b"".join(lines[begin:end]) for begin, end in zip([0, *at], [*at, len(lines)], strict=True)]


@pytest.mark.parametrize("with_v", [True, False], ids=["V", "P"])
def test_what_was_judged_before_and_the_rest_give_the_facts_of_all(with_v: bool, tmp_path: Path) -> None:
    for seed in range(RUNS):
        rng = random.Random(f"settled {seed}")
        log, other = doctoring.seal(rng), doctoring.seal(rng)
        doctoring.write(tmp_path, log)
        keys = _core.Keys()
        with open(tmp_path / ("log.key" if with_v else "log.pub"), "rb") as file:
            (keys.add_key if with_v else keys.add_public)(file.fileno())
        doctored = [data for _, data in (doctoring.doctor(rng, log, other) for _ in range(6))]
        for data in [log.data, log.data, *doctored]:
            files = cut(rng, data)
            if rng.random() < 0.5:
                files += rng.choices(cut(rng, log.data), k=2)  # shipped again
            held = rng.randrange(1, len(files))
            wanted = said(facts(keys, files), with_v)
            before = settle(keys, files, held)
            for _ in range(2):  # the first use of it changes nothing
                assert said(facts(keys, files, before, held), with_v) == wanted, (seed, held)
