"""Fetches receipts of a log from a witness, and checks them by its key before anything is kept (spec section 11)."""

import os
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import FormatError, ReportError, reason
from tallystick.securefile import Rights, new_file, refuse_existing, write_all
from tallystick.witness.client import receipts

__all__ = ["Fetched", "fetch"]

_PUBLIC = 4_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Args:
        texts: How many receipts.
        proved: How many of them with a proof that they are in the witness's tree.
        stamped: How many of these with a time-stamp.
    """

    texts: int
    proved: int
    stamped: int


def fetch(witness: str, public: str, output: str | os.PathLike[str] | int) -> Fetched:
    """Write the receipts that a witness gives of a log into a file that is new, or to a descriptor.

    Args:
        witness: Its URL and its key, `URL=KEY`.
        public: The log's public file.
        output: The file or descriptor.

    Raises:
        FormatError: The key or the public file is invalid, or the receipts do not hold.
        ReportError: A file cannot be read or written.
        WitnessError: The witness gives none.
    """
    url, _, text = witness.rpartition("=")
    key = _core.NoteKey(text)
    if not url:
        raise FormatError("the witness has no URL", hint="write URL=KEY")
    refuse_existing(output)
    log = _public(public)
    data = receipts(url, log.root)
    found = _core.read_receipts(data)
    for signed, notes in found:
        if log.show([], [(signed, [])])[0][0] in ("no text", "invalid"):
            raise FormatError(f"{url} gives a text that is not of the log {log.name}")
        if any(_core.check_receipt(note, key, log.root, signed) is None for note in notes):
            raise FormatError(
                f"{url} gives a receipt that is not signed with its key", hint="is the key the right one?"
            )
    with new_file(output, Rights.common([public])) as file:
        write_all(file, data)
    return Fetched(
        sum(len(notes) for _, notes in found), data.count(b"\nc2sp.org/tlog-proof@v1\n"), data.count(b"\nextra ")
    )


def _public(path: str) -> _core.WitnessedLog:
    try:
        with open(path, "rb") as file:
            return _core.WitnessedLog(file.read(_PUBLIC))
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name") from error
    except FormatError as error:
        raise error.found_in(path) from None
