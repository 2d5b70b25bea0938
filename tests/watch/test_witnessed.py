"""The watch service takes the word of witnesses: it keeps what they said, and a second history is reported for good."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.watch.config import Config, Entry
from tallystick.watch.standing import State
from tests.sealed import Taking
from tests.servers import until
from tests.watch.playing import Site, Watching
from tests.witness.test_client import SIGNER, answering

SEEDS = (bytes([1]) * 32, bytes([2]) * 32)


def history(text: str) -> tuple[bytes, Taking]:
    """Return a log and its writer; two texts give two histories under the same keys."""
    setup = _core.setup("app", SEEDS)
    sealer = Taking(setup.state().open_chain(setup.head(), now()))
    sealer.show()
    lines = sealer.start() + b"".join(sealer.seal(one.encode(), now()) for one in ("first", text, "last"))
    return lines, sealer


def now() -> int:
    """Return the time, ms since 1970."""
    return time.time_ns() // 1_000_000


class Host:
    """A log that its public key alone verifies, and what its witness holds of it."""

    def __init__(self, path: Path) -> None:
        self.site = Site(path)
        lines, self.writer = history("one")
        self.live = path / "app.log"
        self.live.write_bytes(lines)
        (path / "app.pub").write_text(_core.setup("app", SEEDS).public_key + "\n")
        self.answers, self.knows = True, True

    def answer(self, log: bytes, nonce: bytes) -> tuple[int, bytes]:
        """Answer as a witness does that has just received a signed head."""
        if not self.answers:
            return 503, b"away"
        texts = [(now(), False, self.writer.signed_head(now()))] if self.knows else []
        return 200, _core.make_answer(SIGNER, nonce, log, now(), texts).encode()

    def config(self, url: str, fresh: float = 60.0) -> Config:
        """Return the configuration."""
        entry = self.site.entry("app")
        request = replace(
            entry.request, paths=(self.live,), keys=(), public=(self.site.path / "app.pub",), store="none",
            witnesses=(f"{url}={SIGNER.key}",), fresh=fresh,
        )  # fmt: skip
        return self.site.config(Entry("app", request))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A log and its witness."""
    return Host(tmp_path)


def test_a_witness_anchors_the_end_and_its_absence_counts_only_once_its_word_is_old(host: Host) -> None:
    with answering(host.answer) as url, Watching(host.config(url, fresh=1.5)) as service:
        service.comes_to("app", State.OK)
        host.answers = False
        service.comes_to("app", State.INCOMPLETE)
        until(lambda: service.events, "the event")
        assert service.events[0].finding is not None
        assert "answers 503" in service.events[0].finding.detail
        host.answers = True
        service.comes_to("app", State.OK)
        until(lambda: len(service.events) == 2, "both events")
        assert service.of("app") == [(State.OK, State.INCOMPLETE), (State.INCOMPLETE, State.OK)]


def test_a_fork_is_alerted_and_stays_also_where_the_witness_forgets_it(host: Host) -> None:
    with answering(host.answer) as url:
        host.writer = history("another")[1]
        with Watching(host.config(url)) as service:
            service.comes_to("app", State.FAILED)
            until(lambda: service.events, "the event")
            assert [event.finding.kind for event in service.events if event.finding] == ["fork"]
        host.knows = False
        with Watching(host.config(url)) as service:
            assert service.wait_for_all(30)
            service.comes_to("app", State.FAILED)
            report = service.board.report("app")
            assert report is not None
            assert "fork" in {finding.kind for finding in report.findings}


def test_an_end_that_was_cut_off_is_found_after_a_restart_while_the_witness_is_away(host: Host) -> None:
    with answering(host.answer) as url:
        with Watching(host.config(url)) as service:
            service.comes_to("app", State.OK)
        host.answers = False
        host.live.write_bytes(b"".join(host.live.read_bytes().splitlines(True)[:-1]))
        with Watching(host.config(url)) as service:
            service.comes_to("app", State.FAILED)
