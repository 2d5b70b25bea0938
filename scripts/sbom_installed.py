"""Write the list of what was installed, as CycloneDX: Python's packages, the crates in them, and Debian's packages.

    python scripts/sbom_installed.py dist/tallystick-python.cdx.json SITE-PACKAGES [--debs DIRECTORY]

Wheels bring lists of the crates that are compiled into them; these become part of this one. A file that belongs to no
package is an error: it would be in no list. The list holds no time and no path.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["document", "main"]

_MADE = ("direct_url.json", "REQUESTED", ".pyc")  # by pip, or from what is listed
_DEB = "${Package}\t${Version}\t${Architecture}"


def main() -> None:
    """Write the list to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("packages", type=Path, help="a directory site-packages")
    parser.add_argument("--debs", type=Path, help="directory of Debian's packages that are beside it")
    asked = parser.parse_args()
    debs = sorted(asked.debs.glob("*.deb")) if asked.debs else []
    listed = document(asked.packages, debs)
    asked.output.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{asked.output}: {len(listed['components'])} parts")


def document(packages: Path, debs: list[Path]) -> dict[str, Any]:
    """Return the list as CycloneDX 1.5 has it.

    Raises:
        SystemExit: A file in `packages` belongs to no package.
    """
    found = sorted(importlib.metadata.distributions(path=[str(packages)]), key=lambda each: each.name.lower())
    known = {Path(str(each.locate_file(file))).resolve() for each in found for file in each.files or ()}
    strange = [file for file in packages.resolve().rglob("*") if file.is_file() and file not in known]
    strange = [file for file in strange if not file.name.endswith(_MADE)]
    if strange:
        sys.exit(f"{strange[0]} belongs to no package, and would be in no list")
    parts = [part for each in found for part in (_package(each), *_compiled(each, packages))]
    parts += map(_deb, debs)
    (ours,) = (part for part in parts if part["purl"].startswith("pkg:pypi/tallystick@"))
    unique = {part["bom-ref"]: part for part in parts if part is not ours}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": ours},
        "components": [unique[ref] for ref in sorted(unique)],
    }


def _package(package: importlib.metadata.Distribution) -> dict[str, Any]:
    said = package.metadata
    kinds = [each.rpartition(" :: ")[2] for each in said.get_all("Classifier", []) if each.startswith("License ::")]
    named = kinds or [(said.get("License") or "").split("\n")[0]]
    licences: list[dict[str, Any]] = [{"license": {"name": name}} for name in named if name]
    if expression := said.get("License-Expression"):
        licences = [{"expression": expression}]
    name = package.name.lower().replace("_", "-")
    return _part(package.name, package.version, f"pkg:pypi/{name}@{package.version}", licenses=licences)


def _compiled(package: importlib.metadata.Distribution, packages: Path) -> Iterator[dict[str, Any]]:
    """Give the parts that the lists in a wheel name."""
    for file in sorted(map(str, package.files or ())):
        if "/sboms/" in file and file.endswith(".json"):
            for part in json.loads((packages / file).read_text(encoding="utf-8")).get("components", []):
                ref = part.get("purl", f"pkg:generic/{part['name']}@{part.get('version', '')}").partition("?")[0]
                also = {key: part[key] for key in ("licenses", "hashes") if part.get(key)}
                yield _part(part["name"], part.get("version", ""), ref, **also)


def _deb(path: Path) -> dict[str, Any]:
    command = ["dpkg-deb", "--show", f"--showformat={_DEB}", path]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    name, version, architecture = said.split("\t")
    return _part(name, version, f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}")


def _part(name: str, version: str, purl: str, **more: object) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "purl": purl, "name": name, "version": version, **more}


if __name__ == "__main__":
    main()
