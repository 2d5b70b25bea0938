"""Evidence with receipts (spec sections 10 and 11): what the vectors say, and what any changed byte does."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick import evidence
from tallystick.cosigners import Policy
from tallystick.errors import FormatError, ReportError
from tallystick.verify import Verdict
from tests import vectors

FOUND: dict[str, Any] = json.loads((vectors.VECTORS / "receipts.json").read_text())
CASES: list[dict[str, Any]] = FOUND["cases"]
CHECK = vectors.VECTORS.parent / "check.py"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> vectors.Keys:
    return vectors.write_keys(tmp_path_factory.mktemp("keys"))


def named(name: str) -> dict[str, Any]:
    return next(case for case in CASES if case["name"] == name)


def asked(case: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What is asked for in a case, as the package takes it."""
    found: dict[str, Any] = {"witnesses": case["witnesses"]}
    for name in ("policy", "roots"):
        if case[name] is not None:
            (directory / name).write_text(case[name])
            found[name] = directory / name
    return found


def test_the_cases_are_there() -> None:
    assert len(CASES) == 54
    assert sum(case["verdict_P"] == "ok" for case in CASES) == 19
    assert len(FOUND["usage"]) == 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_the_package_says_of_receipts_what_the_vectors_say(
    case: dict[str, Any], keys: vectors.Keys, tmp_path: Path
) -> None:
    data, asks = case["evidence"].encode(), asked(case, tmp_path)
    for with_what, key in (("P", {"public": keys.public}), ("V", {"key": keys.secret})):
        checked = evidence.check(data, **key, **asks)
        assert checked.verdict.value == case[f"verdict_{with_what}"], checked.detail
        assert [[one.time, one.stamped] for one in checked.received] == case["received"]


@pytest.mark.parametrize("case", [named("stamped and cosigned"), named("stamped by another"), named("another hash")],
                         ids=lambda case: case["name"].replace(" ", "-"))  # fmt: skip
def test_the_second_implementation_says_the_same_on_its_command_line(
    case: dict[str, Any], keys: vectors.Keys, tmp_path: Path
) -> None:
    (tmp_path / "a.evidence").write_text(case["evidence"])
    asks, command = asked(case, tmp_path), [sys.executable, CHECK, "--evidence", tmp_path / "a.evidence"]
    command += [part for key in case["witnesses"] for part in ("--witness", key)]
    command += [part for name in ("policy", "roots") if name in asks for part in (f"--{name}", asks[name])]
    done = subprocess.run([*command, "--public", keys.public, "--json"], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    assert (said["verdict"], done.returncode) == (case["verdict_P"], Verdict(case["verdict_P"]).exit_status)


@pytest.mark.parametrize("text", FOUND["usage"])
def test_what_is_no_policy_is_a_usage_error(text: str) -> None:
    with pytest.raises(FormatError):
        Policy.parse(text.encode())


# each byte


WHOLE = named("stamped and cosigned")


def spans(data: bytes) -> dict[str, range]:
    """Where the parts of the evidence stand that come from witnesses, cosigners and the authority."""
    receipt, proof = data.index(b"tallystick/v1 receipt"), data.index(b"c2sp.org/tlog-proof@v1")
    token, end = data.index(b"\nextra ", proof) + 7, data.index(b"\nproof ", proof)
    token_end = data.index(b"\n", token)
    note = data.index(b"\n\n", token_end) + 2
    return {
        "receipt": range(receipt, proof),
        "inclusion": range(token_end, note),
        "checkpoint and cosignatures": range(note, end),
    }


@pytest.mark.parametrize("part", ["receipt", "inclusion", "checkpoint and cosignatures"])
def test_each_flipped_byte_of_what_others_signed_is_refused(part: str, keys: vectors.Keys, tmp_path: Path) -> None:
    data, asks = WHOLE["evidence"].encode(), asked(WHOLE, tmp_path)
    place = spans(data)[part]
    assert len(place) > 100
    for at in place:
        for flip in (1, 0x20, 0x80):
            changed = bytearray(data)
            changed[at] ^= flip
            checked = evidence.check(bytes(changed), public=keys.public, **asks)
            assert checked.verdict is not Verdict.OK, (at, flip, bytes(changed[at - 30 : at + 30]))


def test_each_flipped_byte_of_a_time_stamp_is_refused_or_says_the_same(keys: vectors.Keys, tmp_path: Path) -> None:
    case = named("stamped")
    data, asks = case["evidence"].encode(), asked(case, tmp_path)
    before, mark, rest = data.partition(b"\nextra ")
    token, after = base64.b64decode(rest.partition(b"\n")[0]), rest.partition(b"\n")[2]
    whole, accepted = evidence.check(data, public=keys.public, **asks), []
    for at in range(len(token)):
        changed = bytearray(token)
        changed[at] ^= 1
        made = before + mark + base64.b64encode(changed) + b"\n" + after
        checked = evidence.check(made, public=keys.public, **asks)
        if checked.verdict is Verdict.OK:
            assert checked == whole, at
            accepted.append(at)
    # What is not signed, of the copy of a root that verifiers have, and of numbers that say the same.
    assert len(accepted) < len(token) // 3, accepted


# what is asked for


def test_cosignatures_and_time_stamps_take_a_witness(keys: vectors.Keys, tmp_path: Path) -> None:
    asks = asked(WHOLE, tmp_path)
    for name in ("policy", "roots"):
        with pytest.raises(ReportError, match="no witness was named"):
            evidence.check(WHOLE["evidence"].encode(), public=keys.public, **{name: asks[name]})


def test_a_file_without_certificates_is_a_usage_error(keys: vectors.Keys, tmp_path: Path) -> None:
    (tmp_path / "roots").write_text("none\n")
    with pytest.raises(FormatError, match="certificates"):
        evidence.check(WHOLE["evidence"].encode(), public=keys.public, witnesses=WHOLE["witnesses"],
                       roots=tmp_path / "roots")  # fmt: skip
