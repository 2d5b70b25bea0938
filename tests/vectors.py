"""The known answers of spec/vectors, as tests use them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[1] / "spec" / "vectors"
KEYS: dict[str, Any] = json.loads((VECTORS / "keys.json").read_text())


def line_bytes(line: str | dict[str, str]) -> bytes:
    """Return a line of a vector file."""
    return line.encode() if isinstance(line, str) else bytes.fromhex(line["hex"])


def apply(recipe: dict[str, Any]) -> bytes:
    """Do the edits of a defect to its base; defects.json describes them at its top."""
    base = recipe["base"]
    if isinstance(base, str):
        lines = (VECTORS / base).read_bytes().removesuffix(b"\n").split(b"\n")
    else:
        lines = [line_bytes(line) for line in base]
    for what, *how in recipe.get("edit", []):
        if what == "keep":
            lines = lines[how[0] - 1 : how[1]]
        elif what == "delete":
            del lines[how[0] - 1 : how[1]]
        elif what == "insert":
            lines.insert(how[0] - 1, line_bytes(how[1]))
        elif what == "copy":
            lines[how[2] - 1 : how[2] - 1] = lines[how[0] - 1 : how[1]]
        elif what == "swap":
            a, b = how[0] - 1, how[1] - 1
            lines[a], lines[b] = lines[b], lines[a]
        elif what == "sub":
            old, new = line_bytes(how[1]), line_bytes(how[2])
            assert lines[how[0] - 1].count(old) == 1
            lines[how[0] - 1] = lines[how[0] - 1].replace(old, new)
        else:
            raise AssertionError(what)
    data = b"\n".join(lines)
    return data if recipe.get("open_end") or not lines else data + b"\n"


@dataclass(frozen=True)
class Keys:
    """Files with the keys of keys.json."""

    secret: str
    public: str


def write_keys(directory: Path) -> Keys:
    """Write the keys of keys.json into files."""
    secret, public = directory / "payments.key", directory / "payments.pub"
    secret.write_text(KEYS["text"]["verification_key"] + "\n")
    public.write_text(KEYS["text"]["public_key"] + "\n")
    return Keys(os.fspath(secret), os.fspath(public))
