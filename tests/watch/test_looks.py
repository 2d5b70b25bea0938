"""A look of the service finds what a run over everything finds, whatever happened since the look before."""

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Verdict, inputs, marks
from tallystick.verify.request import Request
from tallystick.verify.session import Session
from tests.verify.test_resume import TICK, Place, flipped, forge_times, history, long_log
from tests.watch.playing import Site

ROUNDS = int(os.environ.get("TALLYSTICK_RESUMED_RUNS", "12"))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of some kilobytes have many parts, and be settled soon."""
    monkeypatch.setattr(inputs, "CHUNK", 2048)
    monkeypatch.setattr(marks, "TICK", TICK)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A place for logs."""
    return Site(tmp_path)


def session_of(place: Place) -> Session:
    """Return a session that looks at the files of a place."""
    keys = {name: tuple(paths) for name, paths in place.keys.items()}
    return Session(Request(paths=(place.files,), store="none", jobs=1, resume=place.memory, **keys))  # type: ignore[arg-type]


@pytest.mark.parametrize("with_v", [True, False], ids=["V", "P"])
@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_a_look_finds_what_a_full_run_finds_whatever_happened(seed: int, with_v: bool, tmp_path: Path) -> None:
    rng = random.Random(f"look {seed} {with_v}")
    place = Place(tmp_path, long_log(rng), with_v=with_v)
    place.append(20)
    session = session_of(place)
    for number in range(24):
        effort = rng.choice([None, 2**20])  # that much covers all files: whatever was done to one that grew, too
        if number % 4 == 0:
            for _ in range(1 if effort is None else rng.randrange(1, 3)):
                history(rng, place)
        else:  # what does not change for some looks is merged and judged once
            place.append(rng.randrange(4))
        if not any(place.files.iterdir()):
            place.append(5)
        place.settle()
        found = session.look(effort)
        assert found == place.full()
        if rng.random() < 0.3:
            session.write()
        if rng.random() < 0.1:  # killed: what was not written is read again
            session = session_of(place)


def test_a_changed_line_of_a_file_that_is_written_to_is_found_within_the_effort(tmp_path: Path) -> None:
    place = Place(tmp_path, long_log(random.Random(3)))
    place.append(40)
    session = session_of(place)
    place.settle()
    assert session.look().verdict is not Verdict.FAILED
    forge_times(place.live, flipped(place.live.read_bytes(), 300))
    looks = 0
    while session.look(4096).verdict is not Verdict.FAILED:
        place.append(1)
        looks += 1
        assert looks < 20


def test_a_look_at_what_is_new_costs_the_same_however_much_was_before(tmp_path: Path) -> None:
    place = Place(tmp_path, long_log(random.Random(4)))
    place.append(30)
    session = session_of(place)
    time.sleep(0.05)
    session.look(0)
    for _ in range(5):
        place.append(2)
        place.settle()
        remembered = session.look(0).remembered
        assert remembered is not None
    assert remembered.size > place.live.stat().st_size / 3


def test_a_look_at_what_is_new_costs_the_same_behind_few_epochs_and_behind_many(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a look decoded, merged and judged each epoch of the history."""
    monkeypatch.setattr(inputs, "CHUNK", 2**23)
    costs = {}
    for epochs in (50, 1200):
        name, live = f"log{epochs}", site.log(f"log{epochs}")
        with tallystick.open(name, output=live, **site.place, epoch_lines=2) as log:
            for number in range(2 * epochs):
                log.write(f"n={number}")
        live.rename(live.with_name("app.log.1"))
        memory = site.path / f"memory{epochs}"
        session = Session(replace(site.entry(name).request, resume=memory, jobs=1))
        with tallystick.open(name, output=live, **site.place) as log:
            for number in range(4):
                log.write(f"n={number}")
                session.look(0)
            costs[epochs] = min(cost_of(session, log) for _ in range(8))
    assert costs[1200] < 2 * costs[50]


def cost_of(session: Session, log: tallystick.Log) -> float:
    """Return what a look at a new line costs this thread."""
    log.write("one more")
    before = time.thread_time()
    assert session.look(0).verdict is Verdict.OK
    return time.thread_time() - before
