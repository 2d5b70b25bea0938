"""Chains are numbered on past 256, into the next generation of keys (spec sections 3 and 5)."""

import importlib.util
import os
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import Verdict
from tests.doctoring import TIME
from tests.sealed import Taking
from tests.vectors import VECTORS

CHAINS = 515  # generations 0 and 1 whole, and some of 2


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of many chains, its keys, head and public file."""
    place = tmp_path_factory.mktemp("generations")
    setup = _core.setup("app", (bytes(range(32)), bytes(range(32, 64))))
    state, head = setup.state(), bytes(setup.head())
    key = _core.DataKey.generate()
    lines = []
    for chain in range(1, CHAINS + 1):
        sealer = Taking(state.open_chain(head, TIME + chain))
        # As between two runs of a service: the state goes through its stored form.
        stored = state.lock(key, "none", b"")
        state = _core.SealingState.unlock(stored, key)
        lines.append(sealer.seal(b"in chain %d" % chain, TIME + chain))
        lines.append(sealer.end(TIME) if chain == CHAINS else sealer.close(TIME + chain))
        made = sealer.head()
        assert made is not None
        head = bytes(made)
    (place / "app.log").write_bytes(b"".join(lines))
    (place / "app.head").write_bytes(head)
    (place / "app.pub").write_text(_core.read_state(stored).public_file)
    with open(place / "app.key", "wb") as file:
        setup.write_key(file.fileno())
    return place


def test_a_log_over_three_generations_verifies_with_v_and_with_p_alone(long_log: Path) -> None:
    for given in ({"keys": [long_log / "app.key"], "head": long_log / "app.head"}, {"public": [long_log / "app.pub"]}):
        report = tallystick.verify([long_log / "app.log"], **given)  # type: ignore[arg-type]
        assert (report.verdict, report.findings) == (Verdict.OK, ())
        assert (report.logs[0].chains, report.logs[0].sealed) == (CHAINS, CHAINS * 3)


def test_the_public_file_holds_an_opening_of_each_finished_generation(long_log: Path) -> None:
    lines = (long_log / "app.pub").read_text().splitlines()
    assert [line.split()[:5][4] for line in lines[1:]] == ["256", "512"]


def test_with_the_public_file_the_newest_generation_verifies_alone(long_log: Path, tmp_path: Path) -> None:
    lines = (long_log / "app.log").read_bytes().splitlines(keepends=True)
    (tmp_path / "tail.log").write_bytes(b"".join(lines[512 * 3 :]))
    report = tallystick.verify([tmp_path / "tail.log"], public=[long_log / "app.pub"], start=513)
    assert (report.verdict, report.findings) == (Verdict.OK, ())
    # Without the older openings the same key can say nothing, and says so.
    (tmp_path / "bare.pub").write_text((long_log / "app.pub").read_text().splitlines()[0] + "\n")
    report = tallystick.verify([tmp_path / "tail.log"], public=[tmp_path / "bare.pub"], start=513)
    assert report.verdict is Verdict.INCOMPLETE


def test_a_broken_line_behind_statements_that_cannot_be_proved_is_reported(tmp_path: Path) -> None:
    # A chain of which every line is a statement that waits for an older opening: nothing of it is present.
    setup = _core.setup("app", (bytes(range(32)), bytes(range(32, 64))))
    state, head, sealed = setup.state(), bytes(setup.head()), b""
    for _ in range(257):
        sealer = Taking(state.open_chain(head, TIME))
        sealed = sealer.close(TIME)
        head = bytes(sealer.head() or b"")
    (tmp_path / "tail.log").write_bytes(sealed + b"junk")
    (tmp_path / "app.pub").write_text(setup.public_key + "\n")
    report = tallystick.verify([tmp_path / "tail.log"], public=[tmp_path / "app.pub"])
    assert report.verdict is Verdict.FAILED
    assert "unsealed" in {finding.kind for finding in report.findings}


def test_a_forged_public_file_is_refused(long_log: Path, tmp_path: Path) -> None:
    text = (long_log / "app.pub").read_text()
    (tmp_path / "forged.pub").write_text(text.replace(" 256 ", " 255 ", 1))
    with pytest.raises(tallystick.errors.FormatError, match="does not hold"):
        tallystick.verify([long_log / "app.log"], public=[tmp_path / "forged.pub"])


def test_the_second_implementation_agrees_over_generations(long_log: Path) -> None:
    spec = importlib.util.spec_from_file_location("check", VECTORS.parent / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    data = {"app.log": (long_log / "app.log").read_bytes()}
    key, head, public = ((long_log / f"app.{what}").read_text() for what in ("key", "head", "pub"))
    assert check.verify(data, key_text=key, head_text=head)["verdict"] == "ok"
    assert check.verify(data, public_text=public)["verdict"] == "ok"
    assert os.path.getsize(long_log / "app.log") > 1_000_000
