"""Each vector of defects.json holds one defect; the package must say of it what the vector says (spec section 7)."""

import json
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.errors import FormatError
from tallystick.verify.exceptions import read_exceptions
from tests import vectors

DEFECTS: dict[str, Any] = json.loads((vectors.VECTORS / "defects.json").read_text())
CASES: list[dict[str, Any]] = DEFECTS["cases"]
REFUSED: list[str] = DEFECTS["refused"]


def test_all_defects_were_found() -> None:
    assert (len(CASES), len(REFUSED)) == (272, 31)
    assert sum("exceptions" in case for case in CASES) == 35
    assert (sum("to" in case for case in CASES), sum("unread" in case for case in CASES)) == (8, 4)


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_is_no_exception_is_a_usage_error(line: str, tmp_path: Path) -> None:
    (tmp_path / "exceptions").write_text(line + "\n")
    with pytest.raises(FormatError):
        read_exceptions(tmp_path / "exceptions")


@pytest.mark.parametrize(
    ("case", "key"), [pytest.param(c, key, id=f"{c['name']}, {key}") for c in CASES for key in c["with"]]
)
def test_a_defect_is_reported(case: dict[str, Any], key: str, tmp_path: Path) -> None:
    keys = vectors.write_keys(tmp_path)
    paths = []
    for name, recipe in case["log"].items():
        (tmp_path / name).write_bytes(vectors.apply(recipe))
        paths.append(tmp_path / name)
    for name, there in case.get("unread", {}).items():
        if there:
            (tmp_path / name).write_bytes(b"7z\xbc\xaf\x27\x1c of some form that is not read")
        paths.append(tmp_path / name)
    exceptions = tmp_path / "exceptions" if "exceptions" in case else None
    if exceptions is not None:
        exceptions.write_text("\n".join(case["exceptions"]))
    head = None
    if key == "V" and case["head"]:
        head = tmp_path / "head"
        head.write_text(case["head"] + "\n")
    report = tallystick.verify(
        paths,
        keys=[keys.secret] if key == "V" else [],
        public=[keys.public] if key == "P" else [],
        store="none",
        head=head,
        pins=case["pins"],
        start=case["start"],
        last=case.get("to"),
        exceptions=exceptions,
    )
    # The table has no word for an input in which nothing could be verified; the package tells it as a finding.
    kinds = sorted({finding.kind for finding in report.findings} - {"nothing verified"})
    expected = case["expect"]
    assert (report.verdict.value, kinds) == (expected[f"verdict_{key}"], expected[f"kinds_{key}"])
    assert [use.use == "used" for use in report.exceptions] == expected.get(f"used_{key}", [])
