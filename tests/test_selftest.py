"""The self-test: whatever can be done to a log is told at its place, or the self-test says MISSED."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tallystick
from tallystick import selftest
from tallystick.attacks import ALL
from tallystick.errors import FormatError, KeyStoreError, ReportError
from tallystick.verify import Report, Verdict
from tests import doctoring
from tests.verify.test_constructed import Writer

ATTACKS = [attack.name for _, attacks in ALL for attack in attacks]
NEVER = {"write another line at a position (fork)", "roll the head back"}  # they take what an intruder does not have


pytestmark = pytest.mark.usefixtures("no_store")


class Log:
    """A log with its key and store."""

    def __init__(self, place: Path) -> None:
        self.path = place
        self.place = {"store": f"file:{place}/store"}
        self.key = place / "app.key"
        tallystick.create("app", **self.place, custody=f"master-key:{place}/master.key", key_file=self.key)

    def seal(self, output: str, count: int, form: str = "user=%d action=login ok=true") -> Path:
        """Seal one chain."""
        with tallystick.open("app", output=self.path / output, epoch_lines=10, **self.place) as log:
            for number in range(count):
                log.write(form % number)
        return self.path / output

    def run(self, *names: str) -> selftest.SelftestReport:
        """Run the self-test with the key store."""
        return selftest.run([self.path / name for name in names], keys=[self.key], **self.place)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def plain(log: Log) -> list[str]:
    for _ in range(3):
        log.seal("app.log", 40)
    return ["app.log"]


def json(log: Log) -> list[str]:
    for _ in range(3):
        log.seal("app.log", 40, '{"user":%d,"action":"login","odd":"\\u00e9\\n"}')
    return ["app.log"]


def with_notices(log: Log) -> list[str]:
    for _ in range(2):
        with tallystick.open("app", output=log.path / "app.log", **log.place) as writer:
            for number in range(40):
                writer.write(f"user={number} action=login")
                if number % 10 == 5:
                    writer.notice("dropped", f"{number} lines were dropped")
    return ["app.log"]


def one_chain(log: Log) -> list[str]:
    log.seal("app.log", 60)
    return ["app.log"]


def short(log: Log) -> list[str]:
    log.seal("app.log", 4)
    return ["app.log"]


def rotated(log: Log) -> list[str]:
    lines = []
    for _ in range(3):
        lines = log.seal("app.log", 70).read_bytes().splitlines(keepends=True)
    third = len(lines) // 3
    for number, name in enumerate(["app.log.2", "app.log.1", "app.log"]):
        end = (number + 1) * third if number < 2 else len(lines)
        (log.path / name).write_bytes(b"".join(lines[number * third : end]))
    return ["app.log", "app.log.1", "app.log.2"]


def file_each(log: Log) -> list[str]:
    for number in range(4):
        log.seal(f"{number}.log", 30)
    return ["3.log", "0.log", "2.log", "1.log"]


LOGS = (plain, json, with_notices, one_chain, short, rotated, file_each)


def names(report: selftest.SelftestReport, outcome: str) -> set[str]:
    return {one.attack for one in report.played if one.outcome == outcome}


def test_every_attack_can_be_played_on_some_log_and_is_found(tmp_path: Path) -> None:
    found = set()
    for make in LOGS:
        (tmp_path / make.__name__).mkdir()
        log = Log(tmp_path / make.__name__)
        files = make(log)
        before = {name: ((log.path / name).read_bytes(), (log.path / name).stat().st_mtime_ns) for name in files}
        report = log.run(*files)
        assert report.untouched.verdict is Verdict.OK
        assert names(report, "missed") == set(), make
        assert [one.attack for one in report.played] == ATTACKS
        assert (report.exit_status, report.missed, report.part) == (0, 0, None)
        assert report.found > 60
        assert set(report.files) == {str(log.path / name) for name in files}
        assert {
            name: ((log.path / name).read_bytes(), (log.path / name).stat().st_mtime_ns) for name in files
        } == before
        for one in report.played:
            assert (one.remark is not None) == (one.outcome == "not possible")
            assert one.outcome == "not possible" or (one.finding is not None and one.verdict is not Verdict.OK)
        found |= names(report, "found")
    assert found == set(ATTACKS) - NEVER
    assert len(ATTACKS) >= 90


@pytest.mark.parametrize("seed", range(8))
def test_a_log_with_crashes_and_odd_lines_has_no_misses_with_its_head(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    sealed = doctoring.seal(rng, crashes=True)
    while len(sealed.lines) < 25:
        sealed = doctoring.seal(rng, crashes=True)
    doctoring.write(tmp_path, sealed)
    (tmp_path / "app.log").write_bytes(sealed.data)
    report = selftest.run([tmp_path / "app.log"], keys=[tmp_path / "log.key"], head=tmp_path / "log.head")
    assert report.untouched.verdict is Verdict.OK
    assert names(report, "missed") == set()


def live(writer: Writer, place: Path, head: bool) -> selftest.SelftestReport:
    """Run the self-test on a log whose writer is running."""
    (place / "app.log").write_bytes(b"".join(line + b"\n" for line in writer.lines))
    (place / "head").write_bytes(writer.head)
    return selftest.run([place / "app.log"], keys=[writer.key(place)], head=place / "head" if head else None)


@pytest.mark.parametrize("chains", [0, 2])
def test_a_log_that_is_being_written_has_no_misses(chains: int, tmp_path: Path) -> None:
    writer = Writer()
    for _ in range(chains):
        writer.open(epoch_lines=10).write(25).close()
    report = live(writer.open(epoch_lines=10).write(38), tmp_path, head=True)
    assert (report.untouched.verdict, names(report, "missed")) == (Verdict.OK, set())
    assert "put half a line after a closed chain" in names(report, "not possible")


def test_a_log_that_is_being_written_has_no_misses_without_a_head_either(tmp_path: Path) -> None:
    report = live(Writer().open().write(38), tmp_path, head=False)
    assert (report.untouched.verdict, names(report, "missed")) == (Verdict.INCOMPLETE, set())


def test_without_a_head_the_end_is_open_and_each_row_says_so(log: Log) -> None:
    report = selftest.run([log.path / name for name in plain(log)], keys=[log.key])
    assert (report.with_head, report.untouched.verdict, report.missed) == (False, Verdict.INCOMPLETE, 0)
    ends = [one for one in report.played if one.group == "the end" and one.verdict is Verdict.INCOMPLETE]
    assert len(ends) >= 4
    assert {one.remark for one in ends} == {"without a head the end is open in any case"}
    assert all(one.outcome == "not possible" for one in report.played if one.group == "the head")


def test_a_verifier_that_always_says_ok_misses_everything(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    honest: list[Report] = []

    def blind(*paths: object, **options: object) -> Report:
        if not honest:
            honest.append(tallystick.verify(*paths, **options))  # type: ignore[arg-type]
        return honest[0]

    monkeypatch.setattr(selftest, "verify", blind)
    report = log.run(*plain(log))
    assert (report.found, report.missed > 80, report.exit_status) == (0, True, 5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: replace(report, verdict=Verdict.OK),
        lambda report: replace(report, findings=()),
        lambda report: replace(
            report,
            findings=tuple(replace(f, line=1 if f.line else None, position="9.9.9", to=None) for f in report.findings),
        ),
        lambda report: replace(report, findings=tuple(replace(f, kind="reserialized") for f in report.findings)),
    ],
    ids=["calls it ok", "says nothing", "names another place", "names another kind"],
)
def test_a_verifier_that_is_wrong_in_one_way_is_found_out(
    spoil: Callable[[Report], Report], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = plain(log)
    monkeypatch.setattr(selftest, "verify", lambda *paths, **options: spoil(tallystick.verify(*paths, **options)))
    report = log.run(*files)
    assert report.exit_status == 5
    assert "edit a line" in names(report, "missed")
    assert report.missed > 60


def test_a_verifier_that_breaks_off_has_missed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def breaking(*paths: object, **options: object) -> Report:
        calls.append(paths)
        if len(calls) > 1:
            raise AssertionError
        return tallystick.verify(*paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(selftest, "verify", breaking)
    report = log.run(*plain(log))
    assert report.found == 0
    assert {one.remark for one in report.played if one.outcome == "missed"} == {"there was no verdict: AssertionError"}


def test_a_log_that_is_failed_is_not_played_with(log: Log) -> None:
    (file,) = plain(log)
    data = (log.path / file).read_bytes()
    (log.path / file).write_bytes(data.replace(b"user=7", b"user=8", 1))
    report = log.run(file)
    assert (report.untouched.verdict, report.played, report.exit_status) == (Verdict.FAILED, (), 5)


def test_of_a_big_log_the_newest_chains_are_taken(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    files = file_each(log)
    size = (log.path / "3.log").stat().st_size
    monkeypatch.setattr(selftest, "MOST", int(2.5 * size))
    report = log.run(*files)
    assert report.part == "the newest chains, from chain 3 on, because the log is big"
    assert [Path(name).name for name in report.files] == ["2.log", "3.log"]
    assert (report.untouched.verdict, report.missed, report.size < 2.5 * size) == (Verdict.OK, 0, True)


def test_of_a_big_chain_the_newest_epochs_are_taken(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = one_chain(log)
    monkeypatch.setattr(selftest, "MOST", (log.path / file).stat().st_size // 2)
    report = log.run(file)
    assert report.part is not None
    assert report.part.startswith("the newest epochs of chain 1, from epoch 4 on")
    assert (report.untouched.verdict, report.missed) == (Verdict.INCOMPLETE, 0)
    assert [finding.kind for finding in report.untouched.findings] == ["late start"]


def test_lines_that_are_here_twice_are_refused(log: Log) -> None:
    (file,) = plain(log)
    (log.path / "copy").write_bytes((log.path / file).read_bytes())
    with pytest.raises(ReportError, match="lines are in more than one of the files"):
        log.run(file, "copy")


def test_what_cannot_be_tested_is_reported(log: Log) -> None:
    (file,) = plain(log)
    other = Writer("other").open().write(9).close()
    (log.path / "other.log").write_bytes(b"".join(line + b"\n" for line in other.lines))
    (log.path / "other.head").write_bytes(other.head)
    key, path = log.key, log.path / file
    with pytest.raises(ReportError, match="no line of log id"):
        log.run("other.log")
    with pytest.raises(FormatError, match="whose key was not given"):
        selftest.run([path], keys=[key], head=log.path / "other.head")
    with pytest.raises(ReportError, match="give one of --head and --store"):
        selftest.run([path], keys=[key], head=log.path / "other.head", **log.place)
    with pytest.raises(ReportError, match="no key was given"):
        selftest.run([path], keys=[])
    with pytest.raises(ReportError, match="none"):
        log.run("none")
    with pytest.raises(KeyStoreError):
        selftest.run([path], keys=[other.key(log.path)], **log.place)
    with pytest.raises(FormatError):
        selftest.run([path], keys=[path])


def test_a_report_is_plain_values(log: Log) -> None:
    report = log.run(*short(log))
    plain_values = report.to_dict()
    assert plain_values["tallystick_selftest"] == 1
    assert plain_values["found"] + plain_values["missed"] + plain_values["impossible"] == len(plain_values["played"])
    row = plain_values["played"][0]
    assert (row["attack"], row["outcome"], row["finding"]["kind"], row["verdict"]) == (
        "edit a line", "found", "altered", "failed",
    )  # fmt: skip
    assert row["finding"]["path"] == str(log.path / "app.log")
    assert plain_values["played"][-1]["finding"]["path"] is not None
