"""The files on the disk that inputs were read from, with their digests."""

from collections.abc import Iterable

from tallystick.verify.digest import Digest
from tallystick.verify.inputs import Input
from tallystick.verify.paths import Identity
from tallystick.verify.remote import AnyFile
from tallystick.verify.report import FileReport

__all__ = ["on_disk"]


def on_disk(inputs: Iterable[Input]) -> tuple[FileReport, ...]:
    """Return the files that inputs were read from, each once, with their digests; the inputs must still be open.

    Files of which no digest is taken are left out.
    """
    found: dict[Identity, FileReport] = {}
    for one in inputs:
        if one.file.digest is not None and one.identity not in found:
            found[one.identity] = _reported(one.file, one.file.digest, one.file.path if one.is_member else one.path)
    return tuple(found.values())


def _reported(file: AnyFile, digest: Digest, path: str) -> FileReport:
    try:
        digest.wait()
    except OSError:  # it is taken here
        file.digest = digest = Digest()
    try:
        if digest.covered < file.size:
            digest.complete(file.bytes(), file.size)
    except OSError:  # it is gone: the digest says how far it was read
        pass
    return FileReport(path, max(file.size_now(), digest.covered), digest.covered, digest.sha256)
