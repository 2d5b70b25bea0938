"""What a report counts is exactly what is there: on logs that are known line by line."""

import json
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import EpochReport, Report, Verdict
from tests import forging
from tests.doctoring import TIME
from tests.forging import Log, Writer, forged, whole
from tests.sealed import Taking

EPOCHS = 1100


pytestmark = pytest.mark.usefixtures("no_store")


def verify(place: Path, log: Log, key: str = "V", **given: Any) -> Report:
    (place / "app.log").write_bytes(log.data)
    (place / "V").write_text(forging.key_text())
    (place / "P").write_text(forging.public_text())
    keys = {"keys": [place / "V"]} if key == "V" else {"public": [place / "P"]}
    return tallystick.verify([place / "app.log"], **keys, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", "VP")
def test_a_whole_log(key: str, tmp_path: Path) -> None:
    report = verify(tmp_path, whole(), key)
    (log,) = report.logs
    assert (report.lines, report.unsealed, report.size) == (15, 0, len(whole().data))
    assert (log.name, log.log_id, log.key) == (
        "app", forging.LOG_ID, "verification key" if key == "V" else "public key",
    )  # fmt: skip
    assert (log.first, log.last, log.chains, log.epochs, log.sealed) == ("1.0.0", "3.0.2", 3, 4, 15)
    assert (log.prefixed, log.reserialized, log.redacted, log.uncovered) == (0, 0, 0, 0)
    assert log.times == (forging.TIME, forging.TIME + 21_000)
    assert (log.start, log.end.split(",")[0]) == ("the log's first chain", "the log has ended")
    assert log.pin == whole().pin("3.0.2")
    one, two, three = log.by_chain
    assert (one.chain, one.first, one.last, one.lines, one.ending) == (1, "1.0.0", "1.1.2", 8, "closed")
    assert (one.opened, one.ended) == (forging.TIME, forging.TIME + 2000)
    assert one.epochs == (
        EpochReport(0, 5, 5, forging.TIME + 1000),
        EpochReport(1, 3, 3, forging.TIME + 2000),
    )
    assert (two.chain, two.first, two.last, two.lines, two.ending) == (2, "2.0.0", "2.0.3", 4, "closed")
    assert (three.opened, three.ended, three.ending) == (forging.TIME + 20_000, forging.TIME + 21_000, "ended")


@pytest.mark.parametrize("key", "VP")
def test_a_log_with_lines_absent_doubled_put_in_and_one_altered(key: str, tmp_path: Path) -> None:
    bad = (
        whole().without("1.0.1", "1.1.2", "2.0.1").behind("1.0.2", whole().line("1.0.2"), b"junk", b"")
        .put("3.0.1", b"c two" + whole().line("3.0.1")[5:])
    )  # fmt: skip
    report = verify(tmp_path, bad, key)
    (log,) = report.logs
    assert (report.lines, report.unsealed) == (14, 1)
    # With P, a line of the right form is taken for one of the log; its epoch is altered.
    assert log.sealed == (12 if key == "V" else 13)
    one, two, three = log.by_chain
    assert (one.lines, [(e.lines, e.expected) for e in one.epochs]) == (6, [(4, 5), (2, None)])
    assert (two.lines, [(e.lines, e.expected) for e in two.epochs]) == (3, [(3, 4)])
    here = 2 if key == "V" else 3
    assert (three.lines, [(e.lines, e.expected) for e in three.epochs]) == (here, [(here, 3)])
    assert (log.epochs, log.uncovered) == (3, 0 if key == "V" else 3 + 2 + 2)


def test_lines_behind_a_checkpoint_are_none_of_its_epoch_with_p(tmp_path: Path) -> None:
    (log,) = verify(tmp_path, whole().behind("1.0.4", forged("1.0.6", b"more")), "P").logs
    assert [(e.lines, e.expected) for e in log.by_chain[0].epochs] == [(5, 5), (3, 3)]


def test_redacted_prefixed_and_rewritten_lines_are_sealed_lines(tmp_path: Path) -> None:
    log = Writer(control="json").chain_of('{"a":1}', '{"b":2}', "c", "d", "e", "ended").log()
    bad = log.changed("1.0.1", b'{"a":1,', b'{"a": 1,').put("1.0.3", forging.redacted(log.line("1.0.3")))
    bad = bad.put("1.0.4", b"Nov 23 09:00:00 host app: " + bad.line("1.0.4"))
    for key in "VP":
        report = verify(tmp_path, bad, key, envelope="rfc3164")
        (seen,) = report.logs
        assert (report.verdict, report.lines) == (Verdict.INCOMPLETE, 7), key
        assert (seen.sealed, seen.prefixed, seen.reserialized, seen.redacted) == (7, 1, 1, 1), key


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A log of many small epochs that a carrier wrote anew, each line; how many lines, how many of them changed."""
    place = tmp_path_factory.mktemp("rewritten")
    setup = _core.setup("app", (forging.V, forging.S))
    state, head, sealed = setup.state(), bytes(setup.head()), []
    epochs = 0
    while epochs < EPOCHS:
        sealer = Taking(state.open_chain(head, TIME))
        sealer.configure("json", 3)
        for number in range(3 * 200):
            sealed.append(sealer.seal(b'{"number":%d,"user":"x"}' % number, TIME))
        epochs += 200
        sealed.append(sealer.end(TIME) if epochs >= EPOCHS else sealer.close(TIME))
        head = bytes(sealer.head() or b"")
    lines = b"".join(sealed).removesuffix(b"\n").split(b"\n")
    anew = [json.dumps(json.loads(line), sort_keys=False).encode() for line in lines]
    (place / "app.log").write_bytes(b"".join(line + b"\n" for line in anew))
    (place / "V").write_text(forging.key_text())
    (place / "P").write_text(forging.public_text())
    return place, len(lines), sum(new != old for new, old in zip(anew, lines, strict=True))


@pytest.mark.parametrize("key", "VP")
def test_more_than_a_thousand_epochs_may_be_rewritten(key: str, rewritten: tuple[Path, int, int]) -> None:
    place, lines, changed = rewritten
    assert changed == lines > 4000
    given: dict[str, Any] = {"keys": [place / "V"]} if key == "V" else {"public": [place / "P"]}
    report = tallystick.verify([place / "app.log"], **given)
    (log,) = report.logs
    assert [(f.kind, f.weight.value, f.count, f.line) for f in report.findings] == [
        ("reserialized", "note", changed, 1)
    ]
    assert (report.verdict, log.epochs >= EPOCHS) == (Verdict.OK, True)
    assert (log.reserialized, log.sealed, log.uncovered) == (changed, lines, 0)
    assert sum(chain.lines for chain in log.by_chain) == lines


@pytest.mark.parametrize("key", "VP")
def test_of_many_epochs_rewritten_one_that_says_something_else_is_altered(
    key: str, rewritten: tuple[Path, int, int], tmp_path: Path
) -> None:
    place, lines, _ = rewritten
    data = (place / "app.log").read_bytes().split(b"\n")
    number = next(n for n, line in enumerate(data) if n > lines // 2 and b'"number": 300' in line)
    data[number] = data[number].replace(b'"number": 300', b'"number": 301')
    (tmp_path / "app.log").write_bytes(b"\n".join(data))
    given: dict[str, Any] = {"keys": [place / "V"]} if key == "V" else {"public": [place / "P"]}
    report = tallystick.verify([tmp_path / "app.log"], **given)
    failed = [f for f in report.findings if f.weight.value == "failed"]
    assert [(f.kind, f.count) for f in failed] == [("altered", 1 if key == "V" else failed[0].count)]
    assert failed[0].line is not None
    if key == "V":
        assert failed[0].line == number + 1
