"""All that a scan depends on but the files: what another run remembers is of use only where that is the same.

Heads, pins, exceptions from gaps and the like are judged later, of everything at once, and do not count here.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache

from tallystick import _core
from tallystick.verify.positions import At

__all__ = ["context", "program"]


def context(
    keys: _core.Keys,
    excepted: Sequence[tuple[tuple[int, At] | None, bytes]],
    added: Sequence[str],
    envelope: str | None,
    field: str | None,
    *,
    scoped: bool = True,
) -> str:
    """Return a digest of all that a scan depends on but the files, in hexadecimal.

    Args:
        keys: The logs, in their order.
        excepted: Lines that are excepted, as the core takes them.
        added: Names of members that a carrier added.
        envelope: What a carrier wrapped lines in.
        field: Name of the field that holds them.
        scoped: It depends on which chains the keys cover; for what another key of the same logs may go on with it does
            not.
    """
    lines = [[claim, digest.hex()] for claim, digest in excepted]
    logs = keys.logs() if scoped else [(name, log_id, with_v) for name, log_id, with_v, *_ in keys.logs()]
    depends = [program(), keys.public_keys(), logs, lines, list(added), envelope, field]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()


@cache
def program() -> str:
    """Return the version of this program: another one may look closer."""
    from importlib.metadata import PackageNotFoundError, version  # only here: what it imports takes a while

    try:
        return version("tallystick")
    except PackageNotFoundError:  # it is run from its sources
        return "sources"
