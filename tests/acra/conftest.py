"""A place for logs of Acra, and the command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tallystick import acra
from tallystick.verify import Report
from tests.acra.scheme import KEY

__all__ = ["Logs", "logs"]


class Logs:
    """A directory for logs, and their key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "key").write_text(KEY.hex())

    def verify(self, lines: Sequence[bytes], **options: Any) -> Report:
        path = self.directory / "audit.log"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return acra.verify([path], key=self.directory / "key", **options)

    def told(self, lines: Sequence[bytes], **options: Any) -> list[tuple[str, int | None]]:
        """Return what was found besides the limits of the scheme and chains that are there twice: kind, line."""
        report = self.verify(lines, accept_scheme_limits=True, **options)
        return [(each.kind, each.line) for each in report.findings if each.weight.value != "note"]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)
