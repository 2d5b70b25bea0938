"""The service says in seconds what happened to a log, and only that."""

import gzip
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.errors import ReportError
from tallystick.watch import track
from tallystick.watch.clock import Clock
from tallystick.watch.follower import Follower, Look
from tallystick.watch.standing import State
from tests.servers import until
from tests.watch.playing import Site, Watching, changed


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A place for logs."""
    return Site(tmp_path)


def test_a_log_that_goes_on_is_ok_and_nobody_is_alerted(site: Site) -> None:
    live = site.log("app")
    with site.writing("app"), Watching(site.config(site.entry("app"))) as service:
        service.comes_to("app", State.OK)
        for number in range(4):  # rotated, compressed, and removed by age
            rotated = live.with_name(f"app.log.{number}")
            live.rename(rotated)
            until(live.exists, "the next file")
            time.sleep(0.3)
            rotated.with_suffix(".gz.new").write_bytes(gzip.compress(rotated.read_bytes()))
            rotated.with_suffix(".gz.new").rename(f"{rotated}.gz")
            rotated.unlink()
        one = service.board.one("app")
        assert one is not None
        assert one.seen is not None
        lines = one.seen.lines
        until(lambda: service.board.one("app").seen.lines > lines, "more lines")  # type: ignore[union-attr]
        assert service.board.one("app").state is State.OK  # type: ignore[union-attr]
        assert not service.events


def test_a_changed_line_is_reported_once_with_its_place(site: Site) -> None:
    live = site.log("app")
    with tallystick.open("app", output=str(live), **site.place) as log:
        for number in range(100):
            log.write(f"user={number} action=login")
    config = site.config(site.entry("app", labels={"team": "a"}))
    good = live.read_bytes()
    with Watching(config) as service:
        service.comes_to("app", State.OK)
        began = time.monotonic()
        live.write_bytes(good.replace(b"user=50 ", b"user=51 "))
        service.comes_to("app", State.FAILED)
        assert time.monotonic() - began < 5
        until(lambda: service.events, "the event")
        (event,) = service.events
        assert event.finding is not None
        assert (event.finding.kind, event.finding.line, event.labels) == ("altered", 52, {"team": "a"})
        live.write_bytes(good.replace(b"user=50 ", b"user=51 ").replace(b"user=60 ", b"user=61 "))
        until(lambda: len(service.events) == 2, "the second finding")
        assert service.events[1].reason.value == "finding"
    with Watching(config) as service:  # a restart pages nobody again
        assert service.wait_for_all(30)
        service.comes_to("app", State.FAILED)
        live.write_bytes(good)
        service.comes_to("app", State.OK)
        until(lambda: service.of("app"), "the event")
        assert service.of("app") == [(State.FAILED, State.OK)]


def test_a_key_store_that_is_away_makes_an_entry_stale_and_never_failed(site: Site) -> None:
    site.log("app")
    with site.writing("app"), Watching(site.config(site.entry("app"))) as service:
        service.comes_to("app", State.OK)
        (site.path / "store").rename(site.path / "away")
        service.comes_to("app", State.STALE)
        (site.path / "away").rename(site.path / "store")
        service.comes_to("app", State.OK)
        until(lambda: len(service.events) == 2, "both events")
        assert service.of("app") == [(State.OK, State.STALE), (State.STALE, State.OK)]
        assert "store" in service.events[0].trouble


def test_a_log_that_is_silent_is_reported_and_one_that_has_ended_is_not(site: Site) -> None:
    for name in ("app", "over"):
        with tallystick.open(name, output=str(site.log(name)), **site.place) as log:
            log.write("one")
    site_close(site, "over")
    entries = [site.entry(name, silence=1.0) for name in ("app", "over")]
    with Watching(site.config(*entries)) as service:
        service.comes_to("app", State.SILENT)
        with tallystick.open("app", output=str(site.path / "app" / "app.log"), **site.place) as log:
            log.write("two")
            service.comes_to("app", State.OK)
        until(lambda: len(service.events) >= 2, "both events")
        assert service.of("app")[:2] == [(State.OK, State.SILENT), (State.SILENT, State.OK)]
        assert not service.of("over")


class Ahead(Clock):
    """A clock that a test sets forward."""

    ahead = 0.0

    def now(self) -> float:
        """Return the time of this machine, and so much more."""
        return super().now() + self.ahead


def test_a_silence_is_reported_though_the_log_is_asked_about_at_the_moment_it_begins_and_ever_after(
    site: Site,
) -> None:
    """Each question set the time anew at which a silence is looked for: to one after the next question."""
    with tallystick.open("app", output=str(site.log("app")), **site.place) as log:
        log.write("one")
    config, clock = site.config(site.entry("app", silence=60.0), stale_after=10_000), Ahead()
    with Watching(config, clock=clock, reread=lambda: config) as service:
        service.comes_to("app", State.OK)

        def is_silent_when_asked() -> bool:
            service.read_again()
            one = service.board.one("app")
            return one is not None and one.state is State.SILENT

        clock.ahead = 90.0
        until(is_silent_when_asked, "the silence", 20)


def site_close(site: Site, name: str) -> None:
    """End a log for good."""
    with tallystick.open(name, output=str(site.path / name / "app.log"), **site.place) as log:
        log.end()


def test_retention_is_reported_once_as_incomplete_with_the_option_that_helps_and_never_as_tampering(site: Site) -> None:
    live = site.log("app")
    for number in range(3):
        with tallystick.open("app", output=str(live), epoch_lines=20, **site.place) as log:
            for line in range(50):
                log.write(f"user={line} action=login")
        if number < 2:
            live.rename(live.with_name(f"app.log.{number}"))
    config = site.config(site.entry("app"))
    with site.writing("app"), Watching(config) as service:
        service.comes_to("app", State.OK)
        live.with_name("app.log.0").unlink()
        service.comes_to("app", State.INCOMPLETE)
        until(lambda: service.events, "the event")
        live.with_name("app.log.1").unlink()
        seen = service.board.one("app").seen.time  # type: ignore[union-attr]
        until(lambda: service.board.one("app").seen.time > seen + 1000, "more looks")  # type: ignore[union-attr]
    with Watching(config) as again:
        assert again.wait_for_all(60)
        again.comes_to("app", State.INCOMPLETE)
        events = [*service.events, *again.events]
    assert [(event.before, event.after) for event in events] == [(State.OK, State.INCOMPLETE)]
    assert events[0].finding is not None
    assert events[0].finding.kind == "late start"
    assert "from" in f"{events[0].finding.detail} {events[0].advice}", events[0].to_line()
    first = service.board.report("app").logs[0].first  # type: ignore[union-attr]
    assert first is not None
    request = replace(config.entries[0].request, start=int(first.partition(".")[0]))
    with Watching(changed(config, entries=(replace(config.entries[0], request=request),))) as told:
        told.comes_to("app", State.OK)


def test_a_removed_log_is_tampering_and_not_trouble(site: Site) -> None:
    live = site.log("app")
    with tallystick.open("app", output=str(live), **site.place) as log:
        log.write("one")
    with Watching(site.config(site.entry("app"))) as service:
        service.comes_to("app", State.OK)
        shutil.rmtree(live.parent)
        service.comes_to("app", State.FAILED)
        until(lambda: service.events, "the event")
        assert service.of("app") == [(State.OK, State.FAILED)]


def test_a_head_that_was_removed_from_a_key_store_with_other_logs_is_tampering(site: Site) -> None:
    for name in ("app", "web"):
        with tallystick.open(name, output=str(site.log(name)), **site.place) as log:
            log.write("one")
    with Watching(site.config(site.entry("app"))) as service:
        service.comes_to("app", State.OK)
        shutil.rmtree(site.path / "store" / "app")
        service.comes_to("app", State.FAILED)
        until(lambda: service.events, "the event")
        assert [event.finding.kind for event in service.events if event.finding] == ["bad head"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_makes_an_entry_stale(site: Site) -> None:
    live = site.log("app")
    with site.writing("app"), Watching(site.config(site.entry("app"))) as service:
        service.comes_to("app", State.OK)
        live.chmod(0)
        service.comes_to("app", State.STALE)
        live.chmod(0o600)
        service.comes_to("app", State.OK)


def test_two_services_with_one_directory_are_refused(site: Site) -> None:
    site.log("app")
    config = site.config(site.entry("app"))
    with Watching(config), pytest.raises(ReportError, match="another service watches"):
        Watching(config)


def test_of_many_logs_exactly_those_are_reported_that_something_happened_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "GRACE", 1.0)
    count = int(os.environ.get("TALLYSTICK_WATCHED_LOGS", "20"))
    names = [f"log{number}" for number in range(count)]
    for name in names:
        live = site.log(name)
        if name == names[3]:
            continue  # never begun
        with tallystick.open(name, output=str(live), **site.place) as log:
            for number in range(20):
                log.write(f"user={number} action=login")
    silenced = site.entry(names[0], silence=1.0)
    entries = [silenced, *(site.entry(name) for name in names[1:])]
    with Watching(site.config(*entries)) as service:
        assert service.wait_for_all(120)
        back = site.path / names[2] / "app.log"
        back.write_bytes(b"".join(back.read_bytes().splitlines(True)[:10]))
        clone = site.path / names[1] / "clone.log"
        clone.write_bytes((site.path / names[1] / "app.log").read_bytes().replace(b"user=3 ", b"user=4 "))
        until(lambda: len({event.entry for event in service.events}) >= 4, "four alerts")
        time.sleep(1.0)
        found = {event.entry: event.after for event in service.events}
        assert len(service.events) == 4
        assert found == dict(zip(names[:4], (State.SILENT, State.FAILED, State.FAILED, State.NEVER), strict=True))


def test_a_configuration_that_is_invalid_is_reported_and_the_old_one_goes_on(site: Site) -> None:
    site.log("app")
    site.log("web")
    configs = [site.config(site.entry("app"))]

    def reread() -> object:
        if not configs:
            raise ReportError("no such file")
        return configs[-1]

    with site.writing("app"), site.writing("web"), Watching(configs[0], reread=reread) as service:
        service.comes_to("app", State.OK)
        configs.append(changed(configs[0], entries=(site.entry("app"), site.entry("web"))))
        service.read_again()
        service.comes_to("web", State.OK)
        configs.clear()
        service.read_again()
        until(lambda: any("the old one goes on" in line for line in service.said), "a line about it")
        assert len(service.board.all()) == 2


def test_what_an_older_configuration_looked_at_says_nothing_about_the_newer_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tallystick.open("app", output=str(site.log("app")), **site.place) as log:
        log.write("user=7 action=login")
    good = site.entry("app")
    (site.path / "bad").mkdir()
    data = (site.path / "app" / "app.log").read_bytes()
    (site.path / "bad" / "app.log").write_bytes(data.replace(b"user=7 ", b"user=8 "))
    bad = replace(good, request=replace(good.request, paths=(f"{site.path}/bad",)))
    begun, go = ({one.request.paths: threading.Event() for one in (bad, good)} for _ in range(2))
    look = Follower.look

    def held(self: Follower, *arguments: Any, **more: Any) -> Look:
        begun[self.entry.request.paths].set()
        go[self.entry.request.paths].wait(30)
        return look(self, *arguments, **more)

    monkeypatch.setattr(Follower, "look", held)
    try:
        with Watching(site.config(bad), reread=lambda: site.config(good)) as service:
            assert begun[bad.request.paths].wait(30)
            service.read_again()
            assert begun[good.request.paths].wait(30)
            go[bad.request.paths].set()
            time.sleep(1.0)
            assert service.board.one("app") is None or service.board.one("app").state is State.NEVER  # type: ignore[union-attr]
            go[good.request.paths].set()
            service.comes_to("app", State.OK)
            assert not service.events
    finally:
        for each in go.values():
            each.set()
