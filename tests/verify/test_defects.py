"""Each vector of defects.json holds one defect; the package must say of it what the vector says (spec section 7)."""

import json
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tests import vectors

CASES: list[dict[str, Any]] = json.loads((vectors.VECTORS / "defects.json").read_text())["cases"]


def test_all_defects_were_found() -> None:
    assert len(CASES) == 126


@pytest.mark.parametrize(
    ("case", "key"), [pytest.param(c, key, id=f"{c['name']}, {key}") for c in CASES for key in c["with"]]
)
def test_a_defect_is_told(case: dict[str, Any], key: str, tmp_path: Path) -> None:
    keys = vectors.write_keys(tmp_path)
    paths = []
    for name, recipe in case["log"].items():
        (tmp_path / name).write_bytes(vectors.apply(recipe))
        paths.append(tmp_path / name)
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
    )
    # The table has no word for an input in which nothing could be verified; the package tells it as a finding.
    kinds = sorted({finding.kind for finding in report.findings} - {"nothing verified"})
    expected = case["expect"]
    assert (report.verdict.value, kinds) == (expected[f"verdict_{key}"], expected[f"kinds_{key}"])
