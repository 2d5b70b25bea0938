"""The known answers of spec/vectors, in Python: what the core makes is what the protocol says, byte for byte."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import Verdict, Weight
from tests import vectors
from tests.forging import MAKE
from tests.sealed import Taking

CHECK = MAKE.check  # spec/check.py as a module
INPUTS: dict[str, Any] = json.loads((vectors.VECTORS / "inputs.json").read_text())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def replay(log: dict[str, Any]) -> tuple[bytes, list[str]]:
    """Do the steps of a log in inputs.json; return its bytes and the heads that are listed."""
    seeds = bytes.fromhex(INPUTS["V"]), bytes.fromhex(INPUTS["S"])
    setup = _core.setup(INPUTS["name"], seeds)
    state, head = setup.state(), bytes(setup.head())
    out, listed = b"", []
    sealer: Taking | None = None
    for step in log["steps"]:
        if step["do"] in ("open", "burn"):
            opened = Taking(state.open_chain(head, step.get("time", 0)))
            if step["do"] == "open":
                sealer = opened
                sealer.configure(log["control"], 4096)
                out += sealer.start()
        elif step["do"] == "crash":
            sealer = None
        else:
            assert sealer is not None
            if step["do"] == "entry":
                out += sealer.seal(bytes.fromhex(step["hex"]), 0)
            elif step["do"] == "checkpoint":
                end = {"continues": sealer.checkpoint, "closed": sealer.close, "ended": sealer.end}[step["kind"]]
                out += end(step["time"])
            else:
                assert step["do"] == "head"
        if sealer is not None:
            made = sealer.head()
            assert made is not None
            if step["do"] != "entry":
                head = bytes(made)
            if step.get("listed"):
                listed.append(bytes(made).decode())
    return out, listed


@pytest.mark.parametrize("form", ["plain", "json"])
def test_sealing_the_inputs_gives_the_known_log_and_every_known_head(form: str) -> None:
    known = json.loads((vectors.VECTORS / f"{form}.json").read_text())
    out, heads = replay(INPUTS["logs"][f"{form}.log"])
    assert out == (vectors.VECTORS / f"{form}.log").read_bytes()
    assert len(known["heads"]) == 22
    assert heads == [f"tallyhead oedhcsck {h['text']} {b64(bytes.fromhex(h['mac']))}" for h in known["heads"]]


def test_the_setup_head_and_the_keys_are_the_known_ones(tmp_path: Path) -> None:
    setup = _core.setup(INPUTS["name"], (bytes.fromhex(INPUTS["V"]), bytes.fromhex(INPUTS["S"])))
    text, mac = json.loads((vectors.VECTORS / "plain.json").read_text())["setup_head"]
    assert bytes(setup.head()).decode() == f"tallyhead oedhcsck {text} {b64(bytes.fromhex(mac))}"
    known = vectors.KEYS["text"]
    assert (setup.log_id, setup.public_key) == (known["log_id"], known["public_key"])
    with open(tmp_path / "key", "w+b") as file:
        setup.write_key(file.fileno())
        file.seek(0)
        assert file.read().decode() == known["verification_key"] + "\n"


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_known_log_verifies_with_v_and_its_head(form: str, tmp_path: Path) -> None:
    keys, head = vectors.write_keys(tmp_path), tmp_path / "head"
    newest = json.loads((vectors.VECTORS / f"{form}.json").read_text())["heads"][-1]
    head.write_text(f"tallyhead oedhcsck {newest['text']} {b64(bytes.fromhex(newest['mac']))}\n")
    report = tallystick.verify([vectors.VECTORS / f"{form}.log"], keys=[keys.secret], head=head)
    assert report.verdict is Verdict.OK
    assert [finding.kind for finding in report.findings] == ["unclean end"]
    assert report.logs[0].sealed == 33


def test_two_chains_of_two_generations_alone_are_a_late_start_and_nothing_worse(tmp_path: Path) -> None:
    keys = vectors.write_keys(tmp_path)
    for given in ({"keys": [keys.secret]}, {"public": [keys.public]}):
        report = tallystick.verify([vectors.VECTORS / "generation.log"], store=None, **given)  # type: ignore[arg-type]
        assert report.verdict is Verdict.INCOMPLETE
        assert {f.kind for f in report.findings} == {"late start", "open end"}
        assert {f.weight for f in report.findings} == {Weight.INCOMPLETE}
    # Of the second generation alone, nothing can be proved with P: the opening of the first is lacking.
    second = tmp_path / "second.log"
    lines = (vectors.VECTORS / "generation.log").read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join(lines[3:]))
    report = tallystick.verify([second], public=[keys.public])
    assert ("bad statement", Weight.INCOMPLETE) in {(f.kind, f.weight) for f in report.findings}
    # The public file with that opening proves it.
    statement = lines[0].rsplit(b" tally=", 1)[0]
    Path(keys.public).write_bytes(Path(keys.public).read_bytes() + statement + b"\n")
    report = tallystick.verify([second], public=[keys.public])
    assert {f.kind for f in report.findings} == {"late start", "open end"}


def test_a_narrowed_key_judges_its_chains_and_says_so(tmp_path: Path) -> None:
    key = tmp_path / "narrowed.key"
    key.write_text(vectors.KEYS["text"]["narrowed_2_3"] + "\n")
    report = tallystick.verify([vectors.VECTORS / "plain.log"], keys=[key])
    assert report.verdict is Verdict.INCOMPLETE
    assert report.logs[0].key == "narrowed verification key"
    narrowed = next(f for f in report.findings if f.kind == "narrowed")
    assert narrowed.count == 29  # 33 lines, 4 of them of chain 2


def test_the_redacted_line_of_the_vectors_is_reported_as_redacted(tmp_path: Path) -> None:
    known = json.loads((vectors.VECTORS / "redacted.json").read_text())
    data = (vectors.VECTORS / "plain.log").read_bytes()
    assert data.count(known["original"].encode()) == 1
    keys, path = vectors.write_keys(tmp_path), tmp_path / "redacted.log"
    path.write_bytes(data.replace(known["original"].encode(), known["redacted"].encode()))
    report = tallystick.verify([path], keys=[keys.secret])
    redacted = [f for f in report.findings if f.kind == "redacted"]
    assert [(f.weight, f.position) for f in redacted] == [(Weight.INCOMPLETE, known["position"])]
    forged = known["redacted"][:-1] + ("A" if known["redacted"][-1] != "A" else "Q")
    path.write_bytes(data.replace(known["original"].encode(), forged.encode()))
    report = tallystick.verify([path], keys=[keys.secret])
    assert [f.weight for f in report.findings if f.kind == "redacted"] == [Weight.FAILED]


def test_the_point_that_check_py_names_is_of_order_8() -> None:
    p, y = CHECK.FIELD, CHECK.ORDER_8
    d = -121665 * pow(121666, -1, p)
    # Doubled, it gives y = 0, so x² = -y², and then the curve says 2y² = 1 - d·y⁴.
    assert (2 * y**2 + d * y**4 - 1) % p == 0
    assert CHECK.weak((p - y).to_bytes(32, "little"))
    assert not CHECK.weak((p - 2).to_bytes(32, "little"))
    assert CHECK.weak((p + 2).to_bytes(32, "little"))


def test_the_script_that_makes_the_vectors_makes_these() -> None:
    script = vectors.VECTORS / "make.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
