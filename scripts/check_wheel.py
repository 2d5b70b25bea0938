"""Check wheels before a release: nothing in them names a path of their builder, and their list of parts is whole.

python scripts/check_wheel.py dist/*.whl
"""

import json
import os
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[1]
_HERE = re.escape(os.fsencode(_ROOT) + b"/")
_PATHS = [rb"/home/", rb"/Users/", rb"/root/", rb"/tmp/", rb"\.cargo/", rb"\.rustup/", _HERE]


def main(wheels: list[str]) -> int:
    """Check wheels; return the exit status: 1 if something is wrong with one, else 0."""
    troubles = [f"{wheel}: {trouble}" for wheel in wheels for trouble in troubles_of(wheel)]
    print("\n".join(troubles) if troubles else f"{len(wheels)} checked", file=sys.stderr if troubles else sys.stdout)
    return 1 if troubles or not wheels else 0


def troubles_of(wheel: str) -> Iterator[str]:
    """Give what is wrong with a wheel, in words."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in names:
            found = re.search(rb"[^\0\n]{0,60}(?:" + b"|".join(_PATHS) + rb")[^\0\n]{0,60}", archive.read(name))
            if found and not name.endswith((".md", "METADATA", ".1", ".py", ".pyi")):  # texts that people wrote
                yield f"{name} names a path of its builder: {found[0].decode(errors='backslashreplace')}"
        lists = [json.loads(archive.read(name)) for name in names if "/sboms/" in name]
    named = {(part["name"], part["version"]) for each in lists for part in each["components"]}
    lacking = {crate for crate in _linked() if crate not in named}
    if lacking:
        yield f"its list of parts lacks {', '.join(' '.join(crate) for crate in sorted(lacking))}"


def _linked() -> Iterator[tuple[str, str]]:
    """Give the crates on which the core depends directly, with the versions that are locked."""
    locked: dict[str, list[str]] = {}
    for package in tomllib.loads((_ROOT / "Cargo.lock").read_text())["package"]:
        locked.setdefault(package["name"], []).append(package["version"])
    for crate in ("core", "python"):
        for name in tomllib.loads((_ROOT / "rust" / crate / "Cargo.toml").read_text())["dependencies"]:
            yield from ((name, version) for version in locked[name][:1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
