"""Check lists of parts before a release: they are valid CycloneDX, and each part has a version and a licence.

python scripts/check_sbom.py dist/*.cdx.json
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

__all__ = ["main"]

_SAY_NONE = ("pkg:deb/", "pkg:generic/", "pkg:cargo/tsp-asn1@")  # Debian's stand in their files named copyright


def main(lists: list[str]) -> int:
    """Check lists; return the exit status: 1 if something is wrong with one, else 0."""
    troubles = [f"{name}: {trouble}" for name in lists for trouble in troubles_of(Path(name).read_text("utf-8"))]
    print("\n".join(troubles) if troubles else f"{len(lists)} checked", file=sys.stderr if troubles else sys.stdout)
    return 1 if troubles or not lists else 0


def troubles_of(text: str) -> Iterator[str]:
    """Give what is wrong with a list, in words."""
    said = json.loads(text)
    invalid = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if invalid is not None:
        yield str(invalid)
    if len(said["components"]) < 10:
        yield f"it names {len(said['components'])} parts"
    for part in said["components"]:
        if not part["version"]:
            yield f"{part['purl']} has no version"
        if not part.get("licenses") and not part["purl"].startswith(_SAY_NONE):
            yield f"{part['purl']} has no licence"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
