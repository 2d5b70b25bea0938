"""Write the list of crates that are compiled into the wheel, as CycloneDX: names, versions, licences, checksums.

    python scripts/sbom.py target/sbom/tallystick.cdx.json

Only what is linked is in it: no tools of the build, no dependencies of tests. It holds no time and no path, so that two
builds write the same bytes.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["main", "parts"]

_ROOT = Path(__file__).resolve().parents[1]
_BINDING = "tallystick-python"
_TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]  # with musl, it is the same crates


def main(output: str) -> None:
    """Write the list to a file."""
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(document(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def document() -> dict[str, Any]:
    """Return the list as CycloneDX 1.5 has it."""
    crates = parts()
    ours = crates.pop(_BINDING)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**_component(ours), "type": "library", "name": "tallystick"}},
        "components": [_component(crate) for _, crate in sorted(crates.items())],
        "dependencies": [
            {"ref": _ref(crate), "dependsOn": sorted(crate["needs"])}
            for _, crate in sorted({**crates, _BINDING: ours}.items())
        ],
    }


def parts() -> dict[str, dict[str, Any]]:
    """Return what is linked into the binding, by name, with what it needs."""
    found: dict[str, dict[str, Any]] = {}
    for target in _TARGETS:
        command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
        said = json.loads(subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout)
        packages = {package["id"]: package for package in said["packages"]}
        needs = {node["id"]: set(_linked(node, packages)) for node in said["resolve"]["nodes"]}
        reached, left = set(), [id for id, package in packages.items() if package["name"] == _BINDING]
        while left:
            if (id := left.pop()) not in reached:
                reached.add(id)
                left += needs[id]
        for id in reached:
            crate = found.setdefault(packages[id]["name"], {**packages[id], "needs": set()})
            crate["needs"] |= {_ref(packages[each]) for each in needs[id]}
    return found


def _linked(node: dict[str, Any], packages: dict[str, Any]) -> Iterator[str]:
    """Give what a crate needs when it runs; macros do their work while it is compiled."""
    for need in node["deps"]:
        kinds = {target for each in packages[need["pkg"]]["targets"] for target in each["kind"]}
        if "proc-macro" not in kinds and any(each["kind"] is None for each in need["dep_kinds"]):
            yield need["pkg"]


def _component(crate: dict[str, Any]) -> dict[str, Any]:
    checksum = _checksums().get((crate["name"], crate["version"]))
    return {
        "type": "library",
        "bom-ref": _ref(crate),
        "purl": _ref(crate),
        "name": crate["name"],
        "version": crate["version"],
        "licenses": [{"expression": crate["license"].replace("/", " OR ")}],
        **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
    }


def _ref(crate: dict[str, Any]) -> str:
    return f"pkg:cargo/{crate['name']}@{crate['version']}"


def _checksums() -> dict[tuple[str, str], str]:
    locked = tomllib.loads((_ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    return {(each["name"], each["version"]): each["checksum"] for each in locked if "checksum" in each}


if __name__ == "__main__":
    main(sys.argv[1])
