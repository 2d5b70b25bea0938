"""A rotation may part the records of one line: which files belong together, the seal says."""

import json
from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Verdict
from tests.forging import Writer, key_text

STAMP = "2026-11-23T08:15:45.1Z"
SIZE = 16 << 10


def records(kind: str, lines: tuple[bytes, ...]) -> list[bytes]:
    """The lines as container engines write them, long ones in parts."""
    out = []
    for line in lines:
        parts = [line[at : at + SIZE] for at in range(0, len(line), SIZE)]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if kind == "docker":
                record = {"log": part.decode() + "\n" * last, "stream": "stdout", "time": STAMP}
                out.append(json.dumps(record, separators=(",", ":")).encode())
            elif kind == "cri":
                out.append(f"{STAMP} stdout {'F' if last else 'P'} ".encode() + part)
            else:
                marks = {} if last else {"CONTAINER_PARTIAL_MESSAGE": "true"}
                out.append(json.dumps({"CONTAINER_ID_FULL": "c", "MESSAGE": part.decode(), **marks}).encode())
    return out


@pytest.mark.parametrize("kind", ["docker", "cri", "journal-json"])
def test_a_line_that_a_rotation_parted_is_put_together(kind: str, tmp_path: Path) -> None:
    log = Writer().chain_of("one", "two " * 12_000, "three", "four " * 5_000, "ended").log()
    (tmp_path / "key").write_text(key_text() + "\n")
    whole = records(kind, log.lines)
    parted = 0

    def verdict(old: list[bytes], new: list[bytes], names: tuple[str, str]) -> Verdict:
        for name, part in zip(names, (old, new), strict=True):
            (tmp_path / name).write_bytes(b"".join(record + b"\n" for record in part))
        paths = [tmp_path / name for name in names]
        return tallystick.verify(paths, keys=[tmp_path / "key"], envelope=kind).verdict

    for cut in range(1, len(whole)):
        for names in (("a.log", "b.log"), ("b.log", "a.log")):
            assert verdict(whole[:cut], whole[cut:], names) is Verdict.OK, (cut, names)
        if b"P " in whole[cut - 1][:45] or b"PARTIAL" in whole[cut - 1] or len(whole[cut - 1]) > SIZE:
            parted += 1
            doctored = [whole[cut].replace(b"two t", b"two T", 1).replace(b"four f", b"four F", 1), *whole[cut + 1 :]]
            assert verdict(whole[:cut], doctored, ("a.log", "b.log")) is Verdict.FAILED
            assert verdict(whole[:cut], whole[cut + 1 :], ("a.log", "b.log")) is Verdict.FAILED
            assert verdict([*whole[:cut], whole[cut - 1]], whole[cut:], ("a.log", "b.log")) is Verdict.FAILED
    assert parted > 2
