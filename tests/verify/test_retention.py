"""Older chains that were deleted by policy: the log says so, and the verifier's own pin shows that it was late enough.

What witnesses received shows it as well: vectors/witnesses.json has those cases.
"""

import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from tallystick import _core
from tallystick.cli import cli
from tallystick.errors import ReportError
from tallystick.verify import Report, Verdict, Weight, verify
from tests import doctoring
from tests.sealed import Taking

PERIOD = 30 * 86400  # seconds


class Kept:
    """A log of four chains, each in a file of its own, and a directory of pins."""

    def __init__(self, directory: Path, policy: bytes | None = b"%d" % PERIOD) -> None:
        self.directory, self.pins = directory, directory / "pins"
        self.pins.mkdir(mode=0o700)
        setup = _core.setup("app", (bytes(range(32)), bytes(range(1, 33))))
        state, head = setup.state(), bytes(setup.head())
        self.files, self.log_id = [], setup.log_id
        for chain in range(1, 5):
            sealer = Taking(state.open_chain(head, doctoring.TIME + chain))
            lines = [sealer.start()]
            lines += [sealer.notice("retention", policy, doctoring.TIME)] if policy is not None else []
            lines += [sealer.seal(b"an entry", doctoring.TIME), sealer.close(doctoring.TIME + chain)]
            head = bytes(sealer.head() or b"")
            self.files.append(directory / f"{chain}.log")
            self.files[-1].write_bytes(b"".join(lines))
        (directory / "head").write_bytes(head)
        with (directory / "key").open("wb") as file:
            setup.write_key(file.fileno())
        self.keys = {"keys": [directory / "key"], "head": directory / "head"}

    def pin(self, chain: int, age: float) -> None:
        """Have the verifier keep a pin of a chain, so many seconds ago."""
        report = verify(self.files[:chain], keys=self.keys["keys"], store="none", last=chain)  # type: ignore[arg-type]
        seen = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age)
        path = self.pins / f"{self.log_id}.pin"
        path.write_text(f"# seen {seen:%Y-%m-%dT%H:%M:%SZ}, end: no head, in app.log\n{report.logs[0].pin}\n")
        path.chmod(0o600)

    def verify(self, *numbers: int, retention: float | None = PERIOD) -> Report:
        """Verify the files of some chains."""
        files = [self.files[number - 1] for number in numbers]
        return verify(files, **self.keys, pins_directory=self.pins, retention=retention)  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def late(report: Report) -> Weight | None:
    return next((one.weight for one in report.findings if one.kind == "late start"), None)


@pytest.mark.parametrize("pinned", [3, 4])
def test_chains_before_one_that_was_pinned_long_ago_may_be_gone(kept: Kept, pinned: int) -> None:
    kept.pin(pinned, PERIOD + 3600)
    report = kept.verify(3, 4)
    assert (report.verdict, late(report)) == (Verdict.OK, Weight.NOTE)
    assert report.logs[0].start.startswith(
        f"older chains were deleted by policy: a pin of chain {pinned} was kept at 20"
    )
    assert report.allowed == ("older chains may be gone after 30d",)


def test_without_a_period_it_is_a_late_start(kept: Kept) -> None:
    kept.pin(3, PERIOD + 3600)
    report = kept.verify(3, 4, retention=None)
    assert (report.verdict, late(report)) == (Verdict.INCOMPLETE, Weight.INCOMPLETE)


@pytest.mark.parametrize("age", [0, PERIOD - 3600])
def test_chains_before_one_that_was_pinned_of_late_may_not(kept: Kept, age: float) -> None:
    kept.pin(3, age)
    assert late(kept.verify(3, 4)) is Weight.INCOMPLETE


def test_an_old_pin_of_a_chain_that_is_gone_excuses_nothing(kept: Kept) -> None:
    """The intruder came after chain 1 was pinned, and deletes what he did in chain 2."""
    kept.pin(1, 10 * PERIOD)
    assert late(kept.verify(3, 4)) is Weight.INCOMPLETE


def test_the_clock_of_the_host_counts_for_nothing(kept: Kept) -> None:
    """Its statements claim a time that is long ago."""
    assert late(kept.verify(3, 4)) is Weight.INCOMPLETE


@pytest.mark.parametrize("policy", [None, b"%d" % (PERIOD - 1), b"0%d" % PERIOD, b"30d", b"-1", b"1e9"])
def test_a_log_that_states_no_such_period_excuses_nothing(tmp_path: Path, policy: bytes | None) -> None:
    kept = Kept(tmp_path, policy)
    kept.pin(3, 10 * PERIOD)
    assert late(kept.verify(3, 4)) is Weight.INCOMPLETE


def test_a_longer_period_than_the_one_that_was_named_does(tmp_path: Path) -> None:
    kept = Kept(tmp_path, b"%d" % (2 * PERIOD))
    kept.pin(3, PERIOD + 3600)
    assert kept.verify(3, 4).verdict is Verdict.OK


def test_a_chain_that_begins_late_is_no_whole_one(kept: Kept) -> None:
    kept.pin(4, PERIOD + 3600)
    lines = kept.files[2].read_bytes().splitlines(keepends=True)
    kept.files[2].write_bytes(b"".join(lines[1:]))
    assert late(kept.verify(3, 4)) is Weight.INCOMPLETE


def test_a_hole_after_the_first_chain_is_a_failure(kept: Kept) -> None:
    kept.pin(2, PERIOD + 3600)
    report = kept.verify(2, 4)
    assert (report.verdict, late(report)) == (Verdict.FAILED, Weight.NOTE)
    assert "missing" in {one.kind for one in report.findings}


def test_a_log_that_is_whole_is_as_ever(kept: Kept) -> None:
    report = kept.verify(1, 2, 3, 4)
    assert (report.verdict, late(report), report.logs[0].start) == (Verdict.OK, None, "the log's first chain")


def test_a_period_is_more_than_none(kept: Kept) -> None:
    with pytest.raises(ReportError, match="must be more than none"):
        kept.verify(3, 4, retention=0.0)


def test_the_command_line_takes_the_period(kept: Kept) -> None:
    kept.pin(3, PERIOD + 3600)
    given = [str(path) for path in kept.files[2:]]
    given += ["--key", str(kept.directory / "key"), "--head", str(kept.directory / "head"), "--pins", str(kept.pins)]
    assert CliRunner().invoke(cli, ["verify", *given]).exit_code == 3
    done = CliRunner().invoke(cli, ["verify", *given, "--retention", "30d"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("ok (older chains may be gone after 30d)")
