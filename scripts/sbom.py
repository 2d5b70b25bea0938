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
    (ours,) = (crate for crate in crates.values() if crate["name"] == _BINDING)
    others = sorted(ref for ref in crates if ref != _ref(ours))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**_component(ours), "type": "library", "name": "tallystick"}},
        "components": [_component(crates[ref]) for ref in others],
        "dependencies": [{"ref": ref, "dependsOn": sorted(crate["needs"])} for ref, crate in sorted(crates.items())],
    }


def parts() -> dict[str, dict[str, Any]]:
    """Return what is linked into the binding, each with what it needs, by the names that the list gives them."""
    found: dict[str, dict[str, Any]] = {}
    for target in _TARGETS:
        linked = _linked(target)
        said = json.loads(_said(["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]))
        packages = {each["id"]: each for each in said["packages"] if (each["name"], each["version"]) in linked}
        for node in said["resolve"]["nodes"]:
            if node["id"] in packages:
                package = packages[node["id"]]
                crate = found.setdefault(_ref(package), {**package, "needs": set()})
                crate["needs"] |= {_ref(packages[each]) for each in _needs(node) if each in packages}
    return found


def _linked(target: str) -> set[tuple[str, str]]:
    """Return names and versions of what cargo links: its metadata names crates, too, that no feature switches on."""
    asked = [f"--package={_BINDING}", "--edges=normal,no-proc-macro", f"--target={target}"]
    lines = _said(["cargo", "tree", "--locked", "--prefix=none", "--format={p}", *asked]).splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}


def _needs(node: dict[str, Any]) -> Iterator[str]:
    """Give what a crate needs when it runs."""
    return (need["pkg"] for need in node["deps"] if any(each["kind"] is None for each in need["dep_kinds"]))


def _said(command: list[str]) -> str:
    return subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


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
